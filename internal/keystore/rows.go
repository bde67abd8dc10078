package keystore

import (
	"crypto/rand"
	"encoding/hex"

	"keyward/internal/operation"
)

// Rows are the operations on custom key stores; they belong to the KMS API. What the events of the changing ones hold
// of the request beside the members named here, the operations add themselves: AWS logs CloudHsmClusterId under
// another name, and never the password or the trust anchor.
func (m *Manager) Rows() []operation.Row {
	return []operation.Row{
		operation.Write("CreateCustomKeyStore", m.createCustomKeyStore, "CustomKeyStoreName"),
		operation.Write("ConnectCustomKeyStore", m.connectCustomKeyStore, "CustomKeyStoreId"),
		operation.Write("DisconnectCustomKeyStore", m.disconnectCustomKeyStore, "CustomKeyStoreId"),
		operation.Write("UpdateCustomKeyStore", m.updateCustomKeyStore, "CustomKeyStoreId", "NewCustomKeyStoreName"),
		operation.Write("DeleteCustomKeyStore", m.deleteCustomKeyStore, "CustomKeyStoreId"),
		operation.Read("DescribeCustomKeyStores", m.describeCustomKeyStores,
			"CustomKeyStoreId", "CustomKeyStoreName", "Limit", "Marker"),
	}
}

// newID makes a CustomKeyStoreId: "cks-" and 17 hexadecimal digits.
func newID() string {
	var b [9]byte
	_, _ = rand.Read(b[:]) // never fails
	return "cks-" + hex.EncodeToString(b[:])[:17]
}

// value reads an optional string.
func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
