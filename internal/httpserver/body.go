package httpserver

import (
	"bufio"
	"errors"
	"io"
	"net/http"
)

var errBroken = errors.New("httpserver: the end of the request's body did not come")

// body is a request's. It remembers whether its end failed to come: a handler may have closed it after that, and what
// comes later is not the next request. Unlike net/http's it is for one goroutine at a time, and not for later than the
// handler.
type body struct {
	from   *bufio.Reader
	left   int64
	closed bool
	broken bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	case b.left == 0:
		return 0, io.EOF
	case int64(len(p)) > b.left:
		p = p[:b.left]
	}
	n, err := b.from.Read(p)
	if b.left -= int64(n); err == nil && b.left == 0 {
		return n, io.EOF
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	b.broken = b.broken || err != nil
	return n, err
}

// Close implements io.Closer. What was not read is skipped.
func (b *body) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	if b.broken {
		return errBroken
	}
	n, err := b.from.Discard(int(b.left))
	if b.left -= int64(n); err != nil {
		b.broken = true
		return errBroken
	}
	return nil
}
