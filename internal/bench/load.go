// Package bench measures keyward against a bare server that does the least possible for one Encrypt: net/http, SigV4
// with a cached signing key, one AES-GCM seal. Numbers are ratios of the two in one run, printed beside the budget of
// the design; a number alone says more about the machine than about the code.
package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Load replays one HTTP/1.1 request on a number of connections until ctx ends, as fast as answers come, and returns
// the answers a second. Any answer but 200 is an error: a fast refusal is no speed.
func Load(ctx context.Context, address string, request []byte, connections int) (perSecond float64, err error) {
	var answers atomic.Int64
	var all sync.WaitGroup
	failures := make(chan error, connections)
	began := time.Now()
	for range connections {
		all.Go(func() {
			if err := replay(ctx, address, request, &answers); err != nil {
				failures <- err
			}
		})
	}
	all.Wait()
	elapsed := time.Since(began)
	select {
	case err := <-failures:
		return 0, err
	default:
		return float64(answers.Load()) / elapsed.Seconds(), nil
	}
}

// replay is one connection's work. It reads no more of an answer than it must, so that the load costs little beside
// what is measured.
func replay(ctx context.Context, address string, request []byte, answers *atomic.Int64) (err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReaderSize(conn, 8<<10)
	for ctx.Err() == nil {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		if err := skipAnswer(reader); err != nil {
			return err
		}
		answers.Add(1)
	}
	return nil
}

// skipAnswer reads one answer with a Content-Length.
func skipAnswer(r *bufio.Reader) error {
	status, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		text := strings.TrimSpace(string(line))
		if text == "" {
			break
		}
		if name, value, _ := strings.Cut(text, ":"); strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("bench: an answer without Content-Length")
	}
	body := make([]byte, min(length, 512))
	n, err := io.ReadFull(r, body)
	if err != nil {
		return err
	}
	if !strings.Contains(status, " 200 ") {
		return fmt.Errorf("bench: %s %s", strings.TrimSpace(status), body)
	}
	_, err = r.Discard(length - n)
	return err
}
