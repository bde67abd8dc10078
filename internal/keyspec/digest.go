package keyspec

import (
	"crypto"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// signingHashes are the hashes of the algorithms that sign a digest.
var signingHashes = map[types.SigningAlgorithmSpec]crypto.Hash{
	types.SigningAlgorithmSpecRsassaPssSha256:      crypto.SHA256,
	types.SigningAlgorithmSpecRsassaPssSha384:      crypto.SHA384,
	types.SigningAlgorithmSpecRsassaPssSha512:      crypto.SHA512,
	types.SigningAlgorithmSpecRsassaPkcs1V15Sha256: crypto.SHA256,
	types.SigningAlgorithmSpecRsassaPkcs1V15Sha384: crypto.SHA384,
	types.SigningAlgorithmSpecRsassaPkcs1V15Sha512: crypto.SHA512,
	types.SigningAlgorithmSpecEcdsaSha256:          crypto.SHA256,
	types.SigningAlgorithmSpecEcdsaSha384:          crypto.SHA384,
	types.SigningAlgorithmSpecEcdsaSha512:          crypto.SHA512,
}

// digest is what a hash-then-sign algorithm signs of a message.
func digest(algorithm types.SigningAlgorithmSpec, as types.MessageType, message []byte) ([]byte, crypto.Hash, error) {
	hash, ok := signingHashes[algorithm]
	if !ok {
		return nil, 0, ErrAlgorithm
	}
	switch {
	case as == types.MessageTypeRaw:
		h := hash.New()
		h.Write(message)
		return h.Sum(nil), hash, nil
	case as == types.MessageTypeDigest && len(message) == hash.Size():
		return message, hash, nil
	default:
		return nil, 0, ErrMessage
	}
}
