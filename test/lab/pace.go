package lab

// The pace of the machine: how much slower it emulates than a fast one, for
// limits that must hold on both.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// paceLoops is the number of loops of the measurement, and paceReference
	// the time that they take on a fast, idle machine.
	paceLoops     = 50_000_000
	paceReference = 300 * time.Millisecond
	// paceLimit bounds the measurement, and maxPace its result: tests must
	// fail on a machine that is slower still.
	paceLimit = time.Minute
	maxPace   = 5
)

// Pace returns how many times slower emulated guests run here than on a fast
// machine: 1 or more. It is measured once, by a guest that counts and then
// ends.
func (s *Stock) Pace(ctx context.Context) (float64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pace > 0 {
		return s.pace, nil
	}
	image := filepath.Join(s.temp, "pace")
	if err := os.WriteFile(image, bootSector(counting()), 0o644); err != nil {
		return 0, fmt.Errorf("lab: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, paceLimit, fmt.Errorf("not within %s", paceLimit))
	defer cancel()
	begin := time.Now()
	_, err := output(ctx, s.temp, "qemu-system-x86_64", "-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none",
		"-machine", "pc,graphics=off", "-m", "32", "-drive", "if=ide,format=raw,file="+image, "-device", "isa-debug-exit,iobase=0xf4,iosize=1")
	// A guest ends QEMU with an exit code that is never 0.
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		return 0, fmt.Errorf("lab: the pace of this machine: %w", errors.Join(err, context.Cause(ctx)))
	}
	s.pace = min(max(1, time.Since(begin).Seconds()/paceReference.Seconds()), maxPace)
	return s.pace, nil
}

// counting returns a program that counts down from paceLoops and then ends QEMU
// through its isa-debug-exit device.
func counting() []byte {
	code := binary.LittleEndian.AppendUint32([]byte{0x66, 0xb9}, paceLoops) // mov ecx, paceLoops
	return append(code,
		0x66, 0x49, // dec ecx
		0x75, 0xfc, // jnz to the dec
		0xb0, 0x00, // mov al, 0
		0xe6, 0xf4, // out 0xf4, al
	)
}
