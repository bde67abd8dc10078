package kms

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyward/internal/operation"
	"keyward/internal/policy"
)

// keyContext answers for the condition keys of one question (AWS KMS Developer Guide, "Condition keys for AWS KMS"): those
// of the request's members, those of the key, and its tags. A value is made when a condition asks for it.
type keyContext struct {
	request  policy.Request
	service  *Service
	ctx      context.Context //nolint:containedctx // lives as long as the call; policy.Context has no place for it
	call     *operation.Call
	question question
	target   target
	failure  error // why a value was not to be had
}

// Lookup implements policy.Context.
func (c *keyContext) Lookup(key string) ([]string, bool) {
	for i := range c.question.request {
		if c.question.request[i].key == key {
			return c.question.request[i].values, true
		}
	}
	switch key {
	case "kms:calleraccount":
		return []string{c.call.Caller.Account}, true
	case "kms:requestalias":
		return single(c.target.alias)
	case "kms:encryptioncontextkeys":
		if c.question.context == nil {
			return nil, false
		}
		return slices.Sorted(maps.Keys(c.question.context)), true
	}
	if name, ok := strings.CutPrefix(key, "kms:encryptioncontext:"); ok {
		return folded(maps.All(c.question.context), name)
	}
	if c.target.key == nil {
		return nil, false
	}
	return c.ofKey(key)
}

// ofKey are the keys that tell of a key that is there.
func (c *keyContext) ofKey(key string) ([]string, bool) {
	k := c.target.key
	switch key {
	case "kms:keyspec", "kms:customermasterkeyspec":
		return []string{string(k.Spec)}, true
	case "kms:keyusage", "kms:customermasterkeyusage":
		return []string{string(k.Usage)}, true
	case "kms:keyorigin":
		return []string{string(k.Origin)}, true
	case "kms:multiregion":
		return []string{strconv.FormatBool(k.MultiRegion())}, true
	case "kms:multiregionkeytype":
		return single(multiRegionType(k.Key))
	case "kms:resourcealiases":
		return c.aliases(k)
	}
	if name, ok := strings.CutPrefix(key, "aws:resourcetag/"); ok {
		return folded(tagPairs(k), name)
	}
	return nil, false
}

func multiRegionType(k *Key) string {
	switch {
	case !k.MultiRegion():
		return ""
	case k.Primary():
		return "PRIMARY"
	default:
		return "REPLICA"
	}
}

// aliases of the key. A decision that needs them and cannot have them fails.
func (c *keyContext) aliases(k *snapshot) ([]string, bool) {
	names, err := c.service.snapshots.aliasesOf(c.ctx, k.ref())
	if err != nil {
		c.failure = unexpected("reading the aliases of a key", err)
		return nil, false
	}
	return names, len(names) > 0
}

func tagPairs(k *snapshot) func(func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for _, t := range k.Tags {
			if !yield(aws.ToString(t.TagKey), aws.ToString(t.TagValue)) {
				return
			}
		}
	}
}

// folded collects the values of all names that are name in lower case: names of condition keys know no case. Letters are
// folded as policies are when they are read, so that "ſ" is no "s".
func folded(pairs func(func(string, string) bool), name string) (values []string, present bool) {
	for n, v := range pairs {
		if strings.ToLower(n) == name {
			values, present = append(values, v), true
		}
	}
	return values, present
}

func single(value string) ([]string, bool) {
	if value == "" {
		return nil, false
	}
	return []string{value}, true
}
