package eventlog

import "log/slog"

// kind is a kind of line. Each has a budget of its own, so that none is left
// out because of another.
type kind uint8

// The kinds.
const (
	offered kind = iota
	offeredAnew
	offeredByAutoexec
	acknowledged
	wouldOffer
	nothingToOffer
	cannotAnswer
	ignored
	answerFailed
	upgradeFailed
	scriptUpgradeFailed
	started
	notStarted
	seriousConflict
	minorConflict
	otherProxy
	sameProxy
	linkServed
	linkLost
	networkFault
	transferred
	transferredInPart
	sizeProbed
	transferEnded
	transferReplaced
	transferFailed
	notFound
	notExpected
	refusedQuietly
	refused
	notAllowed
	unreadable
	cannotBeMade
	diskStalled
	linesLeftOut
	kindsEnd
)

// fold is which lines of a kind are put together into one.
type fold uint8

// The ways to fold.
const (
	repeats fold = iota // those of one machine that say the same
	names               // those of one machine, whatever file they name; nothing is written before the machine is silent, or does something else
	causes              // those of one cause, whatever machine they name; they have no budget, because they are failures of our own
)

// kindRow is what all lines of a kind have in common.
type kindRow struct {
	level   slog.Level
	message string
	fold    fold
	burst   float64 // lines that may be written at once; 0 is usualBurst
}

// hallBurst is the burst of what machines cause by booting: a hall of machines
// that are switched on together.
const hallBurst = 1000

// usualBurst is the burst of other lines.
const usualBurst = 100

// kindRows has a row for each kind.
var kindRows = [kindsEnd]kindRow{
	offered:             {level: slog.LevelInfo, message: "offered", burst: hallBurst},
	offeredAnew:         {level: slog.LevelInfo, message: "offered in another shape, the last was not understood", burst: hallBurst},
	offeredByAutoexec:   {level: slog.LevelInfo, message: "offered by autoexec.ipxe", burst: hallBurst},
	acknowledged:        {level: slog.LevelInfo, message: "acknowledged", burst: hallBurst},
	wouldOffer:          {level: slog.LevelInfo, message: "would offer", burst: hallBurst},
	nothingToOffer:      {level: slog.LevelInfo, message: "nothing to offer"},
	cannotAnswer:        {level: slog.LevelWarn, message: "cannot answer"},
	ignored:             {level: slog.LevelDebug, message: "ignored"},
	answerFailed:        {level: slog.LevelError, message: "answer failed", fold: causes},
	upgradeFailed:       {level: slog.LevelWarn, message: "upgrade did not help, giving the boot script as it is"},
	scriptUpgradeFailed: {level: slog.LevelWarn, message: "upgrade by script did not help, going on with the iPXE as it is"},
	started:             {level: slog.LevelInfo, message: "boot file started, after others had not"},
	notStarted:          {level: slog.LevelWarn, message: "boot file was loaded, but did not start"},
	seriousConflict:     {level: slog.LevelWarn, message: "the DHCP server gets in the way of network boot"},
	minorConflict:       {level: slog.LevelInfo, message: "the DHCP server has boot options of its own"},
	otherProxy:          {level: slog.LevelWarn, message: "another ProxyDHCP server gets in the way of network boot"},
	sameProxy:           {level: slog.LevelDebug, message: "another ProxyDHCP server answers as we do"},
	linkServed:          {level: slog.LevelInfo, message: "interface served", fold: causes},
	linkLost:            {level: slog.LevelWarn, message: "interface not served", fold: causes},
	networkFault:        {level: slog.LevelError, message: "network fault", fold: causes},
	transferred:         {level: slog.LevelInfo, message: "transferred", burst: hallBurst},
	transferredInPart:   {level: slog.LevelDebug, message: "transferred in part", burst: hallBurst},
	sizeProbed:          {level: slog.LevelDebug, message: "size probed", burst: hallBurst},
	transferEnded:       {level: slog.LevelInfo, message: "transfer ended early", burst: hallBurst},
	transferReplaced:    {level: slog.LevelDebug, message: "transfer replaced"},
	transferFailed:      {level: slog.LevelError, message: "transfer failed", fold: causes},
	notFound:            {level: slog.LevelInfo, message: "boot file not found", fold: names, burst: hallBurst},
	notExpected:         {level: slog.LevelDebug, message: "boot file not found", fold: names, burst: hallBurst},
	refusedQuietly:      {level: slog.LevelDebug, message: "transfer refused"},
	refused:             {level: slog.LevelInfo, message: "transfer refused"},
	notAllowed:          {level: slog.LevelWarn, message: "transfer refused"},
	unreadable:          {level: slog.LevelError, message: "transfer refused", fold: causes},
	cannotBeMade:        {level: slog.LevelError, message: "boot file cannot be made", fold: causes},
	diskStalled:         {level: slog.LevelWarn, message: "a disk does not answer, boot files there are not served", fold: causes},
	linesLeftOut:        {level: slog.LevelInfo, message: "lines were left out", fold: causes},
}

// row returns what all lines of the kind have in common.
func (k kind) row() *kindRow { return &kindRows[k] }
