package rootkey

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"os"

	"keyward/internal/durable"
	"keyward/internal/secret"
)

// PassphraseVariable is the environment variable that may hold the passphrase.
const PassphraseVariable = "KEYWARD_SEAL_PASSPHRASE"

// Bounds of a passphrase, in bytes.
const (
	MinPassphrase = 12
	MaxPassphrase = 1024
)

// iterations of PBKDF2-HMAC-SHA-512. The kind of the seal names them, so that a later version can raise the number.
const iterations = 600_000

// A Sealer gives the key under which the root key's file is sealed, from what an operator holds outside of it.
type Sealer interface {
	// Kind names the sealer in the file and in error messages, for example "key file".
	Kind() string
	// First gives 32 bytes for a new file with this salt. It may make what the operator is to hold.
	First(salt []byte) (secret.Bytes, error)
	// Again gives the same 32 bytes for an existing file. It makes nothing.
	Again(salt []byte) (secret.Bytes, error)
}

// KeyFile seals by 32 random bytes in a file of their own, which First makes if it is not there. Keep it apart from
// backups of the data: whoever has both has everything.
func KeyFile(path string) Sealer { return keyFile(path) }

type keyFile string

func (keyFile) Kind() string { return "key file" }

func (k keyFile) First(salt []byte) (secret.Bytes, error) {
	key, err := k.Again(salt)
	if !errors.Is(err, os.ErrNotExist) {
		return key, err
	}
	made := random(size)
	if err := durable.WriteFile(string(k), made); err != nil {
		return secret.Bytes{}, fmt.Errorf("making the key file: %w", err)
	}
	return secret.New(made), nil
}

func (k keyFile) Again([]byte) (secret.Bytes, error) {
	key, err := readPrivate(string(k), size)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("reading the key file: %w", err)
	}
	if key.Len() != size {
		return secret.Bytes{}, fmt.Errorf("the key file %s holds %d bytes, not %d", string(k), key.Len(), size)
	}
	return key, nil
}

// readPrivate reads a file that nobody but its owner may read, at most limit bytes and one more.
func readPrivate(path string, limit int64) (secret.Bytes, error) {
	in, err := os.Open(path)
	if err != nil {
		return secret.Bytes{}, err
	}
	info, err := in.Stat()
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("%s can be read by others (mode %04o): make it 0600", path, info.Mode().Perm())
	}
	var data []byte
	if err == nil {
		data, err = io.ReadAll(io.LimitReader(in, limit+1))
	}
	return secret.New(data), errors.Join(err, in.Close())
}

// Passphrase seals by a passphrase, stretched with PBKDF2-HMAC-SHA-512.
func Passphrase(p secret.Bytes) (Sealer, error) {
	if p.Len() < MinPassphrase || p.Len() > MaxPassphrase {
		return nil, fmt.Errorf("rootkey: a passphrase has %d to %d bytes", MinPassphrase, MaxPassphrase)
	}
	return passphrase{p, iterations}, nil
}

type passphrase struct {
	secret.Bytes
	iterations int
}

func (p passphrase) Kind() string { return fmt.Sprintf("passphrase (PBKDF2-SHA512, %d)", p.iterations) }

func (p passphrase) First(salt []byte) (secret.Bytes, error) { return p.Again(salt) }

func (p passphrase) Again(salt []byte) (secret.Bytes, error) {
	key, err := pbkdf2.Key(sha512.New, string(p.Expose()), salt, p.iterations, size)
	return secret.New(key), err
}

// ChooseSealer picks the operator's seal: the passphrase in passphraseFile (its trailing line feed does not count) if
// one is named, else the one in the environment variable KEYWARD_SEAL_PASSPHRASE if it is set, else the key file.
func ChooseSealer(keyFile, passphraseFile string) (Sealer, error) {
	if passphraseFile != "" {
		p, err := readPrivate(passphraseFile, MaxPassphrase+2)
		if err != nil {
			return nil, fmt.Errorf("reading the passphrase: %w", err)
		}
		return Passphrase(secret.New(bytes.TrimRight(p.Expose(), "\r\n")))
	}
	if p := os.Getenv(PassphraseVariable); p != "" {
		return Passphrase(secret.FromString(p))
	}
	return KeyFile(keyFile), nil
}
