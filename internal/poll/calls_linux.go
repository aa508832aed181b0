package poll

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls that move datagrams. No call that does not wait is the
// scheduler's business: it would take the processor from a thread in a system
// call, and have its watchdog look every twenty microseconds whether it is time
// to.

// receive is recvmmsg.
func receive(socket int, messages unsafe.Pointer, count int, flags uintptr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(socket), uintptr(messages), uintptr(count), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// failure is the error that a number of recvmmsg means: none where nothing was
// there, or where a signal came.
func failure(errno unix.Errno) error {
	switch errno {
	case 0, unix.EAGAIN, unix.EINTR:
		return nil
	}
	return os.NewSyscallError("recvmmsg", errno)
}

// send is sendmmsg. It waits where the socket has no room and may block.
func send(socket int, messages unsafe.Pointer, count int) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(socket), uintptr(messages), uintptr(count), unix.MSG_DONTWAIT, 0, 0)
	for full := errno == unix.EAGAIN; full || errno == unix.EINTR; full = false {
		n, _, errno = unix.Syscall6(unix.SYS_SENDMMSG, uintptr(socket), uintptr(messages), uintptr(count), 0, 0, 0)
	}
	return int(n), errno
}
