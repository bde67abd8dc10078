package fleet

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyward/internal/cloudhsm"
	"keyward/internal/hsmproto"
)

// HSM processes do not get what only the API node may know.
func TestEnvironmentHoldsNoSecrets(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "marker")
	t.Setenv("KEYWARD_SEAL_PASSPHRASE", "marker")
	t.Setenv("SOMETHING_ELSE", "kept")
	env := environment()
	if strings.Contains(strings.Join(env, "\n"), "marker") || !slices.Contains(env, "SOMETHING_ELSE=kept") {
		t.Errorf("environment %v", env)
	}
}

func TestLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	log := &logFile{path: filepath.Join(dir, "hsm.log")}
	line := bytes.Repeat([]byte("x"), 1000)
	for range 5 * maxLog / len(line) {
		if n, err := log.Write(line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Size() > maxLog || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info, err)
		}
	}
	gone := &logFile{path: filepath.Join(dir, "gone", "hsm.log")}
	if n, err := gone.Write(line); n != len(line) || err != nil || isThere(filepath.Dir(gone.path)) {
		t.Errorf("a log without its folder: %d, %v", n, err)
	}
}

// An incarnation that was halted is not run again by an order that comes late.
func TestHaltedStaysHalted(t *testing.T) {
	w := newWorld(t)
	m := cloudhsm.Machine{
		HsmID: "hsm-aaaaaaaaaaa", ClusterID: "cluster-aaaaaaaaaaa", Node: "node-1", Address: w.block.Addr().Next().Next().String(),
		HsmType: "hsm2m.medium", Mode: "FIPS",
	}
	hardware, err := w.fleet.Make(t.Context(), m, hsmproto.CreateFirst)
	if err != nil || len(hardware.Provider) == 0 || len(hardware.Manufacturer) == 0 {
		t.Fatal(err)
	}
	w.must(w.fleet.Halt(t.Context(), m.HsmID, "another-node"))
	if w.fleet.unit(m.HsmID) == nil {
		t.Error("halting another incarnation ended this one")
	}
	process := w.fleet.unit(m.HsmID).running.Load()
	w.must(w.fleet.Halt(t.Context(), m.HsmID, m.Node))
	if process != nil {
		select {
		case <-process.exited:
		default:
			t.Error("the process lives on")
		}
	}
	w.fleet.Run(m)
	if w.fleet.unit(m.HsmID) != nil {
		t.Error("a halted incarnation runs again")
	}
	if !w.fleet.HasFolder(m.HsmID) {
		t.Error("its folder is gone")
	}
	m.Node = "node-2"
	if _, err := w.fleet.Make(t.Context(), m, hsmproto.CreateFirst); err != nil {
		t.Errorf("another incarnation: %v", err)
	}
	w.must(w.fleet.Discard(t.Context(), m.HsmID))
}
