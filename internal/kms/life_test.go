package kms_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"keyward/internal/fault"
	"keyward/internal/kms"
)

// regionsOfLives are where the keys of TestLives are.
var regionsOfLives = []string{"us-east-1", "eu-west-1", "ap-south-1"}

// lives are some keys with all that was ever encrypted under them.
type lives struct {
	*world
	keys    []string
	written []writing
}

type writing struct {
	key, text string
	blob      []byte
}

// fewer bounds how many sequences a property is tried on: those of this test each open a database.
func fewer(t *testing.T, checks string) {
	t.Helper()
	all := flag.Lookup("rapid.checks")
	before := all.Value.String()
	if err := all.Value.Set(checks); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = all.Value.Set(before) }) // it was valid before
}

// TestLives: whatever is done to keys in whatever order, every ciphertext ever made is read with the right plaintext in
// every Region in which its key is usable, and refused elsewhere for the reason that the key's state gives; related keys
// agree; and a service that has just started sees the same.
func TestLives(t *testing.T) {
	fewer(t, "25")
	rapid.Check(t, func(r *rapid.T) {
		l := &lives{world: newWorld(t, kms.Limits{})}
		l.keys = []string{*l.createKey().KeyId, *l.createPrimary().KeyId, *l.createExternal(multiRegion).KeyId}
		l.bring(l.wrapped(l.keys[2], key256(1)))
		for range rapid.IntRange(20, 80).Draw(r, "steps") {
			l.step(r)
		}
		before := l.look(r)
		l.restart(kms.Limits{})
		if diff := cmp.Diff(before, l.look(r), cmpopts.IgnoreUnexported(types.KeyMetadata{}, types.MultiRegionConfiguration{}, types.MultiRegionKey{})); diff != "" {
			r.Fatalf("a restart changed keys: %s", diff)
		}
	})
}

