package dhcp4

import "fmt"

// OptionCode is the number of an option (RFC 2132, section 2).
type OptionCode uint8

// The options that are read or written here (RFC 2132 unless said otherwise).
const (
	OptionPad                          OptionCode = 0
	OptionSubnetMask                   OptionCode = 1
	OptionVendorSpecificInformation    OptionCode = 43
	OptionRequestedIPAddress           OptionCode = 50
	OptionOptionOverload               OptionCode = 52
	OptionDHCPMessageType              OptionCode = 53
	OptionServerIdentifier             OptionCode = 54
	OptionMaximumDHCPMessageSize       OptionCode = 57
	OptionClassIdentifier              OptionCode = 60
	OptionClientIdentifier             OptionCode = 61
	OptionBootfileName                 OptionCode = 67
	OptionUserClassInformation         OptionCode = 77  // RFC 3004; iPXE writes bare text
	OptionRelayAgentInformation        OptionCode = 82  // RFC 3046
	OptionClientSystemArchitectureType OptionCode = 93  // RFC 4578, section 2.1
	OptionClientMachineIdentifier      OptionCode = 97  // RFC 4578, section 2.3
	OptionEtherboot                    OptionCode = 175 // iPXE's encapsulated options
	OptionWindowsBINL                  OptionCode = 250 // Windows Deployment Services, second stage
	OptionEnd                          OptionCode = 255
)

// MessageType is the value of option 53 (RFC 2132, section 9.6). The zero value
// is that of a BOOTP message, which has none.
type MessageType uint8

// The message types that concern a ProxyDHCP server.
const (
	MessageTypeNone     MessageType = 0
	MessageTypeDiscover MessageType = 1
	MessageTypeOffer    MessageType = 2
	MessageTypeRequest  MessageType = 3
	MessageTypeAck      MessageType = 5
	MessageTypeNak      MessageType = 6
	MessageTypeInform   MessageType = 8
)

// messageTypeNames are the names that RFC 2131 uses.
var messageTypeNames = map[MessageType]string{
	MessageTypeNone: "none", MessageTypeDiscover: "DISCOVER", MessageTypeOffer: "OFFER",
	MessageTypeRequest: "REQUEST", MessageTypeAck: "ACK", MessageTypeNak: "NAK", MessageTypeInform: "INFORM",
}

// String returns the name, such as "DISCOVER".
func (t MessageType) String() string {
	if name, ok := messageTypeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("message type %d", uint8(t))
}

// The values of the header's op field (RFC 2131, section 2).
const (
	BootRequest = 1
	BootReply   = 2
)

// BroadcastFlag is the bit of the header's flags by which a client asks for
// answers by broadcast (RFC 2131, figure 2).
const BroadcastFlag = 0x8000

// The sub-options of option 82 that say where a client is.
const (
	AgentCircuitID     = 1 // RFC 3046, section 3.1
	AgentLinkSelection = 5 // RFC 3527, section 3
)

// SubOptions calls visit with each sub-option of an encapsulated option such
// as 43, 82 or 175 (RFC 2132, section 8.4): a tag, a length in bytes, a value;
// 0 pads, 255 ends. It reports whether the encapsulation was well formed to its
// end. The options of a message have the same form.
func SubOptions(b []byte, visit func(tag uint8, value []byte)) bool {
	for len(b) > 0 {
		switch OptionCode(b[0]) {
		case OptionPad:
			b = b[1:]
			continue
		case OptionEnd:
			return true
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return false
		}
		visit(b[0], b[2:2+int(b[1])])
		b = b[2+int(b[1]):]
	}
	return true
}
