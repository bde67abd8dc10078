package cloudhsmcli

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"keyward/internal/hsmproto"
)

// booleans are the boolean attributes in the order in which a key shows them (cloudhsm-cli.md section 9.1).
var booleans = []string{
	"encrypt", "decrypt", "token", "always-sensitive", "derive", "destroyable", "extractable", "local", "modifiable",
	"never-extractable", "private", "sensitive", "sign", "trusted", "unwrap", "verify", "wrap", "wrap-with-trusted",
}

func isBoolean(name string) bool { return slices.Contains(booleans, name) }

const (
	coverageFull    = "full"
	coveragePartial = "partial"
)

// keyFace is a key as `key list` shows it.
type keyFace struct {
	Reference  string   `json:"key-reference"`
	Info       *keyInfo `json:"key-info,omitempty"` // only with --verbose
	Attributes object   `json:"attributes"`
}

type keyInfo struct {
	Owners       []keyUser       `json:"key-owners"`
	SharedUsers  []keyUser       `json:"shared-users"`
	QuorumValues keyQuorumValues `json:"key-quorum-values"`
	Coverage     string          `json:"cluster-coverage"`
}

type keyUser struct {
	Username string `json:"username"`
	Coverage string `json:"key-coverage"`
}

type keyQuorumValues struct {
	Manage int `json:"manage-key-quorum-value"`
	Use    int `json:"use-key-quorum-value"`
}

func briefly(key hsmproto.Key) keyFace {
	return keyFace{
		Reference:  reference(key.Reference),
		Attributes: object{{"label", key.Label}},
	}
}

// verbosely shows all of a key; hsms are all HSMs of the cluster.
func verbosely(key hsmproto.Key, hsms []string) keyFace {
	return keyFace{
		Reference: reference(key.Reference),
		Info: &keyInfo{
			Owners:      keyUsers(key.Owner),
			SharedUsers: keyUsers(key.SharedWith...),
			Coverage:    coverage(key.CoveredHsms, hsms),
		},
		Attributes: attributes(key),
	}
}

func attributes(key hsmproto.Key) object {
	list := object{
		{"key-type", key.Type},
		{"label", key.Label},
		{"id", hexadecimal(key.ID)},
		{"check-value", hexadecimal(key.CheckValue)},
		{"class", key.Class},
	}
	for _, name := range booleans {
		list = append(list, member{name, key.Attributes[name]})
	}
	return append(list, member{"key-length-bytes", key.Length})
}

// keyUsers: owners and shares are replicated with the key.
func keyUsers(names ...string) []keyUser {
	users := make([]keyUser, len(names))
	for i, name := range names {
		users[i] = keyUser{name, coverageFull}
	}
	return users
}

func coverage(covered, hsms []string) string {
	for _, hsm := range hsms {
		if !slices.Contains(covered, hsm) {
			return coveragePartial
		}
	}
	return coverageFull
}

func reference(n uint64) string { return fmt.Sprintf("0x%016x", n) }

func hexadecimal(b []byte) string { return "0x" + hex.EncodeToString(b) }

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	out.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := encoder.Encode(m.name); err != nil {
			return nil, err
		}
		out.WriteByte(':')
		if err := encoder.Encode(m.value); err != nil {
			return nil, err
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// parseAttributes reads "name=value" pairs of `key generate-symmetric`: the id, and booleans that differ from their
// defaults.
func parseAttributes(pairs []string, request *hsmproto.GenerateKeyRequest) error {
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || !setAttribute(name, value, request) {
			return failf("Invalid attribute: %s", pair)
		}
	}
	return nil
}

func setAttribute(name, value string, request *hsmproto.GenerateKeyRequest) (ok bool) {
	if name == "id" {
		request.ID, ok = parseHex(value)
		return ok
	}
	on, ok := parseBoolean(value)
	if !ok || !isBoolean(name) {
		return false
	}
	if request.Set == nil {
		request.Set = make(map[string]bool)
	}
	request.Set[name] = on
	return true
}
