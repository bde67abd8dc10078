package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"keyward/internal/clock"
)

// adminSocket is where a running installation takes commands from the same machine and user: file permissions are its
// authentication.
const adminSocket = "admin.sock"

// ClockReply is what the clock says.
type ClockReply struct {
	Now   time.Time `json:"now"`   // the installation's time
	Ahead string    `json:"ahead"` // how far ahead of the machine's clock, as time.Duration prints it
}

// offsetSetting keeps the clock's offset across restarts: time that has passed in a rehearsal stays passed.
const offsetSetting = "clock.offset"

type settings interface {
	PutSetting(ctx context.Context, name string, value []byte) error
}

// openAdmin opens the socket. Rehearsal aids are there with --dev only.
func (i *installation) openAdmin(context.Context) error {
	socket, err := listenAdmin(i.config.Data)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+trailPath, i.deliverTrail)
	mux.HandleFunc("GET "+hsmAuditPath, i.serveHsmAudit)
	mux.HandleFunc("POST "+accountsPath, i.createAccount)
	mux.HandleFunc("GET "+accountsPath, i.listAccounts)
	mux.HandleFunc("GET "+explainPath, i.explain)
	if i.config.Dev {
		serveClock(mux, i.clock, i.db)
	}
	admin := &http.Server{Handler: mux, ReadHeaderTimeout: headerTime}
	go i.serve(admin, socket)
	i.onClose(admin.Close)
	return nil
}

// serveClock adds the rehearsal aids.
func serveClock(mux *http.ServeMux, c *clock.Clock, keep settings) {
	answer := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(ClockReply{c.Now().UTC(), c.Offset().String()}) // the client is gone if this fails
	}
	var moving sync.Mutex // held from the reading of the offset until it is another one
	mux.HandleFunc("GET /clock", func(w http.ResponseWriter, _ *http.Request) { answer(w) })
	mux.HandleFunc("POST /clock/advance", func(w http.ResponseWriter, r *http.Request) {
		by, err := time.ParseDuration(r.URL.Query().Get("by"))
		if err != nil || by < 0 {
			http.Error(w, "by must be a duration that is not negative", http.StatusBadRequest)
			return
		}
		moving.Lock()
		defer moving.Unlock()
		// Kept first: the clock must not run back at the next start.
		if err := keep.PutSetting(r.Context(), offsetSetting, []byte((c.Offset() + by).String())); err != nil {
			http.Error(w, "the new time could not be kept: "+err.Error(), http.StatusInternalServerError)
			return
		}
		c.Advance(by)
		answer(w)
	})
}

// listenAdmin binds the socket, replacing one that a killed process left behind: the folder's lock is ours.
func listenAdmin(dir string) (net.Listener, error) {
	path := filepath.Join(dir, adminSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	address, release, err := socketAddress(dir)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", address)
	if err = errors.Join(err, release()); err != nil {
		return nil, fmt.Errorf("opening the socket for commands: %w", err)
	}
	if u, ok := l.(*net.UnixListener); ok && address != path {
		u.SetUnlinkOnClose(false) // by then the handle's number may be another folder's
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// maxSocketPath is what the system takes as a socket's path.
const maxSocketPath = 107

// socketAddress is the socket's path as the system takes it: a long one goes through a handle on the folder, which
// release closes.
func socketAddress(dir string) (address string, release func() error, err error) {
	path := filepath.Join(dir, adminSocket)
	if len(path) <= maxSocketPath {
		return path, func() error { return nil }, nil
	}
	handle, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", handle.Fd(), adminSocket), handle.Close, nil
}

// errNotRunning is the absence of a process that serves a data folder.
var errNotRunning = errors.New("nothing is listening")

// callAdmin sends one command to the installation that runs on dir.
func callAdmin(ctx context.Context, dir, method, path string) (*http.Response, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		address, release, err := socketAddress(dir)
		if err != nil {
			return nil, err
		}
		c, err := new(net.Dialer).DialContext(ctx, "unix", address)
		return c, errors.Join(err, release())
	}}}
	request, err := http.NewRequestWithContext(ctx, method, "http://keyward"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotRunning, err)
	}
	return response, nil
}

// ErrNotRunning is returned where no `up` runs on the data folder.
var ErrNotRunning = errors.New("keyward is not running on this data folder")

// maxReply bounds an answer to a command, in bytes. The longest is a page of an HSM's audit log.
const maxReply = 8 << 20

// askAdmin sends one command and reads its answer; a refusal is an error with its text.
func askAdmin(ctx context.Context, dir, method, path string) ([]byte, error) {
	response, err := callAdmin(ctx, dir, method, path)
	if errors.Is(err, errNotRunning) {
		return nil, fmt.Errorf("%w (%s): %w", ErrNotRunning, dir, err)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxReply+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxReply:
		return nil, fmt.Errorf("the installation answers with more than %d bytes", maxReply)
	case response.StatusCode/100 != 2:
		return nil, errors.New(strings.TrimSpace(string(text)))
	}
	return text, nil
}

// ErrNoRehearsal is returned where no `up --dev` runs on the data folder.
var ErrNoRehearsal = errors.New("no `keyward up --dev` is running on this data folder")

// AdvanceClock moves the clock of the `up --dev` that runs on the data folder dir. A zero by only reads it.
func AdvanceClock(ctx context.Context, dir string, by time.Duration) (ClockReply, error) {
	method, path := http.MethodPost, "/clock/advance?by="+by.String()
	if by == 0 {
		method, path = http.MethodGet, "/clock"
	}
	response, err := callAdmin(ctx, dir, method, path)
	if errors.Is(err, errNotRunning) {
		return ClockReply{}, fmt.Errorf("%w (%s): %w", ErrNoRehearsal, dir, err)
	}
	if err != nil {
		return ClockReply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	var reply ClockReply
	switch response.StatusCode {
	case http.StatusOK:
		return reply, json.NewDecoder(response.Body).Decode(&reply)
	case http.StatusNotFound:
		return reply, fmt.Errorf("%w (%s): it runs without --dev", ErrNoRehearsal, dir)
	default:
		return reply, fmt.Errorf("moving the clock: %s", response.Status)
	}
}
