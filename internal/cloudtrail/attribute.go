package cloudtrail

import (
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"keyward/internal/arn"
)

// attribute is what a lookup asks for: records whose key has the value. The zero value asks for all.
type attribute struct {
	key   types.LookupAttributeKey
	value string
}

// matches reports whether a record has the attribute. Of KMS keys the bare key id matches as well as the ARN.
func (a attribute) matches(f *facts) bool {
	for _, b := range attributesOf(f) {
		if a == b {
			return true
		}
	}
	return a == attribute{}
}

// attributesOf lists all that a record can be found by.
func attributesOf(f *facts) []attribute {
	all := make([]attribute, 0, 8)
	add := func(key types.LookupAttributeKey, value string) {
		if value != "" {
			all = append(all, attribute{key, value})
		}
	}
	add(types.LookupAttributeKeyEventId, f.eventID)
	add(types.LookupAttributeKeyEventName, f.eventName)
	add(types.LookupAttributeKeyReadOnly, strconv.FormatBool(f.readOnly))
	add(types.LookupAttributeKeyUsername, f.userName)
	add(types.LookupAttributeKeyEventSource, f.eventSource)
	add(types.LookupAttributeKeyAccessKeyId, f.accessKeyID)
	for _, r := range f.resources {
		add(types.LookupAttributeKeyResourceType, r.Type)
		add(types.LookupAttributeKeyResourceName, r.ARN)
		if _, id, ok := strings.Cut(r.ARN, ":key/"); ok {
			add(types.LookupAttributeKeyResourceName, id)
		}
	}
	return all
}

// term is the number under which storage finds the segments that hold an attribute in a scope. Different attributes
// may share one: what is found is looked at again.
func (a attribute) term(scope arn.Scope) int64 {
	h := fnv.New64a()
	for _, part := range []string{scope.Account, scope.Region, string(a.key), a.value} {
		_, _ = h.Write([]byte(part)) // a hash does not fail
		_, _ = h.Write([]byte{0})
	}
	return int64(h.Sum64()) //nolint:gosec // all 64 bits count, whatever their sign
}

// termKey is what stands for an attribute in a segment's terms. Every record has its own id, so a segment keeps ids in
// a list and has the term of all records in the scope for them.
func (a attribute) termKey() attribute {
	if a.key == types.LookupAttributeKeyEventId {
		return attribute{}
	}
	return a
}

// appendIDPrefix appends what a segment's list keeps of an event's id: nothing of an id that is none.
func appendIDPrefix(b []byte, eventID string) []byte {
	var digits [16]byte // half of a UUID's, 8 bytes
	n := 0
	for i := 0; i < len(eventID) && n < len(digits); i++ {
		if eventID[i] != '-' {
			digits[n] = eventID[i]
			n++
		}
	}
	prefix, err := hex.AppendDecode(b, digits[:n])
	if err != nil || n < len(digits) {
		return b
	}
	return prefix
}
