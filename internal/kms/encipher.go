package kms

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keyspec"
)

// checkContext bounds an encryption context, and refuses one where nothing could be bound to it.
func checkContext(algorithm types.EncryptionAlgorithmSpec, context map[string]string) error {
	if algorithm != symmetric && len(context) > 0 {
		return invalid("EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs.")
	}
	size := 0
	for k, v := range context {
		size += len(k) + len(v)
	}
	if size > maxContext {
		return invalid("EncryptionContext has %d bytes, more than the limit of %d.", size, maxContext)
	}
	return nil
}

// checkPlaintext refuses what is too long for RSAES-OAEP.
func checkPlaintext(spec types.KeySpec, algorithm types.EncryptionAlgorithmSpec, plaintext []byte) error {
	if algorithm == symmetric {
		return nil
	}
	if most := keyspec.MaxPlaintext(spec, algorithm); len(plaintext) > most {
		return invalid("Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", algorithm, spec, most)
	}
	return nil
}

// encipher encrypts under k by an algorithm that it has.
func (s *Service) encipher(
	ctx context.Context, k *snapshot, algorithm types.EncryptionAlgorithmSpec, context map[string]string, plaintext []byte,
) (out []byte, err error) {
	if algorithm == symmetric {
		return s.seal(ctx, k, context, plaintext)
	}
	err = s.standard.with(ctx, k.Key, func(key *keyspec.Key) error {
		out, err = key.Encrypt(algorithm, plaintext)
		return err
	})
	if err != nil {
		return nil, unexpected("encrypting", err)
	}
	return out, nil
}

// decrypted is what is in a ciphertext.
func (s *Service) decrypted(
	ctx context.Context, p parsed, algorithm types.EncryptionAlgorithmSpec, context map[string]string,
) (out []byte, err error) {
	if algorithm == symmetric {
		return s.open(ctx, p.key, &p.header, p.sealed, context)
	}
	err = s.standard.with(ctx, p.key.Key, func(key *keyspec.Key) error {
		out, err = key.Decrypt(algorithm, p.sealed)
		return err
	})
	if errors.Is(err, keyspec.ErrCiphertext) {
		return nil, invalidCiphertext(err)
	}
	if err != nil {
		return nil, unexpected("decrypting", err)
	}
	return out, nil
}
