package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// alwaysThere are the members of every key's metadata.
var alwaysThere = []string{
	"AWSAccountId", "Arn", "CreationDate", "CustomerMasterKeySpec", "Description", "Enabled", "KeyId", "KeyManager", "KeySpec",
	"KeyState", "KeyUsage", "MultiRegion", "Origin",
}

// describedBy compares the members of the key's metadata on the wire with those of every key and further ones.
func (p terraform) describedBy(id string, further ...string) {
	p.Helper()
	must(p.DescribeKey(p.Context(), &kms.DescribeKeyInput{KeyId: &id}))(p.surface)
	p.has(p.members("KeyMetadata"), append(further, alwaysThere...)...)
}

// ownPolicy is a policy of a configuration; the name tells one from another.
func ownPolicy(name string) string {
	return strings.Replace(defaultPolicy, "key-default-1", name, 1)
}

func (p terraform) keys() {
	plain := keyConfig{Enabled: true}
	full := keyConfig{
		Description: "all of it", Enabled: true, Policy: ownPolicy("one"), Tags: map[string]string{"team": "shop", "empty": ""},
		Rotation: true, Period: 180, Window: 7,
	}
	other := keyConfig{
		Description: "changed", Policy: ownPolicy("two"), Tags: map[string]string{"team": "toys"}, Window: 30,
	}
	longer, enabled := full, other
	longer.Period, enabled.Enabled = 2560, true
	symmetric := []string{"CurrentKeyMaterialId", "EncryptionAlgorithms"}
	for _, c := range []struct {
		name     string
		in       kms.CreateKeyInput
		from, to keyConfig
		further  []string
	}{
		{"with nothing said", kms.CreateKeyInput{KeySpec: types.KeySpecSymmetricDefault}, plain, full, symmetric},
		{"with everything said", kms.CreateKeyInput{KeySpec: types.KeySpecSymmetricDefault}, full, other, symmetric},
		{"with another period", kms.CreateKeyInput{KeySpec: types.KeySpecSymmetricDefault}, full, longer, symmetric},
		{"disabled", kms.CreateKeyInput{KeySpec: types.KeySpecSymmetricDefault}, other, enabled, symmetric},
		{"of several Regions", kms.CreateKeyInput{KeySpec: types.KeySpecSymmetricDefault, MultiRegion: aws.Bool(true)}, plain, full,
			append(symmetric, "MultiRegionConfiguration")},
		{"for signatures", kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeSignVerify}, plain, other,
			[]string{"SigningAlgorithms"}},
		{"for MACs", kms.CreateKeyInput{KeySpec: types.KeySpecHmac256, KeyUsage: types.KeyUsageTypeGenerateVerifyMac}, plain, other,
			[]string{"MacAlgorithms"}},
		{"in a key store", kms.CreateKeyInput{KeySpec: types.KeySpecSymmetricDefault, Origin: types.OriginTypeAwsCloudhsm,
			CustomKeyStoreId: exampleStore(p.T, p.i).CustomKeyStoreId}, plain, other,
			[]string{"CloudHsmClusterId", "CustomKeyStoreId", "EncryptionAlgorithms"}},
	} {
		p.Run(c.name, func(t *testing.T) {
			p := p.in(t)
			if c.in.KeyUsage == "" {
				c.in.KeyUsage = types.KeyUsageTypeEncryptDecrypt
			}
			p.keyLife(&c.in, c.from, c.to, c.further)
		})
	}
}

func (p terraform) keyLife(in *kms.CreateKeyInput, from, to keyConfig, further []string) {
	id := p.createKey(in, from)
	p.describedBy(id, further...)
	m := p.update(id, from, to)
	p.converged(*m.Arn, to) // an import names the key by either
	if m.KeySpec != in.KeySpec || m.KeyUsage != in.KeyUsage || *m.MultiRegion != aws.ToBool(in.MultiRegion) ||
		aws.ToString(m.CustomKeyStoreId) != aws.ToString(in.CustomKeyStoreId) {
		p.Errorf("read back as %+v", m)
	}
	p.destroy(id, to.Window)
	p.describedBy(id, append(further, "DeletionDate")...)
}

// createKey makes a key, brings it to its configuration and returns what the provider keeps as its id.
func (p terraform) createKey(in *kms.CreateKeyInput, c keyConfig) string {
	p.Helper()
	id := *must(p.CreateKey(p.Context(), c.creation(in)))(p.surface).KeyMetadata.KeyId
	if c.Rotation {
		p.rotate(id, c)
	}
	if !c.Enabled {
		p.enable(id, false)
	}
	p.converged(id, c)
	return id
}

func (p terraform) externalKeys() {
	external := func() *kms.CreateKeyInput {
		return &kms.CreateKeyInput{KeyUsage: types.KeyUsageTypeEncryptDecrypt, Origin: types.OriginTypeExternal}
	}
	// Without material: pending, not enabled, and neither rotation nor expiry is spoken of.
	waiting := keyConfig{Description: "to come", Tags: map[string]string{"from": "outside"}, Window: 30}
	empty := *must(p.CreateKey(p.Context(), waiting.creation(external())))(p.surface).KeyMetadata.KeyId
	if m := p.converged(empty, waiting); m.KeyState != types.KeyStatePendingImport {
		p.Errorf("without material the key is %s", m.KeyState)
	}
	p.describedBy(empty, "EncryptionAlgorithms")
	p.destroy(empty, waiting.Window)

	// The provider disables a key that it imported material into unless it is told to enable it.
	config, material := keyConfig{Policy: ownPolicy("external"), Window: 30}, make([]byte, 32)
	_, _ = rand.Read(material) // never fails (crypto/rand)
	id := *must(p.CreateKey(p.Context(), config.creation(external())))(p.surface).KeyMetadata.KeyId
	p.importMaterial(id, material, nil)
	p.enable(id, false)
	if m := p.converged(id, config); m.ExpirationModel != types.ExpirationModelTypeKeyMaterialDoesNotExpire {
		p.Errorf("the material's expiration is %q", m.ExpirationModel)
	}
	p.describedBy(id, "CurrentKeyMaterialId", "EncryptionAlgorithms", "ExpirationModel")

	// A new valid_to is the same material imported anew, on a key that stays as it is.
	until := time.Now().Add(48 * time.Hour).Truncate(time.Second)
	p.importMaterial(id, material, &until)
	if m := p.converged(id, config); m.ExpirationModel != types.ExpirationModelTypeKeyMaterialExpires || !m.ValidTo.Equal(until) {
		p.Errorf("the material's expiration is %q at %v, want %v", m.ExpirationModel, m.ValidTo, until)
	}
	p.describedBy(id, "CurrentKeyMaterialId", "EncryptionAlgorithms", "ExpirationModel", "ValidTo")
	on := config
	on.Enabled = true
	p.update(id, config, on)
	p.destroy(id, config.Window)
}

