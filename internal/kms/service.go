package kms

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"keyward/internal/operation"
)

// Limits are the quotas of one account and Region (AWS KMS Developer Guide, "Resource quotas"). Zero means AWS's value.
type Limits struct {
	Keys              int // 100,000
	AliasesPerKey     int // 50
	TagsPerKey        int // 50
	PolicyBytes       int // 32,768
	OnDemandRotations int // of one key: 25
	GrantsPerKey      int // 50,000
}

func (l Limits) withDefaults() Limits {
	for _, q := range []struct {
		value *int
		usual int
	}{
		{&l.Keys, 100_000}, {&l.AliasesPerKey, 50}, {&l.TagsPerKey, 50}, {&l.PolicyBytes, 32_768}, {&l.OnDemandRotations, 25},
		{&l.GrantsPerKey, 50_000},
	} {
		if *q.value == 0 {
			*q.value = q.usual
		}
	}
	return l
}

// Config is what a Service needs.
type Config struct {
	Store Store
	// Root is where the keys of grant tokens and of ciphertexts' marks come from.
	Root RootKey
	// Directory knows principals; nil where there is none.
	Directory Directory
	// Default keeps the material of keys outside custom key stores.
	Default *DefaultStore
	// Stores keeps the material of all others; nil where there are no custom key stores.
	Stores KeyStores
	Now    func() time.Time
	Log    *slog.Logger
	Limits Limits
	// Settle is how long keys stay Creating and Updating; zero means until Run gets to it.
	Settle time.Duration
	// Requests bounds how often accounts may call; nil sets no bound.
	Requests *RequestQuotas
}

// Service is the KMS API but for the operations on custom key stores.
type Service struct {
	snapshots *snapshots
	store     Store
	standard  *DefaultStore
	stores    KeyStores
	directory Directory
	tokens    tokens
	marks     marker
	now       func() time.Time
	log       *slog.Logger
	limits    Limits
	settle    time.Duration
	requests  *RequestQuotas
	wake      chan struct{} // capacity 1: something may have become due
	catching  sync.Mutex    // held by CatchUp
}

// New makes a Service. Its background work needs Run.
func New(c Config) *Service {
	if c.Stores == nil {
		c.Stores = noStores{}
	}
	return &Service{
		snapshots: newSnapshots(c.Store),
		store:     c.Store,
		standard:  c.Default,
		stores:    c.Stores,
		directory: c.Directory,
		tokens:    tokens{c.Root.Derive("kms grant tokens")},
		marks:     marker{c.Root.Derive("kms ciphertext marks")},
		now:       c.Now,
		log:       c.Log,
		limits:    c.Limits.withDefaults(),
		settle:    c.Settle,
		requests:  c.Requests,
		wake:      make(chan struct{}, 1),
	}
}

// material is who performs k's cryptography.
func (s *Service) material(k *Key) Material {
	if k.StoreID == "" {
		return s.standard
	}
	return s.stores
}

