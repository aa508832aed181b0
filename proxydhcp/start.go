package proxydhcp

// Whether machines start the ROMs that they load. A machine that has read its
// ROM, or the second stage of a shim, to the end must be heard of again: as an
// iPXE, or by a request for the next file. If it is not, its firmware refused
// the file (Secure Boot) or the file hung, and nothing else tells: the transfer
// itself went well.
//
// Only machines whose DHCP is heard can be judged: of the others nobody knows
// what they are, and whether they would be heard of.
//
// A ROM that a machine did not start is not given to it again as long as there
// is another one for its platform. Each is given once, then the first again.

import (
	"container/list"
	"net/netip"
	"path"
	"slices"
	"time"
)

// startTime is how long a machine may take to be heard of after it has read a
// ROM. iPXE asks within seconds; with a driver of its own it may wait for a
// link that a switch holds back.
const startTime = 30 * time.Second

// AutoexecName is the name of the script that every EFI iPXE asks for when it
// starts (efi_autoexec.c), in the directory that it was loaded from and in the
// root.
const AutoexecName = "autoexec.ipxe"

// maxReported bounds how many files are remembered that were reported of one
// machine.
const maxReported = 8

// maxMissing bounds the length of a name that is remembered, in bytes.
const maxMissing = 128

// start is what a machine did with the ROM that it has loaded: a state machine
// without a lock. The zero value is a machine that has loaded none.
type start struct {
	rom     interned[string] // the ROM that it has read last
	file    interned[string] // what it has read last: the ROM, or what the ROM loads
	at      instant          // when it had read file
	notes   *startNotes      // nil for none
	pending bool             // it was not heard of since
	failed  bool             // it was, as if file had never run
}

// startNotes are what is known of few machines.
type startNotes struct {
	missing  string    // the last name that it has asked for since it read its ROM, and that is not there
	reported []string  // the files that were reported not to have started
	autoexec *Autoexec // what its iPXE was given by autoexec.ipxe last; nil for nothing
	scripted scripted
}

// StartReport is what came of a ROM that a machine has loaded.
type StartReport struct {
	Client     Client     // the machine as it was at its last DISCOVER; zero if its DHCP was not heard
	IP         netip.Addr // its address
	ROM        string     // the ROM that it has read
	File       string     // what it has read last: ROM, or what ROM loads
	Started    bool       // the ROM started, after others had not; else File did not start
	Missing    string     // the file that it asked for then, and that is not there; "" for none
	NextServer netip.Addr // the next-server that the DHCP server names, if that is another host
	Next       string     // the ROM that it is given at its next boot; "" for the same
	Exhausted  bool       // no ROM for its platform has started
}

// readROM notes that the machine has read a ROM to its end.
func (s *start) readROM(file interned[string], now instant) {
	s.rom = file
	s.readStage(file, now)
}

// readStage notes that the machine has read what its ROM loads to the end.
func (s *start) readStage(file interned[string], now instant) {
	s.file, s.at, s.pending, s.failed = file, now, true, false
	if s.notes != nil {
		s.notes.missing = ""
	}
}

// note returns the machine's notes, to be changed.
func (s *start) note() *startNotes {
	if s.notes == nil {
		s.notes = &startNotes{}
	}
	return s.notes
}

// missing returns the last name that the machine has asked for since, and that
// is not there; "" for none.
func (s *start) missing() string {
	if s.notes == nil {
		return ""
	}
	return s.notes.missing
}

// asks notes that the machine asks for a file, or somebody in its name. there
// says that the file exists: what asks for a file that is not there may go no
// further. That it asks for what it has just read says nothing before it has
// read it again.
func (s *start) asks(file string, there bool) {
	switch {
	case !s.pending, file == s.file.get(), file == s.rom.get():
	case there, path.Base(file) == AutoexecName:
		s.pending = false
	case len(file) <= maxMissing:
		s.note().missing = file
	}
}

// discovers notes that the machine, c, sends a DISCOVER: as an iPXE, or as its
// firmware, for which the file has not run.
func (s *start) discovers(c *Client) {
	switch {
	case c.IPXE.Present:
		s.pending = false
	case s.pending:
		s.failed = true
	}
}

// isOver reports whether the machine should have started the file by now.
func (s *start) isOver(now instant) bool {
	return s.failed || now.since(s.at) >= startTime
}

// runs notes that the file has started after all.
func (s *start) runs() {
	if t := s.notes; t != nil {
		t.reported = slices.DeleteFunc(t.reported, func(file string) bool { return file == s.file.get() })
	}
}

// giveUp notes that the file has not started. It reports whether that is to be
// told: once for each file.
func (s *start) giveUp() (tell bool) {
	s.pending, s.failed = false, false
	t, file := s.note(), s.file.get()
	if slices.Contains(t.reported, file) || len(t.reported) == maxReported {
		return false
	}
	t.reported = append(t.reported, file)
	return true
}

