package server

import (
	"cmp"
	"fmt"
	"strings"

	keys "keyward/internal/kms"
)

// quotas are what bounds accounts, as configured.
type quotas struct {
	limits    keys.Limits
	stores    int // custom key stores of an account and Region; zero is AWS's value
	requests  *keys.RequestQuotas
	storeRate float64 // cryptographic operations of each key store in a second; zero sets no bound
}

// resource is where a resource quota is kept, by its name on the command line.
func (q *quotas) resource(name string) *int {
	switch name {
	case "keys":
		return &q.limits.Keys
	case "aliases-per-key":
		return &q.limits.AliasesPerKey
	case "grants-per-key":
		return &q.limits.GrantsPerKey
	case "tags-per-key":
		return &q.limits.TagsPerKey
	case "policy-bytes":
		return &q.limits.PolicyBytes
	case "on-demand-rotations":
		return &q.limits.OnDemandRotations
	case "custom-key-stores":
		return &q.stores
	default:
		return nil
	}
}

var resourceQuotas = []string{
	"keys", "aliases-per-key", "grants-per-key", "tags-per-key", "policy-bytes", "on-demand-rotations", "custom-key-stores",
}

// quotas reads the configured ones, or says what is wrong with them.
func (c *Config) quotas() (q quotas, err error) {
	for name, value := range c.Quotas {
		kept := q.resource(name)
		if kept == nil {
			return q, fmt.Errorf("there is no quota %q; there are: %s", name, strings.Join(resourceQuotas, ", "))
		}
		if value < 1 {
			return q, fmt.Errorf("quota %s: %d cannot be kept; it is at least 1", name, value)
		}
		*kept = value
	}
	if c.KeyStoreRate < 0 {
		return q, fmt.Errorf("a rate of %d operations a second cannot be kept", c.KeyStoreRate)
	}
	if q.requests, err = keys.NewRequestQuotas(c.AWSRequestQuotas, c.RequestQuotas); err != nil {
		return q, err
	}
	q.storeRate = cmp.Or(float64(c.KeyStoreRate), q.requests.KeyStore())
	return q, nil
}
