package kms

import (
	"context"

	"keyward/internal/arn"
	"keyward/internal/fault"
)

// noStores stands in where there are no custom key stores: no store id is known, and no key can be in one.
type noStores struct{}

func (noStores) unknown(storeID string) error {
	return fault.New("CustomKeyStoreNotFoundException", "Custom key store %s does not exist.", storeID)
}

func (n noStores) Admit(_ context.Context, _ arn.Scope, storeID string) error {
	return n.unknown(storeID)
}

func (n noStores) RandomOf(_ context.Context, _ arn.Scope, storeID string, _ int) ([]byte, error) {
	return nil, n.unknown(storeID)
}

func (noStores) Cluster(string) string { return "" }

func (noStores) Available(*Key) bool { return false }

func (n noStores) Generate(_ context.Context, k *Key) (MaterialRecord, error) {
	return MaterialRecord{}, n.unknown(k.StoreID)
}

func (n noStores) Seal(_ context.Context, k *Key, _, _ []byte) ([]byte, error) {
	return nil, n.unknown(k.StoreID)
}

func (n noStores) Open(_ context.Context, k *Key, _ *MaterialRecord, _, _ []byte) ([]byte, error) {
	return nil, n.unknown(k.StoreID)
}

func (n noStores) Random(_ context.Context, k *Key, _ int) ([]byte, error) {
	return nil, n.unknown(k.StoreID)
}

func (n noStores) Discard(_ context.Context, k *Key) error { return n.unknown(k.StoreID) }
