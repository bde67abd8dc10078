package rootkey

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"keyward/internal/durable"
	"keyward/internal/secret"
)

// What stands in the way of a root key file.
var (
	// ErrExists: there is a root key already. It is never overwritten, since everything sealed would be lost.
	ErrExists = errors.New("rootkey: there is a root key file already")
	// ErrMissing: there is no root key. None is made in its place, since nothing sealed would open under it.
	ErrMissing = errors.New("rootkey: there is no root key file")
	// ErrWrongSeal: the seal given does not open the file, or the file was changed.
	ErrWrongSeal = errors.New("rootkey: this seal does not open the root key file")
)

const (
	fileVersion = 1
	saltSize    = 32
	maxFileSize = 64 << 10
)

// file is the stored form. Everything but Sealed is authenticated with it.
type file struct {
	Version int    `json:"version"`
	Seal    string `json:"seal"` // Sealer.Kind
	Salt    []byte `json:"salt"`
	Sealed  []byte `json:"sealed,omitempty"`
}

// Create makes a root key and keeps it at path, sealed. It fails with ErrExists where there is one.
func Create(path string, by Sealer) (Key, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%w: %s", ErrExists, path)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("creating the root key: %w", err)
	}
	f := file{Version: fileVersion, Seal: by.Kind(), Salt: random(saltSize)}
	key, err := by.First(f.Salt)
	if err != nil {
		return nil, fmt.Errorf("creating the root key: %w", err)
	}
	defer key.Wipe()
	r := root{secret.New(random(size))}
	if err := f.write(path, key, r); err != nil {
		return nil, fmt.Errorf("creating the root key: %w", err)
	}
	return r, nil
}

func random(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(err) // crypto/rand promises that it never fails
	}
	return b
}

// write seals r under the sealer's key and writes the file.
func (f *file) write(path string, key secret.Bytes, r root) (err error) {
	fileKey := f.fileKey(key)
	defer fileKey.Wipe()
	if f.Sealed, err = seal(fileKey, f.header(), r.secret.Expose()); err != nil {
		return err
	}
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(data, '\n'))
}

// fileKey separates this use of the sealer's key from any other.
func (f *file) fileKey(key secret.Bytes) secret.Bytes { return expand(key, "keyward root key file v1") }

// header is what the seal authenticates.
func (f *file) header() []byte {
	return fmt.Appendf(nil, "keyward root key file\x00%d\x00%s\x00%x", f.Version, f.Seal, f.Salt)
}

// Open reads the root key at path. It fails with ErrMissing where there is none and with ErrWrongSeal where the seal
// does not fit; it changes nothing.
func Open(path string, by Sealer) (Key, error) {
	f, err := read(path)
	if err != nil {
		return nil, err
	}
	if f.Seal != by.Kind() {
		return nil, fmt.Errorf("%w: %s is sealed by a %s, not by a %s", ErrWrongSeal, path, f.Seal, by.Kind())
	}
	key, err := by.Again(f.Salt)
	if err != nil {
		return nil, fmt.Errorf("opening the root key: %w", err)
	}
	defer key.Wipe()
	fileKey := f.fileKey(key)
	defer fileKey.Wipe()
	plain, err := open(fileKey, f.header(), f.Sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrWrongSeal, path)
	}
	if len(plain) != size {
		return nil, fmt.Errorf("rootkey: %s holds %d bytes instead of %d", path, len(plain), size)
	}
	return root{secret.New(plain)}, nil
}

func read(path string) (*file, error) {
	in, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrMissing, path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the root key: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFileSize+1))
	if err := errors.Join(err, in.Close()); err != nil {
		return nil, fmt.Errorf("reading the root key: %w", err)
	}
	return parse(data)
}

func parse(data []byte) (*file, error) {
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("rootkey: the file is larger than %d bytes", maxFileSize)
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("rootkey: the file is damaged: %w", err)
	}
	if f.Version != fileVersion {
		return nil, fmt.Errorf("rootkey: version %d of the file is unknown, this program reads version %d", f.Version, fileVersion)
	}
	if len(f.Salt) != saltSize {
		return nil, fmt.Errorf("rootkey: the file is damaged: a salt of %d bytes", len(f.Salt))
	}
	return &f, nil
}
