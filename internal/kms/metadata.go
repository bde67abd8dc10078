//lint:file-ignore SA1019 CustomerMasterKeySpec is deprecated in AWS's model and still answered.

package kms

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
)

// encryptionAlgorithms of symmetric encryption keys; shared and never changed.
var encryptionAlgorithms = []types.EncryptionAlgorithmSpec{symmetric}

// metadata describes a key as DescribeKey and CreateKey do. It shares k's strings.
func (s *Service) metadata(k *snapshot) *types.KeyMetadata {
	state := s.state(k.Key)
	m := &types.KeyMetadata{
		AWSAccountId:          &k.Scope.Account,
		KeyId:                 &k.ID,
		Arn:                   &k.arn,
		CreationDate:          &k.Created,
		Enabled:               state == types.KeyStateEnabled,
		Description:           &k.Description,
		KeyUsage:              k.Usage,
		KeyState:              state,
		Origin:                k.Origin,
		KeyManager:            types.KeyManagerTypeCustomer,
		CustomerMasterKeySpec: types.CustomerMasterKeySpec(k.Spec),
		KeySpec:               k.Spec,
		EncryptionAlgorithms:  encryptionAlgorithms,
		MultiRegion:           aws.Bool(false),
		CurrentKeyMaterialId:  materialID(k),
	}
	if state == types.KeyStatePendingDeletion {
		m.DeletionDate = &k.DeletionDate
	}
	if k.StoreID != "" {
		m.CustomKeyStoreId = &k.StoreID
		if cluster := s.stores.Cluster(k.StoreID); cluster != "" {
			m.CloudHsmClusterId = &cluster
		}
	}
	return m
}

// metadataMembers is metadata as the event of CreateKey shows it.
func metadataMembers(m *types.KeyMetadata) audit.Members {
	return audit.Members{
		{Name: "aWSAccountId", Value: m.AWSAccountId},
		{Name: "keyId", Value: m.KeyId},
		{Name: "arn", Value: m.Arn},
		{Name: "creationDate", Value: m.CreationDate},
		{Name: "enabled", Value: m.Enabled},
		{Name: "description", Value: m.Description},
		{Name: "keyUsage", Value: m.KeyUsage},
		{Name: "keyState", Value: m.KeyState},
		{Name: "origin", Value: m.Origin},
		{Name: "customKeyStoreId", Value: m.CustomKeyStoreId},
		{Name: "cloudHsmClusterId", Value: m.CloudHsmClusterId},
		{Name: "keyManager", Value: m.KeyManager},
		{Name: "customerMasterKeySpec", Value: m.CustomerMasterKeySpec},
		{Name: "keySpec", Value: m.KeySpec},
		{Name: "encryptionAlgorithms", Value: m.EncryptionAlgorithms},
		{Name: "multiRegion", Value: m.MultiRegion},
		{Name: "currentKeyMaterialId", Value: m.CurrentKeyMaterialId},
	}
}