// step does one thing to one key, or fails to as the API says.
func (l *lives) step(r *rapid.T) {
	id := l.keys[rapid.IntRange(0, len(l.keys)-1).Draw(r, "key")]
	region := l.primary(id)
	if rapid.IntRange(0, 3).Draw(r, "elsewhere") == 0 {
		region = rapid.SampledFrom(regionsOfLives).Draw(r, "region")
	}
	to := rapid.SampledFrom(regionsOfLives).Draw(r, "to")
	try := func(name string, in any) {
		l.in(region, func() {
			_, err := l.invoke(l.call(name), name, in)
			if _, refused := fault.As(err); err != nil && !refused {
				r.Fatalf("%s of %s in %s: %v", name, id, region, err)
			}
		})
	}
	switch what := rapid.SampledFrom(steps).Draw(r, "step"); what {
	case "write":
		l.write(id, region)
	case "rotate":
		try("RotateKeyOnDemand", &awskms.RotateKeyOnDemandInput{KeyId: &id})
	case "enable rotation":
		try("EnableKeyRotation", &awskms.EnableKeyRotationInput{KeyId: &id, RotationPeriodInDays: aws.Int32(90)})
	case "disable rotation":
		try("DisableKeyRotation", &awskms.DisableKeyRotationInput{KeyId: &id})
	case "enable":
		try("EnableKey", &awskms.EnableKeyInput{KeyId: &id})
	case "disable":
		try("DisableKey", &awskms.DisableKeyInput{KeyId: &id})
	case "schedule":
		try("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: aws.Int32(7)})
	case "cancel":
		try("CancelKeyDeletion", &awskms.CancelKeyDeletionInput{KeyId: &id})
	case "replicate":
		try("ReplicateKey", &awskms.ReplicateKeyInput{KeyId: &id, ReplicaRegion: &to})
	case "move":
		try("UpdatePrimaryRegion", &awskms.UpdatePrimaryRegionInput{KeyId: &id, PrimaryRegion: &to})
	case "lose material":
		try("DeleteImportedKeyMaterial", &awskms.DeleteImportedKeyMaterialInput{KeyId: &id})
	case "import":
		l.in(region, func() { l.tryImport(r, id) })
	case "wait":
		l.advance(time.Duration(rapid.IntRange(1, 100).Draw(r, "days")) * day)
	case "catch up":
		l.catchUp()
	}
}

// steps as often as they should come: most of a key's life is use, and what ends it is rare.
var steps = slices.Concat(
	slices.Repeat([]string{"write", "rotate", "replicate", "import", "catch up"}, 4), slices.Repeat([]string{"enable", "cancel", "move"}, 2),
	[]string{"enable rotation", "disable rotation", "disable", "schedule", "lose material", "wait"},
)

// primary is the Region of a key's primary, or of the key; whichever, when it is gone.
func (l *lives) primary(id string) string {
	for _, k := range l.related(id) {
		if k.Primary() {
			return k.Scope.Region
		}
	}
	return home.Region
}

func (l *lives) related(id string) []*kms.Key {
	family, err := l.store.Related(l.Context(), home.Account, id)
	if err != nil {
		l.Fatal(err)
	}
	return family
}

// write encrypts, if the key can.
func (l *lives) write(id, region string) {
	text := fmt.Sprint("text ", len(l.written))
	l.in(region, func() {
		out, err := l.invoke(l.call("Encrypt"), "Encrypt", &awskms.EncryptInput{KeyId: &id, Plaintext: []byte(text)})
		if err == nil {
			l.written = append(l.written, writing{id, text, out.(*awskms.EncryptOutput).CiphertextBlob})
		}
	})
}

// tryImport brings one of three materials to a key that may take it.
func (l *lives) tryImport(r *rapid.T, id string) {
	out, err := l.invoke(l.call("DescribeKey"), "DescribeKey", &awskms.DescribeKeyInput{KeyId: &id})
	if err != nil {
		return
	}
	m := out.(*awskms.DescribeKeyOutput).KeyMetadata
	if m.Origin != types.OriginTypeExternal || strings.HasPrefix(string(m.KeyState), "Pending") && m.KeyState != "PendingImport" ||
		m.KeyState == "Creating" || m.KeyState == "Updating" {
		return
	}
	in := l.wrapped(id, key256(rapid.ByteRange(1, 3).Draw(r, "material")))
	in.ImportType = rapid.SampledFrom([]types.ImportType{"", types.ImportTypeNewKeyMaterial}).Draw(r, "type")
	if rapid.Bool().Draw(r, "expires") {
		in.ExpirationModel, in.ValidTo = "", aws.Time(l.clock().Add(50*day))
	}
	_, _ = l.invoke(l.call("ImportKeyMaterial"), "ImportKeyMaterial", in) // invariants tell whether that was right
}

// look checks all invariants and returns what DescribeKey says of every key in every Region.
func (l *lives) look(r *rapid.T) map[string]*types.KeyMetadata {
	seen := map[string]*types.KeyMetadata{}
	for _, id := range l.keys {
		for _, region := range regionsOfLives {
			l.in(region, func() {
				out, err := l.invoke(l.call("DescribeKey"), "DescribeKey", &awskms.DescribeKeyInput{KeyId: &id})
				if err == nil {
					seen[region+" "+id] = out.(*awskms.DescribeKeyOutput).KeyMetadata
				}
				l.readAll(r, id, seen[region+" "+id])
			})
		}
		l.agree(r, id, seen)
	}
	return seen
}

// readAll decrypts what was written under a key; m is nil where there is no such key.
func (l *lives) readAll(r *rapid.T, id string, m *types.KeyMetadata) {
	for _, w := range l.written {
		if w.key != id {
			continue
		}
		out, err := l.invoke(l.call("Decrypt"), "Decrypt", &awskms.DecryptInput{CiphertextBlob: w.blob})
		usable := m != nil && (m.KeyState == types.KeyStateEnabled || m.KeyState == types.KeyStateUpdating)
		if err == nil && (!usable || string(out.(*awskms.DecryptOutput).Plaintext) != w.text) {
			r.Fatalf("%q was read from a key with metadata %+v", w.text, m)
		}
		if f, _ := fault.As(err); err != nil && (f == nil || f.Code != refusalIn(m)) {
			r.Fatalf("%q was refused with %v by a key with metadata %+v", w.text, err, m)
		}
	}
}

// refusalIn is why a key's state refuses to decrypt; empty where it does not.
func refusalIn(m *types.KeyMetadata) string {
	switch {
	case m == nil:
		return "AccessDeniedException" // the key may be somebody else's
	case m.KeyState == types.KeyStateDisabled:
		return "DisabledException"
	case m.KeyState == types.KeyStateEnabled, m.KeyState == types.KeyStateUpdating:
		return ""
	default:
		return "KMSInvalidStateException"
	}
}

// agree checks what related keys have in common.
func (l *lives) agree(r *rapid.T, id string, seen map[string]*types.KeyMetadata) {
	var family []*types.KeyMetadata
	for _, region := range regionsOfLives {
		if m := seen[region+" "+id]; m != nil {
			family = append(family, m)
		}
	}
	if len(family) == 0 || !*family[0].MultiRegion {
		return
	}
	for _, m := range family {
		c := m.MultiRegionConfiguration
		primary := *c.PrimaryKey.Arn == *m.Arn
		if primary != (c.MultiRegionKeyType == types.MultiRegionKeyTypePrimary) || len(c.ReplicaKeys)+1 != len(family) {
			r.Fatalf("%s believes its family to be %+v, with %d members", *m.Arn, c, len(family))
		}
		if *c.PrimaryKey.Arn != *family[0].MultiRegionConfiguration.PrimaryKey.Arn {
			r.Fatalf("%s and %s do not agree: %+v, %+v", *m.Arn, *family[0].Arn, m, family[0])
		}
		if m.Enabled != (m.KeyState == types.KeyStateEnabled) || (m.DeletionDate != nil) != (m.KeyState == types.KeyStatePendingDeletion) {
			r.Fatalf("%+v contradicts itself", m)
		}
	}
	if !slices.ContainsFunc(family, func(m *types.KeyMetadata) bool { return *m.MultiRegionConfiguration.PrimaryKey.Arn == *m.Arn }) {
		r.Fatalf("the family of %s has no primary", id)
	}
	l.agreeOnMaterial(r, id)
}

// agreeOnMaterial checks that related keys have the same materials in the same states, and that what waits for a rotation
// may become current exactly when all of them have it.
func (l *lives) agreeOnMaterial(r *rapid.T, id string) {
	everywhere, states := true, map[types.KeyMaterialState]bool{}
	var first []string
	for _, k := range l.related(id) {
		var mine []string
		for _, m := range append(slices.Clone(k.Others), k.Material) {
			mine = append(mine, m.ID+" "+string(m.State))
			if strings.HasPrefix(string(m.State), "PENDING_") {
				states[m.State] = true
				everywhere = everywhere && len(m.Wrapped) > 0
			}
		}
		if first == nil {
			first = mine
		}
		if !slices.Equal(first, mine) {
			r.Fatalf("%s has materials %v, its relatives %v", k.ARN(), mine, first)
		}
	}
	if len(states) > 0 && everywhere != states[types.KeyMaterialStatePendingRotation] {
		r.Fatalf("material of %s is in all its Regions: %v; it is %v", id, everywhere, states)
	}
}
