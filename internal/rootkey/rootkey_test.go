package rootkey

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"keyward/internal/secret"
)

func TestCreateThenOpen(t *testing.T) {
	dir := t.TempDir()
	path, by := filepath.Join(dir, "root.json"), KeyFile(filepath.Join(dir, "seal.key"))
	made, err := Create(path, by)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := made.Seal("test", []byte("material"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(path, by)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open("test", sealed); err != nil || string(got) != "material" {
		t.Errorf("%q, %v", got, err)
	}
	if !made.Derive("a").Equal(again.Derive("a")) || made.Derive("a").Equal(made.Derive("b")) {
		t.Error("derived keys do not depend on root and purpose alone")
	}
	for _, name := range []string{"root.json", "seal.key"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestNothingIsOverwrittenAndNothingInvented(t *testing.T) {
	dir := t.TempDir()
	path, keyPath := filepath.Join(dir, "root.json"), filepath.Join(dir, "seal.key")
	if _, err := Open(path, KeyFile(keyPath)); !errors.Is(err, ErrMissing) {
		t.Errorf("opening nothing: %v", err)
	}
	if _, err := os.Stat(keyPath); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open made a key file: %v", err)
	}
	if _, err := Create(path, KeyFile(keyPath)); err != nil {
		t.Fatal(err)
	}
	before := contents(t, path, keyPath)
	if _, err := Create(path, KeyFile(keyPath)); !errors.Is(err, ErrExists) {
		t.Errorf("creating twice: %v", err)
	}
	if err := os.Rename(keyPath, keyPath+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, KeyFile(keyPath)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the key file: %v", err)
	}
	if err := os.Rename(keyPath+".away", keyPath); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, contents(t, path, keyPath)) {
		t.Error("a refused call changed a file")
	}
}

func contents(t *testing.T, paths ...string) (all []byte) {
	t.Helper()
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	return all
}

func TestWrongSealIsSaid(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "root.json")
	const few = 1000 // so that the test is quick
	right := passphrase{secret.FromString("correct horse battery"), few}
	if _, err := Create(path, right); err != nil {
		t.Fatal(err)
	}
	for name, by := range map[string]Sealer{
		"passphrase": passphrase{secret.FromString("correct horse batterie"), few},
		"iterations": passphrase{secret.FromString("correct horse battery"), few + 1},
		"kind":       KeyFile(filepath.Join(dir, "seal.key")),
	} {
		if _, err := Open(path, by); !errors.Is(err, ErrWrongSeal) {
			t.Errorf("wrong %s: %v", name, err)
		}
	}
	if _, err := Open(path, right); err != nil {
		t.Errorf("right passphrase: %v", err)
	}
}

func TestEveryMemberOfTheFileIsAuthenticated(t *testing.T) {
	dir := t.TempDir()
	path, by := filepath.Join(dir, "root.json"), KeyFile(filepath.Join(dir, "seal.key"))
	if _, err := Create(path, by); err != nil {
		t.Fatal(err)
	}
	whole := contents(t, path)
	for name, change := range map[string]func(*file){
		"salt":    func(f *file) { f.Salt[0] ^= 1 },
		"sealed":  func(f *file) { f.Sealed[len(f.Sealed)-1] ^= 1 },
		"nonce":   func(f *file) { f.Sealed[3] ^= 1 },
		"version": func(f *file) { f.Version = 2 },
		"cut":     func(f *file) { f.Sealed = f.Sealed[:10] },
	} {
		var f file
		if err := json.Unmarshal(whole, &f); err != nil {
			t.Fatal(err)
		}
		change(&f)
		data, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, by); err == nil {
			t.Errorf("opened with another %s", name)
		}
	}
}

func TestKeyFileMustBePrivateAndWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal.key")
	for name, c := range map[string]struct {
		data []byte
		mode os.FileMode
	}{"readable by others": {make([]byte, size), 0o644}, "short": {make([]byte, size-1), 0o600}, "long": {make([]byte, size+1), 0o600}} {
		if err := os.WriteFile(path, c.data, c.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := KeyFile(path).First(nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestChooseSealer(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(PassphraseVariable, "")
	kind := func(passphraseFile string) string {
		by, err := ChooseSealer(filepath.Join(dir, "seal.key"), passphraseFile)
		if err != nil {
			t.Fatal(err)
		}
		return by.Kind()
	}
	if got := kind(""); got != "key file" {
		t.Error(got)
	}
	path := filepath.Join(dir, "passphrase")
	if err := os.WriteFile(path, []byte("a long passphrase\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const stretched = "passphrase (PBKDF2-SHA512, 600000)"
	if got := kind(path); got != stretched {
		t.Error(got)
	}
	t.Setenv(PassphraseVariable, "another long one")
	if got := kind(""); got != stretched {
		t.Error(got)
	}
	t.Setenv(PassphraseVariable, "short")
	if _, err := ChooseSealer("", ""); err == nil {
		t.Error("a short passphrase was accepted")
	}
}

func TestSealedOpensForItsPurposeOnly(t *testing.T) {
	r := root{secret.New(random(size))}
	rapid.Check(t, func(t *rapid.T) {
		purpose, plain := rapid.String().Draw(t, "purpose"), rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		sealed, err := r.Seal(purpose, plain)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Open(purpose, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%x, %v", got, err)
		}
		if _, err := r.Open(purpose+"x", sealed); !errors.Is(err, ErrNotSealedHere) {
			t.Fatal("opened for another purpose")
		}
		bit := rapid.IntRange(0, len(sealed)*8-1).Draw(t, "bit")
		sealed[bit/8] ^= 1 << (bit % 8)
		if _, err := r.Open(purpose, sealed); !errors.Is(err, ErrNotSealedHere) {
			t.Fatal("opened with a flipped bit")
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1,"seal":"key file","salt":"AAAA","sealed":"AAAA"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := parse(data); err == nil && (got.Version != fileVersion || len(got.Salt) != saltSize) {
			t.Errorf("accepted %+v", got)
		}
	})
}
