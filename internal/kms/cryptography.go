package kms

import "keyward/internal/operation"

// cryptography is the table of the operations that use keys. What they log is what CloudTrail does, never data.
func (s *Service) cryptography() []operation.Row {
	return []operation.Row{
		operation.Read("Encrypt", s.encrypt, "KeyId", "EncryptionContext", "DryRun"),
		operation.Read("Decrypt", s.decrypt, "KeyId", "EncryptionContext", "DryRun"),
		operation.Read("ReEncrypt", s.reEncrypt, "SourceKeyId", "SourceEncryptionContext", "DestinationKeyId",
			"DestinationEncryptionContext", "DryRun"),

		operation.Read("GenerateDataKey", s.generateDataKey, "KeyId", "KeySpec", "NumberOfBytes", "EncryptionContext", "DryRun"),
		operation.Read("GenerateDataKeyWithoutPlaintext", s.generateDataKeyWithoutPlaintext, "KeyId", "KeySpec", "NumberOfBytes",
			"EncryptionContext", "DryRun"),
		operation.Read("GenerateDataKeyPair", s.generateDataKeyPair, "KeyId", "KeyPairSpec", "EncryptionContext", "DryRun"),
		operation.Read("GenerateDataKeyPairWithoutPlaintext", s.generateDataKeyPairWithoutPlaintext, "KeyId", "KeyPairSpec",
			"EncryptionContext", "DryRun"),
		operation.Read("GenerateRandom", s.generateRandom, "NumberOfBytes", "CustomKeyStoreId"),

		operation.Read("GetPublicKey", s.getPublicKey, "KeyId"),
		operation.Read("Sign", s.sign, "KeyId", "SigningAlgorithm", "DryRun"),
		operation.Read("Verify", s.verify, "KeyId", "SigningAlgorithm", "DryRun"),
		operation.Read("GenerateMac", s.generateMac, "KeyId", "MacAlgorithm", "DryRun"),
		operation.Read("VerifyMac", s.verifyMac, "KeyId", "MacAlgorithm", "DryRun"),
		operation.Read("DeriveSharedSecret", s.deriveSharedSecret, "KeyId", "KeyAgreementAlgorithm", "DryRun"),
		operation.Read("Encapsulate", s.encapsulate, "KeyId", "EncapsulationAlgorithm", "DryRun"),
		operation.Read("Decapsulate", s.decapsulate, "KeyId", "EncapsulationAlgorithm", "DryRun"),
	}
}
