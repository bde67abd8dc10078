package keystore

import (
	"crypto/rand"
	"fmt"

	"keyward/internal/secret"
)

// passwordLength of generated passwords: the longest an HSM takes.
const passwordLength = 32

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// newPassword makes 32 alphanumeric characters, each of them equally likely.
func newPassword() secret.Bytes {
	const fair = 256 - 256%len(alphanumeric)
	password := make([]byte, 0, passwordLength)
	var draw [2 * passwordLength]byte
	for len(password) < passwordLength {
		_, _ = rand.Read(draw[:]) // never fails
		for _, b := range draw {
			if int(b) < fair && len(password) < passwordLength {
				password = append(password, alphanumeric[int(b)%len(alphanumeric)])
			}
		}
	}
	clear(draw[:])
	return secret.New(password)
}

// Purposes name what is sealed; the store's id in them keeps one store's secrets from opening in another's place.
func purposePassword(id string) string { return "keystore password " + id }
func purposeClient(id string) string   { return "keystore client " + id }

func (m *Manager) sealPassword(id string, password secret.Bytes) ([]byte, error) {
	sealed, err := m.sealer.Seal(purposePassword(id), password.Expose())
	if err != nil {
		return nil, fmt.Errorf("sealing the password of %s: %w", id, err)
	}
	return sealed, nil
}

// openPassword gives an empty secret for nothing sealed.
func (m *Manager) openPassword(id string, sealed []byte) (secret.Bytes, error) {
	if len(sealed) == 0 {
		return secret.Bytes{}, nil
	}
	plain, err := m.sealer.Open(purposePassword(id), sealed)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("opening the password of %s: %w", id, err)
	}
	return secret.New(plain), nil
}
