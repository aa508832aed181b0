package tftp

// Messages from other goroutines to the one that owns a socket's transfers.

import "sync"

// messageKind says what a message is about.
type messageKind uint8

const (
	messageStart   messageKind = iota + 1 // the file is open: begin
	messageRefuse                         // the file cannot be served: tell the client
	messageRequest                        // the client repeated its request
	messageDrop                           // make room for another transfer
	messageStray                          // somebody acknowledged it to another port
	messageChunks                         // what pending waited for has been read
)

// message is a message about a session.
type message struct {
	kind    messageKind
	session *session
	request *Request // messageRequest
	chunks  []*chunk // messageChunks
	reason  Reason   // messageRefuse
	err     error    // messageRefuse, messageChunks
}

// inbox takes messages from any goroutine for one.
type inbox struct {
	wake func() // makes the owner look; called when the first message arrives

	mu       sync.Mutex
	messages []message
	spare    []message
}

// post adds a message.
func (b *inbox) post(m message) {
	b.mu.Lock()
	first := len(b.messages) == 0
	b.messages = append(b.messages, m)
	b.mu.Unlock()
	if first {
		b.wake()
	}
}

// take removes all messages and returns them. The result is valid until the
// next call.
func (b *inbox) take() []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.messages
	clear(b.spare)
	b.messages, b.spare = b.spare[:0], taken
	return taken
}
