//lint:file-ignore SA1019 CustomerMasterKeySpec is deprecated in AWS's model and still answered.

package kms

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
)

// metadata describes a key as DescribeKey and CreateKey do. It shares k's strings.
func (s *Service) metadata(k *snapshot) *types.KeyMetadata {
	state, can := s.state(k.Key), algorithmsOf(k.Key)
	m := &types.KeyMetadata{
		AWSAccountId:             &k.Scope.Account,
		KeyId:                    &k.ID,
		Arn:                      &k.arn,
		CreationDate:             &k.Created,
		Enabled:                  state == types.KeyStateEnabled,
		Description:              &k.Description,
		KeyUsage:                 k.Usage,
		KeyState:                 state,
		Origin:                   k.Origin,
		KeyManager:               types.KeyManagerTypeCustomer,
		CustomerMasterKeySpec:    types.CustomerMasterKeySpec(k.Spec),
		KeySpec:                  k.Spec,
		EncryptionAlgorithms:     can.encryption,
		SigningAlgorithms:        can.signing,
		MacAlgorithms:            can.mac,
		KeyAgreementAlgorithms:   can.agreement,
		EncapsulationAlgorithms:  can.encapsulation,
		MultiRegion:              aws.Bool(k.MultiRegion()),
		MultiRegionConfiguration: k.family,
	}
	m.ExpirationModel, m.ValidTo = k.expiration()
	if state != types.KeyStateCreating { // as recorded of ReplicateKey
		m.CurrentKeyMaterialId = materialID(k)
	}
	switch state {
	case types.KeyStatePendingDeletion:
		m.DeletionDate = &k.DeletionDate
	case types.KeyStatePendingReplicaDeletion:
		m.PendingDeletionWindowInDays = aws.Int32(int32(k.PendingWindow))
	}
	if k.StoreID != "" {
		m.CustomKeyStoreId = &k.StoreID
		if cluster := s.stores.Cluster(k.StoreID); cluster != "" {
			m.CloudHsmClusterId = &cluster
		}
	}
	return m
}

// configuration describes k's family, of which k is a member; nil for a single-Region key.
func configuration(k *Key, family []*Key) *types.MultiRegionConfiguration {
	if !k.MultiRegion() {
		return nil
	}
	c := &types.MultiRegionConfiguration{MultiRegionKeyType: types.MultiRegionKeyTypeReplica, ReplicaKeys: []types.MultiRegionKey{}}
	if k.Primary() {
		c.MultiRegionKeyType = types.MultiRegionKeyTypePrimary
	}
	for _, member := range family {
		named := types.MultiRegionKey{Arn: aws.String(member.ARN()), Region: aws.String(member.Scope.Region)}
		if member.Scope.Region == k.PrimaryRegion {
			c.PrimaryKey = &named
		} else {
			c.ReplicaKeys = append(c.ReplicaKeys, named)
		}
	}
	return c
}

func configurationMembers(c *types.MultiRegionConfiguration) audit.Members {
	if c == nil {
		return nil
	}
	named := func(k *types.MultiRegionKey) audit.Members {
		return audit.Members{{Name: "arn", Value: k.Arn}, {Name: "region", Value: k.Region}}
	}
	replicas := make([]audit.Members, len(c.ReplicaKeys))
	for i := range c.ReplicaKeys {
		replicas[i] = named(&c.ReplicaKeys[i])
	}
	return audit.Members{
		{Name: "multiRegionKeyType", Value: c.MultiRegionKeyType},
		{Name: "primaryKey", Value: named(c.PrimaryKey)},
		{Name: "replicaKeys", Value: replicas},
	}
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
		{Name: "signingAlgorithms", Value: m.SigningAlgorithms},
		{Name: "macAlgorithms", Value: m.MacAlgorithms},
		{Name: "keyAgreementAlgorithms", Value: m.KeyAgreementAlgorithms},
		{Name: "encapsulationAlgorithms", Value: m.EncapsulationAlgorithms},
		{Name: "multiRegion", Value: m.MultiRegion},
		{Name: "multiRegionConfiguration", Value: configurationMembers(m.MultiRegionConfiguration)},
		{Name: "currentKeyMaterialId", Value: m.CurrentKeyMaterialId},
		{Name: "expirationModel", Value: optional(string(m.ExpirationModel))},
		{Name: "validTo", Value: m.ValidTo},
	}
}

// optional leaves an empty member out of an event.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