// API is the service's table of operations. Those on custom key stores are appended by who implements them.
func (s *Service) API() operation.Service {
	return operation.Service{
		SigningName: "kms",
		Target:      "TrentService",
		EventSource: "kms.amazonaws.com",
		Admit:       s.requests.Admit,
		Rows: asking(append(s.cryptography(),
			operation.Write("CreateKey", s.createKey),
			operation.Read("DescribeKey", s.describeKey, "KeyId"),
			operation.Read("GetKeyLastUsage", s.getKeyLastUsage, "KeyId"),
			operation.Read("ListKeys", s.listKeys, "Limit", "Marker"),
			operation.Write("EnableKey", s.enableKey, "KeyId"),
			operation.Write("DisableKey", s.disableKey, "KeyId"),
			operation.Write("UpdateKeyDescription", s.updateKeyDescription, "KeyId", "Description"),
			operation.Write("ScheduleKeyDeletion", s.scheduleKeyDeletion, "KeyId"),
			operation.Write("CancelKeyDeletion", s.cancelKeyDeletion, "KeyId"),

			operation.Write("EnableKeyRotation", s.enableKeyRotation, "KeyId"),
			operation.Write("DisableKeyRotation", s.disableKeyRotation, "KeyId"),
			operation.Read("GetKeyRotationStatus", s.getKeyRotationStatus, "KeyId"),
			operation.Write("RotateKeyOnDemand", s.rotateKeyOnDemand, "KeyId"),
			operation.Read("ListKeyRotations", s.listKeyRotations, "KeyId", "IncludeKeyMaterial", "Limit", "Marker"),

			operation.Read("GetParametersForImport", s.getParametersForImport, "KeyId", "WrappingAlgorithm", "WrappingKeySpec"),
			operation.Write("ImportKeyMaterial", s.importKeyMaterial, "KeyId"),
			operation.Write("DeleteImportedKeyMaterial", s.deleteImportedKeyMaterial, "KeyId", "KeyMaterialId"),

			operation.Write("ReplicateKey", s.replicateKey, "KeyId", "ReplicaRegion"),
			operation.Write("UpdatePrimaryRegion", s.updatePrimaryRegion, "KeyId", "PrimaryRegion"),

			operation.Write("CreateAlias", s.createAlias, "AliasName", "TargetKeyId"),
			operation.Write("UpdateAlias", s.updateAlias, "AliasName", "TargetKeyId"),
			operation.Write("DeleteAlias", s.deleteAlias, "AliasName"),
			operation.Read("ListAliases", s.listAliases, "KeyId", "Limit", "Marker"),

			operation.Write("CreateGrant", s.createGrant, "KeyId", "GranteePrincipal", "RetiringPrincipal", "Operations", "Constraints",
				"Name", "DryRun"),
			operation.Read("ListGrants", s.listGrants, "KeyId", "GrantId", "GranteePrincipal", "Limit", "Marker"),
			operation.Read("ListRetirableGrants", s.listRetirableGrants, "RetiringPrincipal", "Limit", "Marker"),
			operation.Write("RetireGrant", s.retireGrant),
			operation.Write("RevokeGrant", s.revokeGrant, "KeyId", "GrantId", "DryRun"),

			operation.Write("TagResource", s.tagResource, "KeyId"),
			operation.Write("UntagResource", s.untagResource, "KeyId", "TagKeys"),
			operation.Read("ListResourceTags", s.listResourceTags, "KeyId", "Limit", "Marker"),

			operation.Read("GetKeyPolicy", s.getKeyPolicy, "KeyId", "PolicyName"),
			operation.Write("PutKeyPolicy", s.putKeyPolicy, "KeyId", "PolicyName", "Policy", "BypassPolicyLockoutSafetyCheck"),
			operation.Read("ListKeyPolicies", s.listKeyPolicies, "KeyId", "Limit", "Marker"),
		)),
	}
}

// keyless are the operations whose permission IAM alone gives: the wire asks for it. All others have a key, whose
// policy and grants decide as well.
var keyless = []string{"ListKeys", "ListAliases", "GenerateRandom"}

// asking marks the rows that ask for permission themselves.
func asking(rows []operation.Row) []operation.Row {
	for i := range rows {
		if rows[i].Asks = !slices.Contains(keyless, rows[i].Name); !rows[i].Asks {
			rows[i] = rows[i].On(onNoKey)
		}
	}
	return rows
}

// OnNoKey makes kms:CallerAccount, the one condition key of KMS that needs no key, known to the permission checks of rows
// for which the wire asks: those of operations on no key.
func OnNoKey(rows []operation.Row) []operation.Row {
	for i := range rows {
		rows[i] = rows[i].On(onNoKey)
	}
	return rows
}

func onNoKey(_ context.Context, c *operation.Call, _ any) ([]operation.Resource, error) {
	return []operation.Resource{{ARN: "*", Keys: operation.Keys{"kms:calleraccount": {c.Caller.Account}}}}, nil
}
