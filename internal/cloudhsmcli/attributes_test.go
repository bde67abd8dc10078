package cloudhsmcli

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyward/internal/hsmproto"
)

// Statements 17 and 18, and the published example of section 9.1 in all its bytes.
func TestVerboseKey(t *testing.T) {
	key := hsmproto.Key{
		Reference: 0x2e06bf, Owner: "cu1", Class: "secret-key", Type: "aes", Label: "example-aes", Length: 24,
		CheckValue: []byte{0x9b, 0x94, 0xbd},
		Attributes: map[string]bool{
			"token": true, "always-sensitive": true, "destroyable": true, "extractable": true, "local": true,
			"modifiable": true, "private": true, "sensitive": true, "sign": true, "verify": true,
		},
		CoveredHsms: []string{"hsm-a", "hsm-b"},
	}
	got, err := json.MarshalIndent(verbosely(key, []string{"hsm-a", "hsm-b"}), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(verboseExample, string(got)); diff != "" {
		t.Error(diff)
	}
}

const verboseExample = `{
  "key-reference": "0x00000000002e06bf",
  "key-info": {
    "key-owners": [
      {
        "username": "cu1",
        "key-coverage": "full"
      }
    ],
    "shared-users": [],
    "key-quorum-values": {
      "manage-key-quorum-value": 0,
      "use-key-quorum-value": 0
    },
    "cluster-coverage": "full"
  },
  "attributes": {
    "key-type": "aes",
    "label": "example-aes",
    "id": "0x",
    "check-value": "0x9b94bd",
    "class": "secret-key",
    "encrypt": false,
    "decrypt": false,
    "token": true,
    "always-sensitive": true,
    "derive": false,
    "destroyable": true,
    "extractable": true,
    "local": true,
    "modifiable": true,
    "never-extractable": false,
    "private": true,
    "sensitive": true,
    "sign": true,
    "trusted": false,
    "unwrap": false,
    "verify": true,
    "wrap": false,
    "wrap-with-trusted": false,
    "key-length-bytes": 24
  }
}`

// Statement 27, as far as it is about showing.
func TestSharedAndPartialKey(t *testing.T) {
	face := verbosely(hsmproto.Key{SharedWith: []string{"alice"}, CoveredHsms: []string{"hsm-a"}}, []string{"hsm-a", "hsm-b"})
	if want := []keyUser{{"alice", "full"}}; !cmp.Equal(face.Info.SharedUsers, want) {
		t.Errorf("shared users: %v", face.Info.SharedUsers)
	}
	if face.Info.Coverage != "partial" {
		t.Errorf("coverage of a key on one of two HSMs: %s", face.Info.Coverage)
	}
}

// Statement 36.
func TestLocked(t *testing.T) {
	for _, test := range []struct {
		on, all int
		want    string
	}{{0, 2, "false"}, {1, 2, "inconsistent"}, {2, 2, "true"}, {1, 1, "true"}, {0, 0, "false"}} {
		if got := locked(test.on, test.all); got != test.want {
			t.Errorf("locked on %d of %d: %s", test.on, test.all, got)
		}
	}
}

func TestParseAttributes(t *testing.T) {
	var request hsmproto.GenerateKeyRequest
	if err := parseAttributes([]string{"id=0x0A", "encrypt=true", "extractable=false"}, &request); err != nil {
		t.Fatal(err)
	}
	want := hsmproto.GenerateKeyRequest{ID: []byte{10}, Set: map[string]bool{"encrypt": true, "extractable": false}}
	if diff := cmp.Diff(want, request); diff != "" {
		t.Error(diff)
	}
	for _, pair := range []string{"id=0A", "encrypt", "encrypt=1", "nonsense=true", "label=x", ""} {
		if err := parseAttributes([]string{pair}, &request); err == nil || text(err) != "Invalid attribute: "+pair {
			t.Errorf("%q: %v", pair, err)
		}
	}
}
