package conformance

import "testing"

// awsCLI encrypts a file, has a data key for openssl, signs, and has openssl verify with the public key.
func awsCLI(t *testing.T, h house) {
	_, printed := h.typed(t, "aws-cli")
	wants(t, printed, `"KeySpec": "SYMMETRIC_DEFAULT"`, "attack at dawn", "Verified OK", `"SignatureValid": true`)
}