// importMaterial wraps the material as the provider does and imports it.
func (p terraform) importMaterial(id string, material []byte, until *time.Time) {
	p.Helper()
	parameters := must(p.GetParametersForImport(p.Context(), &kms.GetParametersForImportInput{
		KeyId: &id, WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048,
	}))(p.surface)
	public, err := x509.ParsePKIXPublicKey(parameters.PublicKey)
	if err != nil {
		p.Fatal(err)
	}
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), material, nil)
	if err != nil {
		p.Fatal(err)
	}
	in := &kms.ImportKeyMaterialInput{
		KeyId: &id, ImportToken: parameters.ImportToken, EncryptedKeyMaterial: wrapped,
		ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
	}
	if until != nil {
		in.ExpirationModel, in.ValidTo = types.ExpirationModelTypeKeyMaterialExpires, until
	}
	must(p.ImportKeyMaterial(p.Context(), in))(p.surface)
}

func (p terraform) replicaKeys() {
	primaryConfig := keyConfig{Description: "primary", Enabled: true, Rotation: true, Period: 90, Window: 7}
	primary := p.createKey(&kms.CreateKeyInput{
		KeySpec: types.KeySpecSymmetricDefault, KeyUsage: types.KeyUsageTypeEncryptDecrypt, MultiRegion: aws.Bool(true),
	}, primaryConfig)

	// The call goes to the primary key's Region; everything after it to the replica's. Rotation is the primary's.
	abroad := p.inRegion("eu-central-1")
	from := keyConfig{Description: "replica", Enabled: true, Tags: map[string]string{"of": "primary"}, Rotation: true, Period: 90, Window: 7}
	made := must(p.ReplicateKey(p.Context(), &kms.ReplicateKeyInput{
		KeyId: &primary, ReplicaRegion: aws.String("eu-central-1"), Description: &from.Description, Tags: tagList(from.Tags),
	}))(p.surface)
	id := *made.ReplicaKeyMetadata.KeyId
	p.i.Await("the replica", func() bool {
		m := must(abroad.DescribeKey(p.Context(), &kms.DescribeKeyInput{KeyId: &id}))(p.surface).KeyMetadata
		return m.KeyState == types.KeyStateEnabled
	})
	m := abroad.converged(id, from)
	if c := m.MultiRegionConfiguration; id != primary || c.MultiRegionKeyType != types.MultiRegionKeyTypeReplica ||
		*c.PrimaryKey.Arn != p.arn(primary) {
		p.Errorf("%s has the configuration %+v", id, c)
	}
	abroad.describedBy(id, "CurrentKeyMaterialId", "EncryptionAlgorithms", "MultiRegionConfiguration")
	to := keyConfig{Description: "its own", Policy: ownPolicy("replica"), Tags: map[string]string{"of": "nobody"}, Rotation: true, Period: 90}
	abroad.update(id, from, to)
	abroad.converged(*m.Arn, to)
	p.converged(primary, primaryConfig) // what is the replica's own

	// Destroyed together, in either order.
	p.destroyedPrimary(primary)
	abroad.destroy(id, 7)
	abroad.describedBy(id, "CurrentKeyMaterialId", "DeletionDate", "EncryptionAlgorithms", "MultiRegionConfiguration")
}

// destroyedPrimary destroys a primary key whose replica is still there: it waits for that one, which the provider takes for
// gone as well.
func (p terraform) destroyedPrimary(id string) {
	p.Helper()
	out := must(p.ScheduleKeyDeletion(p.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: aws.Int32(7)}))(p.surface)
	if out.KeyState != types.KeyStatePendingReplicaDeletion {
		p.Errorf("the primary key is %s", out.KeyState)
	}
	p.describedBy(id, "CurrentKeyMaterialId", "EncryptionAlgorithms", "MultiRegionConfiguration", "PendingDeletionWindowInDays")
}

// keyPolicies are of a resource of its own: a key's policy, taken over and given back.
func (p terraform) keyPolicies() {
	id := p.createKey(&kms.CreateKeyInput{
		KeySpec: types.KeySpecSymmetricDefault, KeyUsage: types.KeyUsageTypeEncryptDecrypt,
	}, keyConfig{Enabled: true})
	for _, policy := range []string{ownPolicy("taken over"), ownPolicy("updated")} {
		p.putPolicy(id, policy)
		p.converged(id, keyConfig{Enabled: true, Policy: policy})
	}
	// The provider's own idea of the default policy: its id and words, the account's root.
	provided := ownPolicy("default")
	p.putPolicy(id, provided)
	p.converged(id, keyConfig{Enabled: true, Policy: provided})
	p.destroy(id, 7)
}