// candidates is which of several ROMs a machine is given: a state machine
// without a lock. The zero value is a machine that was given none.
type candidates struct {
	roms  []string // in the order in which they are given; shared with the policy
	given uint8    // the index of the one that is given now
	news  bool     // it is not known yet whether that one, which is not the first, starts
}

// choose returns which of the ROMs the machine is given: the first, unless it
// did not start that. usual is what other machines with its network card start,
// "" if nothing is known.
func (k *candidates) choose(roms []string, usual string) string {
	if !slices.Equal(k.roms, roms) {
		*k = candidates{roms: roms, given: uint8(max(0, slices.Index(roms, usual)))}
	}
	return roms[k.given]
}

// notStarted notes that a ROM has not started. It returns the ROM that is given
// next, "" if it is the same, and whether each of them was given.
func (k *candidates) notStarted(rom string) (next string, exhausted bool) {
	if len(k.roms) < 2 || cleanName(k.roms[k.given]) != rom {
		return "", false
	}
	k.given = uint8((int(k.given) + 1) % len(k.roms))
	k.news = k.given > 0
	return k.roms[k.given], k.given == 0
}

// started notes that a ROM has started, perhaps later than it was expected to.
// It reports whether that is news: that it works where others did not.
func (k *candidates) started(rom string) (news bool) {
	at := slices.IndexFunc(k.roms, func(name string) bool { return cleanName(name) == rom })
	if at < 0 {
		return false
	}
	news = k.news && uint8(at) == k.given
	k.given, k.news = uint8(at), false
	return news
}

// cardModel is a kind of network card in machines of one platform.
type cardModel struct {
	nic      PCIID
	platform Platform
}

// maxModels bounds for how many kinds of network cards it is remembered which
// ROM starts.
const maxModels = 256

// maxStartReports bounds how many reports wait to be fetched.
const maxStartReports = 256

// loading is what the table of machines knows of those that load ROMs.
type loading struct {
	waiting list.List            // of *machine, those that must be heard of: the one that has read its file first is in front
	models  map[cardModel]string // the ROM that starts where the first does not
	news    []StartReport        // what has come of ROMs, not fetched yet
}

// wait has a machine wait that has just read a file.
func (l *loading) wait(k *machine) {
	l.leave(k)
	k.waiting = l.waiting.PushBack(k)
}

// follow puts a machine where it belongs after something was noted of its
// start: in front of those that wait if the file has failed, and not among them
// if it has started.
func (l *loading) follow(k *machine) {
	switch {
	case !k.start.pending:
		l.leave(k)
	case k.start.failed:
		l.waiting.MoveToFront(k.waiting)
	}
}

// leave has a machine wait no longer.
func (l *loading) leave(k *machine) {
	if k.waiting != nil {
		l.waiting.Remove(k.waiting)
		k.waiting = nil
	}
}

// started notes that a machine runs the ROM that it has read last.
func (l *loading) started(k *machine, now instant) {
	rom := k.start.rom.get()
	if rom == "" || now.since(k.start.at) >= guardMemory {
		return
	}
	k.start.runs()
	if !k.candidates.started(rom) {
		return
	}
	c := k.client()
	if model := (cardModel{k.nic, c.Platform()}); k.nic != (PCIID{}) && len(l.models) < maxModels {
		l.models[model] = k.candidates.roms[k.candidates.given]
	}
	l.tell(StartReport{Client: c, IP: k.address(), ROM: rom, File: k.start.file.get(), Started: true})
}

// again notes that a machine has read a file. If it is one that it has read
// before, what it read has not run. If too many reports wait, that is left to
// be noticed later.
func (l *loading) again(k *machine, file string) {
	if s := &k.start; s.pending && (file == s.file.get() || file == s.rom.get()) && len(l.news) < maxStartReports {
		l.giveUp(k)
	}
}

// giveUp notes that what a machine has read has not started, and reports it.
func (l *loading) giveUp(k *machine) {
	s := &k.start
	r := StartReport{Client: k.client(), IP: k.address(), ROM: s.rom.get(), File: s.file.get(), Missing: s.missing(), NextServer: k.next.addr()}
	r.Next, r.Exhausted = k.candidates.notStarted(r.ROM)
	if s.giveUp() {
		l.tell(r)
	}
	l.follow(k)
}

// tell adds a report to those that wait to be fetched.
func (l *loading) tell(r StartReport) {
	if len(l.news) < maxStartReports {
		l.news = append(l.news, r)
	}
}

// StartReports returns what has come of ROMs that machines have loaded since
// the last call. It is to be called every second or so.
func (m *Machines) StartReports(now time.Time) []StartReport {
	at := m.lock(now)
	defer m.mu.Unlock()
	l := &m.loading
	for e := l.waiting.Front(); e != nil && len(l.news) < maxStartReports; e = l.waiting.Front() {
		k := e.Value.(*machine)
		if !k.start.isOver(at) {
			break
		}
		l.giveUp(k)
	}
	reports := l.news
	l.news = nil
	return reports
}
