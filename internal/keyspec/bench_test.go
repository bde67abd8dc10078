package keyspec_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keyspec"
)

// BenchmarkKeys does everything that every spec can, on messages of 32 bytes.
func BenchmarkKeys(b *testing.B) {
	for _, s := range keyspec.All() {
		run := func(name string, do func() error) {
			b.Run(string(s.Name)+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := do(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		k, material := keyOf(b, s.Name), materialOf(b, s.Name)
		run("parse", func() error { _, err := s.Parse(material); return err })
		if !strings.HasPrefix(string(s.Name), "RSA") { // whose making varies between seconds
			run("generate", func() error { _, err := s.Generate(); return err })
		}
		if s.Asymmetric() {
			run("public", func() error { _, err := k.PublicKey(); return err })
		}
		benchSigning(k, run)
		benchSecrets(b, k, run)
	}
}

func benchSigning(k *keyspec.Key, run func(string, func() error)) {
	for _, a := range k.Spec.SigningAlgorithms() {
		as, message := form(a, make([]byte, 32))
		signature, err := k.Sign(a, as, message)
		run(string(a)+"/sign", func() error { _, err = k.Sign(a, as, message); return err })
		run(string(a)+"/verify", func() error { _, err = k.Verify(a, as, message, signature); return err })
		if a != types.SigningAlgorithmSpecMlDsaShake256 {
			continue
		}
		mu := make([]byte, 64)
		run(string(a)+"/sign μ", func() error { _, err = k.Sign(a, types.MessageTypeExternalMu, mu); return err })
		run(string(a)+"/verify μ", func() error { _, err = k.Verify(a, types.MessageTypeExternalMu, mu, signature); return err })
	}
}

func benchSecrets(b *testing.B, k *keyspec.Key, run func(string, func() error)) {
	b.Helper()
	message := make([]byte, 32)
	for _, a := range k.Spec.MacAlgorithms() {
		run(string(a), func() error { _, err := k.MAC(a, message); return err })
	}
	if k.Spec.Asymmetric() {
		for _, a := range k.Spec.EncryptionAlgorithms() {
			ciphertext, err := k.Encrypt(a, message)
			run(string(a)+"/encrypt", func() error { _, err = k.Encrypt(a, message); return err })
			run(string(a)+"/decrypt", func() error { _, err = k.Decrypt(a, ciphertext); return err })
		}
	}
	if k.Spec.KeyAgreementAlgorithms() != nil {
		der, err := k.PublicKey()
		if err != nil {
			b.Fatal(err)
		}
		run("agree", func() error {
			peer, err := keyspec.ParsePublic(k.Spec.Name, der)
			if err == nil {
				_, err = k.Agree(peer)
			}
			return err
		})
	}
	if k.Spec.EncapsulationAlgorithms() != nil {
		_, ciphertext, err := k.Encapsulate()
		run("encapsulate", func() error { _, _, err = k.Encapsulate(); return err })
		run("decapsulate", func() error { _, err = k.Decapsulate(ciphertext); return err })
	}
}
