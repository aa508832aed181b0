package tftp

// The deadlines of one socket's transfers, in a binary heap. An entry may be
// earlier than the deadline of its transfer: acknowledgements only move a
// deadline later, and moving the entry each time would be wasted work. The
// entry is corrected when its time comes.

import "time"

// deadlines is a heap of sessions by alarm. Each session knows its slot.
type deadlines []*session

// set adds s, or moves it forward, so that it comes up no later than at.
func (d *deadlines) set(s *session, at time.Duration) {
	if s.slot == 0 {
		*d = append(*d, s)
		s.slot = len(*d)
	} else if s.alarm <= at {
		return
	}
	s.alarm = at
	d.up(s.slot - 1)
}

// first returns the session that comes up next, nil if there is none.
func (d deadlines) first() *session {
	if len(d) == 0 {
		return nil
	}
	return d[0]
}

// delay moves the first session to a later time.
func (d deadlines) delay(at time.Duration) {
	d[0].alarm = at
	d.down(0)
}

// remove removes a session, if it is in the heap.
func (d *deadlines) remove(s *session) {
	if s.slot == 0 {
		return
	}
	i, end := s.slot-1, len(*d)-1
	d.swap(i, end)
	(*d)[end] = nil
	*d = (*d)[:end]
	s.slot = 0
	if i < end {
		d.up(i)
		d.down(i)
	}
}

// up moves the entry at i to the front while it is earlier than its parent.
func (d deadlines) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if d[parent].alarm <= d[i].alarm {
			return
		}
		d.swap(i, parent)
		i = parent
	}
}

// down moves the entry at i to the back while it is later than a child.
func (d deadlines) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(d) {
			return
		}
		if child+1 < len(d) && d[child+1].alarm < d[child].alarm {
			child++
		}
		if d[i].alarm <= d[child].alarm {
			return
		}
		d.swap(i, child)
		i = child
	}
}

// swap exchanges two entries.
func (d deadlines) swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].slot, d[j].slot = i+1, j+1
}
