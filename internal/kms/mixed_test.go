package kms_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// mix plays random operations on one key of each kind and holds what they answer against what it knows: the plaintext of
// every ciphertext, the message of every signature, and what other implementations say.
type mix struct {
	*world
	*rand.Rand
	keys    zoo
	public  map[kind][]byte
	sealed  []sealed
	signed  []signature
	done    map[string]int // operations
	openssl int            // signatures that openssl has verified
}

// sealed is a ciphertext with what is in it.
type sealed struct {
	kind      kind
	algorithm types.EncryptionAlgorithmSpec
	context   map[string]string
	blob      []byte
	plaintext []byte
}

type signature struct {
	kind      kind
	algorithm string
	message   []byte
	signature []byte
}

// mixedOperations plays 10,000 operations.
func mixedOperations(t *testing.T, w *world, all zoo) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := &mix{world: w, Rand: rand.New(rand.NewPCG(seed, 0)), keys: all, public: map[kind][]byte{}, done: map[string]int{}}
	for k, key := range m.keys {
		if k.asymmetric() {
			m.public[k] = w.publicKey(key)
		}
	}
	steps := []func(){m.encrypt, m.encrypt, m.decrypt, m.decrypt, m.reEncrypt, m.dataKey, m.dataKeyPair, m.sign, m.verify, m.mac, m.agree, m.encapsulate}
	m.encrypt()
	m.sign()
	for m.total() < 10_000 && !t.Failed() {
		steps[m.IntN(len(steps))]()
	}
	t.Log(m.done)
}

func (m *mix) total() (n int) {
	for _, c := range m.done {
		n += c
	}
	return n
}

// play runs one operation that has to succeed.
func play[Out any](m *mix, name string, in any) *Out {
	m.Helper()
	m.done[name]++
	return do[Out](m.world, name, in)
}

// refuses runs one operation that has to fail without a sentence.
func (m *mix) refuses(name string, in any, code string) {
	m.Helper()
	m.done[name]++
	m.refused(name, in, code, "")
}

func (m *mix) bytes(most int) []byte {
	out := make([]byte, 1+m.IntN(most))
	for i := range out {
		out[i] = byte(m.Uint32())
	}
	return out
}

// kind picks a kind of key for a usage. Of the RSA keys the long ones come up seldom: they take longest.
func (m *mix) kind(usage types.KeyUsageType) kind {
	for {
		k := kinds[m.IntN(len(kinds))]
		slow := k.spec == "RSA_3072" || k.spec == "RSA_4096"
		if k.usage == usage && (!slow || m.IntN(8) == 0) {
			return k
		}
	}
}

// algorithm picks one of a kind's.
func (m *mix) algorithm(k kind) string {
	all := k.list()
	return all[m.IntN(len(all))]
}

func (m *mix) context(k kind) map[string]string {
	if k.asymmetric() || m.IntN(2) == 0 {
		return nil
	}
	return map[string]string{"a": string(rune('a' + m.IntN(26))), "b": "2"}
}

// target makes up what a ciphertext is to be encrypted under.
func (m *mix) target() sealed {
	k := m.kind("ENCRYPT_DECRYPT")
	return sealed{kind: k, algorithm: types.EncryptionAlgorithmSpec(m.algorithm(k)), context: m.context(k)}
}

func (m *mix) keep(s sealed) {
	if len(m.sealed) < 500 {
		m.sealed = append(m.sealed, s)
	} else {
		m.sealed[m.IntN(len(m.sealed))] = s
	}
}

func (m *mix) encrypt() {
	s := m.target()
	s.plaintext = m.bytes(190)
	if s.kind.asymmetric() && m.IntN(2) == 0 {
		s.blob = oaep(m, m.public[s.kind], s.algorithm, s.plaintext)
	} else {
		s.blob = play[awskms.EncryptOutput](m, "Encrypt", &awskms.EncryptInput{
			KeyId: m.keys[s.kind].Arn, Plaintext: s.plaintext, EncryptionAlgorithm: s.algorithm, EncryptionContext: s.context}).CiphertextBlob
	}
	m.keep(s)
}

