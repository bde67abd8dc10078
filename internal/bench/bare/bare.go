// Package bare is the yardstick of the benchmarks: the least that a server of KMS's Encrypt can do. It checks SigV4
// with one access key whose signing key is cached, decodes, seals once with AES-256-GCM and encodes. It has no
// validation, policy, audit, key states or storage, and must never serve anything but a benchmark.
package bare

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"keyward/internal/secret"
	"keyward/internal/sigv4"
)

// Handler answers every request as Encrypt.
type Handler struct {
	accessKeyID string
	secret      secret.Bytes
	now         func() time.Time
	keys        *sigv4.KeyCache
	aead        cipher.AEAD
}

// New makes a Handler that knows one access key and has one AES key, made here and lost with it.
func New(accessKeyID string, secretAccessKey secret.Bytes, now func() time.Time) (*Handler, error) {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails; the program would have ended
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("bare: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("bare: %w", err)
	}
	return &Handler{accessKeyID, secretAccessKey, now, sigv4.NewKeyCache(16), aead}, nil
}

type input struct {
	KeyId     string //nolint:revive // the name on the wire
	Plaintext []byte
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || h.verify(r, body) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var in input
	if err := json.Unmarshal(body, &in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	sealed := h.aead.Seal(nil, nil, in.Plaintext, []byte(in.KeyId))
	out := append(make([]byte, 0, 512), `{"CiphertextBlob":"`...)
	out = base64.StdEncoding.AppendEncode(out, sealed)
	out = append(out, `","EncryptionAlgorithm":"SYMMETRIC_DEFAULT","KeyId":"`...)
	out = append(append(out, in.KeyId...), `"}`...)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_, _ = w.Write(out)
}

func (h *Handler) verify(r *http.Request, body []byte) error {
	signed := sigv4.Request{Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Host: r.Host, Header: r.Header, Body: body}
	s, err := sigv4.Parse(&signed)
	if err != nil {
		return err
	}
	if err := s.CheckScope(&signed, "kms"); err != nil {
		return err
	}
	if s.AccessKeyID != h.accessKeyID {
		return sigv4.ErrUnknownKey
	}
	if err := s.CheckTime(h.now()); err != nil {
		return err
	}
	return s.Verify(&signed, h.keys.Key(h.secret, s.Credential))
}
