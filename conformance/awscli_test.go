package conformance

import "testing"

// awsCLI encrypts a file with openssl under a data key.
func awsCLI(t *testing.T, h house) {
	_, printed := h.typed(t, "aws-cli")
	wants(t, printed, `"KeySpec": "SYMMETRIC_DEFAULT"`, "attack at dawn")
}