func (m *mix) decrypt() {
	s := m.sealed[m.IntN(len(m.sealed))]
	in := &awskms.DecryptInput{CiphertextBlob: s.blob, EncryptionAlgorithm: s.algorithm, EncryptionContext: s.context}
	if s.kind.asymmetric() || m.IntN(2) == 0 {
		in.KeyId = m.keys[s.kind].KeyId
	}
	if m.IntN(4) == 0 {
		in.KeyId = m.keys[s.kind].KeyId // else another key may be named, which is not the caller's to know of
		in.CiphertextBlob = flipped(s.blob, m.IntN(8*len(s.blob)))
		m.refuses("Decrypt", in, "InvalidCiphertextException")
		return
	}
	if out := play[awskms.DecryptOutput](m, "Decrypt", in); !bytes.Equal(out.Plaintext, s.plaintext) || *out.KeyId != *m.keys[s.kind].Arn {
		m.Errorf("Decrypt under %s by %s gave something else", s.kind.name(), s.algorithm)
	}
}

func (m *mix) reEncrypt() {
	from, to := m.sealed[m.IntN(len(m.sealed))], m.target()
	if to.kind.asymmetric() && len(from.plaintext) > 190 {
		return
	}
	in := &awskms.ReEncryptInput{
		CiphertextBlob: from.blob, SourceEncryptionAlgorithm: from.algorithm, SourceEncryptionContext: from.context, SourceKeyId: m.keys[from.kind].KeyId,
		DestinationKeyId: m.keys[to.kind].KeyId, DestinationEncryptionAlgorithm: to.algorithm, DestinationEncryptionContext: to.context,
	}
	to.blob, to.plaintext = play[awskms.ReEncryptOutput](m, "ReEncrypt", in).CiphertextBlob, from.plaintext
	m.keep(to)
}

func (m *mix) dataKey() {
	s := sealed{kind: kinds[0], algorithm: "SYMMETRIC_DEFAULT", context: m.context(kinds[0])}
	out := play[awskms.GenerateDataKeyOutput](m, "GenerateDataKey", &awskms.GenerateDataKeyInput{
		KeyId: m.keys[s.kind].KeyId, NumberOfBytes: aws.Int32(1 + m.Int32N(1024)), EncryptionContext: s.context})
	s.blob, s.plaintext = out.CiphertextBlob, out.Plaintext
	m.keep(s)
}

func (m *mix) dataKeyPair() {
	specs := types.DataKeyPairSpec("").Values()
	spec := specs[m.IntN(len(specs))]
	if strings.HasPrefix(string(spec), "RSA_") || spec == "SM2" || spec == "ECC_SECG_P256K1" && m.openssl >= 50 {
		return
	}
	s := sealed{kind: kinds[0], algorithm: "SYMMETRIC_DEFAULT", context: m.context(kinds[0])}
	out := play[awskms.GenerateDataKeyPairOutput](m, "GenerateDataKeyPair", &awskms.GenerateDataKeyPairInput{
		KeyId: m.keys[s.kind].KeyId, KeyPairSpec: spec, EncryptionContext: s.context})
	if spec == "ECC_SECG_P256K1" {
		m.openssl++
	}
	if !belongTogether(m, spec, out.PrivateKeyPlaintext, out.PublicKey) {
		m.Errorf("%s: private and public key do not belong together", spec)
	}
	s.blob, s.plaintext = out.PrivateKeyCiphertextBlob, out.PrivateKeyPlaintext
	m.keep(s)
}

