package httpserver

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

var errBroken = errors.New("httpserver: the end of the request's body did not come")

// arriving is a body of which a part had not arrived with its head. It remembers whether the rest failed to come: a
// handler may have closed it after that, and what comes later is not the next request.
type arriving struct {
	io.ReadCloser
	broken atomic.Bool
}

// Read implements io.Reader.
func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil && err != io.EOF && err != http.ErrBodyReadAfterClose { //nolint:errorlint // never wrapped
		a.broken.Store(true)
	}
	return n, err
}

// Close implements io.Closer.
func (a *arriving) Close() error {
	err := a.ReadCloser.Close()
	if err != nil {
		a.broken.Store(true)
	}
	return err
}
