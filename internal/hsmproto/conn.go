package hsmproto

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// readBuffer holds what one read brings: a TLS record's worth of small replies.
const readBuffer = 16 << 10

// ErrClosed is the cause of calls that fail because Close was called.
var ErrClosed = errors.New("hsmproto: connection closed")

// LostError is returned by Call when the connection broke before the reply came: the request may or may not have been
// carried out.
type LostError struct{ Cause error }

func (e *LostError) Error() string { return "hsmproto: connection lost: " + e.Cause.Error() }

// Unwrap gives the cause.
func (e *LostError) Unwrap() error { return e.Cause }

// Conn is the calling side of a connection. Any number of calls may be in progress; frames of concurrent calls leave
// in one write, which is what makes a call cheap under load.
type Conn struct {
	net  net.Conn
	done chan struct{} // closed when the connection is over
	wake chan struct{} // capacity 1: there is something in pending

	mu      sync.Mutex // guards what follows
	err     error      // why the connection is over
	next    uint64
	calls   map[uint64]chan Frame
	pending []byte // frames not yet handed to the network
}

// NewConn takes over c, whose handshake the caller has completed.
func NewConn(c net.Conn) *Conn {
	conn := &Conn{
		net:   c,
		done:  make(chan struct{}),
		wake:  make(chan struct{}, 1),
		calls: make(map[uint64]chan Frame),
	}
	go conn.read()
	go conn.write()
	return conn
}

// Call sends in as the body of op and decodes the reply into out (nil: the reply's body is not looked at). A refusal
// comes back as *Error, a broken connection as *LostError, an ended context as its error; in the last two cases the
// request may have been carried out.
func (c *Conn) Call(ctx context.Context, op Op, in, out any) error {
	if _, quick := in.(body); !quick { // that takes its time, and so happens outside the lock
		encoded, err := Marshal(in)
		if err != nil {
			return fmt.Errorf("hsmproto: encoding request %d: %w", op, err)
		}
		in = encodedBody(encoded)
	}
	reply, number, err := c.send(op, in)
	if err != nil {
		return err
	}
	select {
	case f := <-reply:
		return decodeReply(f, out)
	case <-c.done:
		// The reply may have been delivered just before the connection ended.
		select {
		case f := <-reply:
			return decodeReply(f, out)
		default:
			return &LostError{c.Err()}
		}
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.calls, number)
		c.mu.Unlock()
		return ctx.Err()
	}
}

// encodedBody is a message in its encoding.
type encodedBody []byte

func (b encodedBody) appendBody(buf []byte) []byte { return append(buf, b...) }

func (c *Conn) send(op Op, message any) (<-chan Frame, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, 0, &LostError{c.err}
	}
	c.next++
	pending, err := AppendMessage(c.pending, c.next, op, message)
	if err != nil {
		return nil, 0, err
	}
	c.pending = pending
	reply := make(chan Frame, 1)
	c.calls[c.next] = reply
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return reply, c.next, nil
}

func decodeReply(f Frame, out any) error {
	switch f.Op {
	case KindOK:
		if out == nil {
			return nil
		}
		if err := decodeBody(f.Body, out); err != nil {
			return fmt.Errorf("hsmproto: decoding a reply: %w", err)
		}
		return nil
	case KindError:
		refusal := new(Error)
		if err := Unmarshal(f.Body, refusal); err != nil {
			return fmt.Errorf("hsmproto: decoding a refusal: %w", err)
		}
		return refusal
	default:
		return fmt.Errorf("hsmproto: reply of unknown kind %#x", f.Op)
	}
}

// decodeBody decodes a reply; its frame's memory is nobody else's.
func decodeBody(data []byte, out any) error {
	if reply, ok := out.(*CryptReply); ok {
		return reply.Decode(data)
	}
	return Unmarshal(data, out)
}

// read hands replies to their callers until the connection ends.
func (c *Conn) read() {
	in := bufio.NewReaderSize(c.net, readBuffer)
	for {
		f, err := ReadFrame(in)
		if err != nil {
			c.end(err)
			return
		}
		c.mu.Lock()
		reply := c.calls[f.Call]
		delete(c.calls, f.Call)
		c.mu.Unlock()
		if reply != nil { // else its caller gave up waiting
			reply <- f
		}
	}
}

// write sends pending frames, all there are at a time.
func (c *Conn) write() {
	var spare []byte
	for {
		select {
		case <-c.wake:
		case <-c.done:
			return
		}
		c.mu.Lock()
		batch := c.pending
		c.pending = spare[:0]
		c.mu.Unlock()
		if _, err := c.net.Write(batch); err != nil {
			c.end(err)
			return
		}
		spare = batch
	}
}

func (c *Conn) end(cause error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = cause
	}
	c.mu.Unlock()
	if !first {
		return
	}
	// Outside the lock, which callers need to learn that it is over: TLS may wait for its peer to say goodbye.
	_ = c.net.Close() // the connection is over either way; cause says why
	close(c.done)
}

// Done is closed when the connection is over.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err says why the connection is over, nil while it is not.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection; calls in progress get a LostError.
func (c *Conn) Close() { c.end(ErrClosed) }
