package cloudhsm

import (
	"crypto/rand"
	"encoding/hex"
)

// idAlphabet is the base-32 alphabet of CloudHSM's ids: 0, 1, 8 and 9 never occur.
const idAlphabet = "abcdefghijklmnopqrstuvwxyz234567"

// idLength is the length of an id's random part, 55 bits.
const idLength = 11

func newID(prefix string) string {
	random := make([]byte, idLength)
	_, _ = rand.Read(random) // never fails: crypto/rand ends the program instead
	for i, b := range random {
		random[i] = idAlphabet[b%32]
	}
	return prefix + string(random)
}

// newGroupID makes an id in the style of EC2.
func newGroupID() string { return "sg-" + randomHex(9)[:17] }

// newNode names a new incarnation of an HSM. The name is random, so that a crash can never make it come twice.
func newNode(hsmID string) string { return hsmID + "." + randomHex(8) }

func randomHex(bytes int) string {
	random := make([]byte, bytes)
	_, _ = rand.Read(random)
	return hex.EncodeToString(random)
}
