//go:build !windows

package httpboot

import (
	"math"
	"syscall"
)

// descriptorLimit returns how many descriptors this process may have.
func descriptorLimit() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return math.MaxInt64
	}
	return uint64(l.Cur)
}
