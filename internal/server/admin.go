package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"keyward/internal/clock"
)

// adminSocket is where a running `up --dev` takes rehearsal commands from the same machine and user: file permissions
// are its authentication.
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

// adminHandler serves the rehearsal aids.
func adminHandler(c *clock.Clock, keep settings) http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(ClockReply{c.Now().UTC(), c.Offset().String()}) // the client is gone if this fails
	}
	mux.HandleFunc("GET /clock", func(w http.ResponseWriter, _ *http.Request) { answer(w) })
	mux.HandleFunc("POST /clock/advance", func(w http.ResponseWriter, r *http.Request) {
		by, err := time.ParseDuration(r.URL.Query().Get("by"))
		if err != nil || by < 0 {
			http.Error(w, "by must be a duration that is not negative", http.StatusBadRequest)
			return
		}
		// Kept first: the clock must not run back at the next start.
		if err := keep.PutSetting(r.Context(), offsetSetting, []byte((c.Offset() + by).String())); err != nil {
			http.Error(w, "the new time could not be kept: "+err.Error(), http.StatusInternalServerError)
			return
		}
		c.Advance(by)
		answer(w)
	})
	return mux
}

// listenAdmin binds the socket, replacing one that a killed process left behind: the folder's lock is ours.
func listenAdmin(dir string) (net.Listener, error) {
	path := filepath.Join(dir, adminSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("opening the rehearsal socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// ErrNoRehearsal is returned where no `up --dev` runs on the data folder.
var ErrNoRehearsal = errors.New("no `keyward up --dev` is running on this data folder")

// AdvanceClock moves the clock of the `up --dev` that runs on the data folder dir. A zero by only reads it.
func AdvanceClock(ctx context.Context, dir string, by time.Duration) (ClockReply, error) {
	path := filepath.Join(dir, adminSocket)
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
	defer client.CloseIdleConnections()
	method, url := http.MethodPost, "http://keyward/clock/advance?by="+by.String()
	if by == 0 {
		method, url = http.MethodGet, "http://keyward/clock"
	}
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return ClockReply{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return ClockReply{}, fmt.Errorf("%w (%s): %w", ErrNoRehearsal, dir, err)
	}
	defer func() { _ = response.Body.Close() }()
	var reply ClockReply
	if response.StatusCode != http.StatusOK {
		return reply, fmt.Errorf("moving the clock: %s", response.Status)
	}
	return reply, json.NewDecoder(response.Body).Decode(&reply)
}
