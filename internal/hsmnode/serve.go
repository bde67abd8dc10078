package hsmnode

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"keyward/internal/hsmproto"
)

const (
	frameLimit  = 30 * time.Second // for the rest of a frame that has begun
	writeLimit  = 30 * time.Second // for a peer that does not read its replies
	readBuffer  = 16 << 10         // bytes; one TLS record
	replyBuffer = 64 << 10         // bytes of replies that make a write due
)

var errUnknownOp = &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "unknown operation"}

// service answers the calls of one connection.
type service interface {
	// inline tells operations that take microseconds: the connection's reader carries them out itself.
	inline(op hsmproto.Op) bool
	// call carries an operation out. body is valid until it returns. A *hsmproto.Error is the answer; another error
	// becomes CodeInternal.
	call(ctx context.Context, op hsmproto.Op, body []byte) (any, error)
	// idle is how long the connection may be silent; zero means forever.
	idle() time.Duration
	// close is called when the connection and all its calls are over.
	close()
}

// handle decodes a request strictly and carries it out.
func handle[Q any](ctx context.Context, body []byte, f func(context.Context, *Q) (any, error)) (any, error) {
	q := new(Q)
	if err := hsmproto.Unmarshal(body, q); err != nil {
		return nil, &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "malformed request"}
	}
	return f(ctx, q)
}

// accept gives each connection to serve in a goroutine of its own, at most limit at a time: more are closed at once.
func (n *node) accept(l net.Listener, limit int, serve func(net.Conn)) {
	slots := make(chan struct{}, limit)
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, or the client left already
			n.log.Warn("accepting a connection", "error", err)
			select {
			case <-time.After(retryPause):
			case <-n.ctx.Done():
			}
			continue
		}
		select {
		case slots <- struct{}{}:
			n.work.Go(func() {
				defer func() { <-slots }()
				serve(c)
			})
		default:
			_ = c.Close() // refused
		}
	}
}

// handshake completes TLS, or closes the connection and returns nil.
func (n *node) handshake(raw net.Conn, config *tls.Config) *tls.Conn {
	ctx, cancel := context.WithTimeout(n.ctx, handshakeLimit)
	defer cancel()
	c := tls.Server(raw, config)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = raw.Close() // no use either way
		return nil
	}
	return c
}

// connection is the serving side of hsmproto.Conn.
type connection struct {
	node    *node
	net     net.Conn
	in      *bufio.Reader
	body    []byte // the reader's, for frames that it deals with itself
	service service
	slots   chan struct{} // calls in progress outside the reader
	calls   sync.WaitGroup

	mu  sync.Mutex // guards out
	out []byte     // replies not yet handed to the network

	writing sync.Mutex // guards spare and the network's writing side
	spare   []byte
}

// serve answers calls until the connection ends or the HSM does.
func (n *node) serve(c net.Conn, s service) {
	conn := &connection{
		node: n, net: c, in: bufio.NewReaderSize(c, readBuffer), service: s,
		slots: make(chan struct{}, hsmproto.MaxSessionsPerConnection),
	}
	stop := context.AfterFunc(n.ctx, func() { _ = c.Close() })
	defer stop()
	conn.read()
	_ = c.Close() // the connection is over either way
	conn.calls.Wait()
	s.close()
}

// read carries calls out until the connection fails. Replies of a burst leave together.
func (c *connection) read() {
	for {
		if c.in.Buffered() == 0 {
			if c.flush() != nil || c.await() != nil {
				return
			}
		}
		f, err := hsmproto.ReadFrameInto(c.in, c.body)
		if err != nil {
			return
		}
		c.body = c.dispatch(f)
	}
}

// await returns when the next frame begins.
func (c *connection) await() error {
	var deadline time.Time
	if idle := c.service.idle(); idle > 0 {
		deadline = time.Now().Add(idle)
	}
	for {
		if err := c.net.SetReadDeadline(deadline); err != nil {
			return err
		}
		_, err := c.in.Peek(1)
		if err == nil {
			return c.net.SetReadDeadline(time.Now().Add(frameLimit))
		}
		// A login may have lifted the limit meanwhile.
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.service.idle() > 0 {
			return err
		}
		deadline = time.Time{}
	}
}

// dispatch carries a call out, or starts to. It returns memory for the next frame's body, if this one's is free.
func (c *connection) dispatch(f hsmproto.Frame) []byte {
	if c.service.inline(f.Op) {
		c.answer(f)
		if cap(f.Body) <= readBuffer {
			return f.Body[:0]
		}
		return nil
	}
	select {
	case c.slots <- struct{}{}:
		c.calls.Go(func() {
			c.answer(f)
			<-c.slots
			_ = c.flush() // the reader finds out too
		})
	default:
		c.reply(f.Call, nil, &hsmproto.Error{Code: hsmproto.CodeNoSession})
	}
	return nil
}

func (c *connection) answer(f hsmproto.Frame) {
	reply, err := c.service.call(c.node.ctx, f.Op, f.Body)
	c.reply(f.Call, reply, err)
}

// reply queues an answer; flush sends it.
func (c *connection) reply(call uint64, reply any, err error) {
	kind := hsmproto.KindOK
	if err != nil {
		kind, reply = hsmproto.KindError, c.refusal(err)
	}
	c.mu.Lock()
	c.out, err = hsmproto.AppendMessage(c.out, call, kind, reply)
	c.mu.Unlock()
	if err != nil {
		c.node.log.Error("encoding a reply", "error", err)
		_ = c.net.Close() // the caller learns that the answer is lost
	}
	if r, ok := reply.(*hsmproto.CryptReply); ok {
		releaseReply(r)
	}
}

// refusal is what the caller may know of an error.
func (c *connection) refusal(err error) *hsmproto.Error {
	var refusal *hsmproto.Error
	if errors.As(err, &refusal) {
		return refusal
	}
	if c.node.ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return unavailable("")
	}
	c.node.log.Error("call failed", "error", err)
	return &hsmproto.Error{Code: hsmproto.CodeInternal}
}

// flush sends all queued replies in one write.
func (c *connection) flush() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	batch := c.out
	c.out = c.spare[:0]
	c.mu.Unlock()
	c.spare = nil
	if len(batch) == 0 {
		c.spare = batch
		return nil
	}
	if err := c.net.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	_, err := c.net.Write(batch)
	if cap(batch) <= replyBuffer { // a rare large reply does not stay in memory
		c.spare = batch
	}
	return err
}
