//go:build testdoor

package hsmproto

// OpImportKey exists in builds with tag testdoor alone: it makes a key of known material, so that a test can search
// for it where it must not be. Release builds have no such operation.
const OpImportKey Op = 0x70

// ImportKeyRequest is GenerateKeyRequest with the material; the reply is a GenerateKeyReply.
type ImportKeyRequest struct {
	Generate GenerateKeyRequest `cbor:"1,keyasint"`
	Material []byte             `cbor:"2,keyasint"`
}
