package proxydhcp

// Reason says why a request gets no answer. The zero value, Answerable, is for
// a request that gets one. The enumeration is closed. The log and explain
// show the same reasons.
type Reason uint8

// The reasons, in the order in which they are checked.
const (
	Answerable Reason = iota
	Malformed
	NotARequest
	NoMessageType
	OtherMessageType
	OtherServer
	NotBooting
	WindowsSecondStage
	NoArchitecture
	NotServed
	GroupAddress
	NotARelay
	ForeignRelay
	ReflectorPort
	ForeignSource
	TooFast
	NoAddress
	Denied
	NoRule
	NoROM
	NoMenuScript
	NoSuchItem
	ToLocalDisk
	NeedsHTTP
	NeedsTFTP
	DryRun
)

// reasonTexts are stable: people search logs and dashboards for them.
var reasonTexts = [...]string{
	Answerable:         "answerable",
	Malformed:          "malformed",
	NotARequest:        "not a request",
	NoMessageType:      "BOOTP without a DHCP message type",
	OtherMessageType:   "message type that a proxy does not answer",
	OtherServer:        "request to another server",
	NotBooting:         "not booting from the network",
	WindowsSecondStage: "Windows boot manager's own request",
	NoArchitecture:     "no architecture",
	NotServed:          "arrived where nothing is served",
	GroupAddress:       "hardware address of a group",
	NotARelay:          "relay address that no relay has",
	ForeignRelay:       "relay in a network that is not served",
	ReflectorPort:      "from a port that no client asks from",
	ForeignSource:      "client in a network that is not served",
	TooFast:            "too many requests from there",
	NoAddress:          "no IPv4 address of ours there",
	Denied:             "denied by a rule",
	NoRule:             "no rule matches",
	NoROM:              "no ROM for this architecture",
	NoMenuScript:       "boot menu without a script for iPXE",
	NoSuchItem:         "asks for a boot menu item that it was not offered",
	ToLocalDisk:        "to boot from its local disk",
	NeedsHTTP:          "HTTP boot client, and the boot file has no URL",
	NeedsTFTP:          "PXE firmware, and the boot file is not on TFTP",
	DryRun:             "dry run",
}

// String returns the reason as logs show it.
func (r Reason) String() string { return enumName(reasonTexts[:], r, "reason") }
