package hsmnode

import (
	"testing"
)

func TestHasher(t *testing.T) {
	t.Parallel()
	if hashIterations < 210_000 {
		t.Errorf("release builds would hash with %d iterations", hashIterations)
	}
	h := newHasher()
	record, err := h.hash(t.Context(), []byte("password-1"))
	if err != nil {
		t.Fatal(err)
	}
	if record.Iterations != hashIterations || len(record.Salt) != hashSaltSize || len(record.Hash) != hashSize {
		t.Errorf("record of %d iterations, %d bytes of salt, %d of hash", record.Iterations, len(record.Salt), len(record.Hash))
	}
	for password, right := range map[string]bool{"password-1": true, "password-2": false, "": false} {
		if got, err := h.verify(t.Context(), []byte(password), record); err != nil || got != right {
			t.Errorf("verify(%q) = %v, %v", password, got, err)
		}
	}
	record.Algorithm = "rot13"
	if _, err := h.verify(t.Context(), []byte("password-1"), record); err == nil {
		t.Error("an unknown algorithm is taken")
	}
}
