package tftp

// How an engine sends a file: from memory, or in chunks as they are read from
// the disk.

import (
	"errors"
	"time"
)

// send sends a burst, or as much of it as is in memory.
func (e *engine) send(s *session, b burst) {
	if b.oack {
		e.buffer = appendOACK(e.buffer[:0], s.terms.granted, s.file.size)
		e.out.packet(&s.route, e.buffer)
		return
	}
	block := int64(s.terms.block)
	offset := (b.first - 1) * block
	want := min(int64(b.count)*block, s.file.size-offset)
	got := s.file.view(&e.view, offset, want, s.held)
	pieces, count := e.view.pieces, b.count
	if got < want {
		count = int(got / block)
		got = int64(count) * block
		pieces = trim(pieces, got)
	}
	if count > 0 {
		e.out.blocks(&s.route, b.first, count, s.terms.block, pieces)
		s.sent += got
	}
	e.view.reset()
	if s.file.source != nil {
		e.stream(s, burst{first: b.first + int64(count), count: b.count - count}, offset+got)
	}
}

// trim cuts pieces to n bytes in all.
func trim(pieces [][]byte, n int64) [][]byte {
	for i, p := range pieces {
		if n <= int64(len(p)) {
			pieces[i] = p[:n]
			return pieces[:i+1]
		}
		n -= int64(len(p))
	}
	return pieces
}

// stream fetches chunks of a streamed file: those that the rest of a burst
// waits for, or the next one.
func (e *engine) stream(s *session, rest burst, offset int64) {
	e.releaseHeld(s)
	s.pending = rest
	if rest.count == 0 {
		s.file.fetch(offset/chunkSize+1, nil)
		return
	}
	if s.waiting {
		return
	}
	s.waiting = true
	from := offset / chunkSize
	to := min(offset+int64(s.terms.block), s.file.size-1) / chunkSize
	file := s.file // the session may release it meanwhile
	file.fetch(from, func(c *chunk, err error) {
		if err != nil || to == from {
			s.inbox.post(message{kind: messageChunks, session: s, chunks: []*chunk{c}, err: err})
			return
		}
		file.fetch(to, func(d *chunk, err error) {
			s.inbox.post(message{kind: messageChunks, session: s, chunks: []*chunk{c, d}, err: err})
		})
	})
}

// chunks continues a burst whose chunks have been read.
func (e *engine) chunks(s *session, m message, now time.Duration) {
	s.waiting = false
	s.held = m.chunks
	if s.over {
		e.releaseHeld(s)
		return
	}
	if m.err != nil {
		text := textUnreadable
		if errors.Is(m.err, errChanged) {
			text = textChanged
		}
		e.sendError(&s.route, codeUndefined, text)
		e.finish(s, Failed, m.err, now)
		return
	}
	b := s.pending
	if b.count == 0 {
		e.releaseHeld(s)
		return
	}
	s.machine.await(now) // the wait for the disk was not the client's
	e.act(s, b, now)
}

// releaseHeld has the chunks that a session holds given back after the next
// flush.
func (e *engine) releaseHeld(s *session) {
	e.view.lent = append(e.view.lent, s.held...)
	s.held = nil
}

// flushed gives back the chunks that were sent. The outbox does not read them
// any more.
func (e *engine) flushed() { e.view.giveBack() }
