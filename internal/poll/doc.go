// Package poll lets a goroutine wait for a socket of its own and move its
// datagrams in batches, outside Go's poller. That one is made for many goroutines
// that wait seldom: a packet wakes a thread that looks for what is ready, which
// wakes the thread that runs the goroutine. Here the goroutine's own thread sleeps
// in the system call and nobody else is in the way of an answer. Only where other
// goroutines go on with what arrives Go's poller is the better one: see Parked.
//
// With GOMAXPROCS=1 the scheduler's watchdog takes part in each wait all the
// same; a program does well to have two, and to set them before its first Poller:
// one is always left for other goroutines. There is nothing here for systems other
// than Linux.
package poll

import (
	"math"
	"time"
)

// Never is a time that does not come.
const Never = time.Duration(math.MaxInt64)