func (m *mix) sign() {
	k := m.kind("SIGN_VERIFY")
	s := signature{kind: k, algorithm: m.algorithm(k), message: m.bytes(4096)}
	all := forms(s.algorithm, s.message)
	form := all[m.IntN(len(all))]
	s.signature = play[awskms.SignOutput](m, "Sign", &awskms.SignInput{
		KeyId: m.keys[k].KeyId, Message: form.message, MessageType: form.kind, SigningAlgorithm: types.SigningAlgorithmSpec(s.algorithm)}).Signature
	if k.spec != "ECC_SECG_P256K1" || m.openssl < 50 {
		if k.spec == "ECC_SECG_P256K1" {
			m.openssl++
		}
		if !verifies(m, k.spec, s.algorithm, m.public[k], s.message, s.signature) {
			m.Errorf("%s by %s: the signature is not valid", k.name(), s.algorithm)
		}
	}
	if len(m.signed) < 200 {
		m.signed = append(m.signed, s)
	} else {
		m.signed[m.IntN(len(m.signed))] = s
	}
}

func (m *mix) verify() {
	s := m.signed[m.IntN(len(m.signed))]
	all := forms(s.algorithm, s.message)
	form := all[m.IntN(len(all))]
	in := &awskms.VerifyInput{
		KeyId: m.keys[s.kind].KeyId, Message: form.message, MessageType: form.kind, SigningAlgorithm: types.SigningAlgorithmSpec(s.algorithm), Signature: s.signature}
	switch m.IntN(4) {
	case 0:
		in.Signature = flipped(s.signature, m.IntN(8*len(s.signature)))
		m.refuses("Verify", in, "KMSInvalidSignatureException")
	case 1:
		in.Message = flipped(form.message, m.IntN(8*len(form.message)))
		m.refuses("Verify", in, "KMSInvalidSignatureException")
	default:
		play[awskms.VerifyOutput](m, "Verify", in)
	}
}

func (m *mix) mac() {
	k := m.kind("GENERATE_VERIFY_MAC")
	algorithm, message := types.MacAlgorithmSpec(k.algorithms), m.bytes(4096)
	out := play[awskms.GenerateMacOutput](m, "GenerateMac", &awskms.GenerateMacInput{KeyId: m.keys[k].KeyId, Message: message, MacAlgorithm: algorithm})
	if !bytes.Equal(out.Mac, m.macByHand(m.keys[k], algorithm, message)) {
		m.Errorf("%s: another MAC", k.name())
	}
	in := &awskms.VerifyMacInput{KeyId: m.keys[k].KeyId, Message: message, MacAlgorithm: algorithm, Mac: out.Mac}
	if m.IntN(3) == 0 {
		in.Mac = flipped(out.Mac, m.IntN(8*len(out.Mac)))
		m.refuses("VerifyMac", in, "KMSInvalidMacException")
		return
	}
	play[awskms.VerifyMacOutput](m, "VerifyMac", in)
}

func (m *mix) agree() {
	k := m.kind("KEY_AGREEMENT")
	private, public := peer(m, curves[k.spec])
	out := play[awskms.DeriveSharedSecretOutput](m, "DeriveSharedSecret", &awskms.DeriveSharedSecretInput{
		KeyId: m.keys[k].KeyId, KeyAgreementAlgorithm: "ECDH", PublicKey: public})
	want, err := private.ECDH(ecdhKey(m, m.public[k]))
	if err != nil || !bytes.Equal(out.SharedSecret, want) {
		m.Errorf("%s: another secret, %v", k.name(), err)
	}
}

func (m *mix) encapsulate() {
	k := m.kind("ENCAPSULATE_DECAPSULATE")
	shared, ciphertext := offlineEncapsulate(m, k.spec, m.public[k])
	if shared == nil || m.IntN(2) == 0 {
		out := play[awskms.EncapsulateOutput](m, "Encapsulate", &awskms.EncapsulateInput{KeyId: m.keys[k].KeyId, EncapsulationAlgorithm: "ML_KEM"})
		shared, ciphertext = out.SharedSecret, out.SharedSecretCiphertextBlob
	}
	out := play[awskms.DecapsulateOutput](m, "Decapsulate", &awskms.DecapsulateInput{
		KeyId: m.keys[k].KeyId, EncapsulationAlgorithm: "ML_KEM", SharedSecretCiphertextBlob: slices.Clone(ciphertext)})
	if !bytes.Equal(out.SharedSecret, shared) {
		m.Errorf("%s: another secret", k.name())
	}
}
