package keystore

import (
	"keyward/internal/connection"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// The sentences are those of the AWS KMS API Reference for each exception. Where a condition has its own cause, the
// sentence names it, so that the caller knows which of several conditions was met.

func notFound(idOrName string) error {
	return fault.New("CustomKeyStoreNotFoundException",
		"The request was rejected because KMS cannot find a custom key store with the specified key store name or ID: %s.", idOrName)
}

// invalidState says what the operation needs (API Reference, CustomKeyStoreInvalidStateException).
func invalidState(r *Record, trigger connection.Trigger) error {
	return fault.New("CustomKeyStoreInvalidStateException",
		"The request was rejected because of the ConnectionState of the custom key store, which is %s. %s", r.State, needs[trigger])
}

var needs = map[connection.Trigger]string{
	connection.Connect: "This operation is not valid while the ConnectionState is DISCONNECTING or FAILED. " +
		"To reconnect a custom key store in a FAILED state, disconnect it, then connect it.",
	connection.Disconnect: "This operation is not valid while the ConnectionState is DISCONNECTING or DISCONNECTED.",
	connection.Rename:     "NewCustomKeyStoreName can be updated only while the ConnectionState is CONNECTED or DISCONNECTED.",
	connection.Update:     "For all properties other than NewCustomKeyStoreName, the ConnectionState must be DISCONNECTED.",
	connection.Delete:     "This operation is valid only when the ConnectionState is DISCONNECTED.",
	connection.CreateKey:  "This operation is valid only when the ConnectionState is CONNECTED.",
	connection.Random:     "This operation is valid only when the ConnectionState is CONNECTED.",
}

var (
	errNameInUse = fault.New("CustomKeyStoreNameInUseException",
		"The request was rejected because the specified custom key store name is already assigned to another custom key store in the account. "+
			"Try again with a custom key store name that is unique in the account.")
	errClusterNotFound = fault.New("CloudHsmClusterNotFoundException",
		"The request was rejected because KMS cannot find the CloudHSM cluster with the specified cluster ID. Retry the request with a different cluster ID.")
	errClusterInUse = fault.New("CloudHsmClusterInUseException",
		"The request was rejected because the specified CloudHSM cluster is already associated with an CloudHSM key store in the account, "+
			"or it shares a backup history with an CloudHSM key store in the account.")
	errClusterNotActive = fault.New("CloudHsmClusterNotActiveException",
		"The request was rejected because the CloudHSM cluster associated with the CloudHSM key store is not active. "+
			"Initialize and activate the cluster and try the command again.")
	errNotRelated = fault.New("CloudHsmClusterNotRelatedException",
		"The request was rejected because the specified CloudHSM cluster has a different cluster certificate than the original cluster. "+
			"You cannot use the operation to specify an unrelated cluster for an CloudHSM key store.")
	errTrustAnchor = fault.New("IncorrectTrustAnchorException",
		"The request was rejected because the trust anchor certificate in the request to create an CloudHSM key store "+
			"is not the trust anchor certificate for the specified CloudHSM cluster.")
	errHasKeys = fault.New("CustomKeyStoreHasCMKsException",
		"The request was rejected because the custom key store contains KMS keys. After verifying that you do not need to use the KMS keys, "+
			"use the ScheduleKeyDeletion operation to delete the KMS keys. After they are deleted, you can delete the custom key store.")
	errMarker = fault.New("InvalidMarkerException",
		"The request was rejected because the marker that specifies where pagination should next begin is not valid.")
	errExternal = fault.New("UnsupportedOperationException",
		"The request was rejected because custom key stores of type EXTERNAL_KEY_STORE are not supported.")
)

// misconfigured is CloudHsmClusterInvalidConfigurationException with the requirement that is not met.
func misconfigured(requirement string) error {
	return fault.New("CloudHsmClusterInvalidConfigurationException",
		"The request was rejected because the associated CloudHSM cluster did not meet the configuration requirements for an CloudHSM key store. %s",
		requirement)
}

// Requirements of a cluster (API Reference, CloudHsmClusterInvalidConfigurationException).
const (
	needSubnets = "The CloudHSM cluster must be configured with private subnets in at least two different Availability Zones in the Region."
	needRules   = "The security group for the cluster must include inbound rules and outbound rules that allow TCP traffic on ports 2223-2225. " +
		"The Source in the inbound rules and the Destination in the outbound rules must match the security group ID."
	needTwoHsms = "The CloudHSM cluster must have at least two active HSMs, each in a different Availability Zone."
)

func invalid(format string, args ...any) error {
	return fault.New("ValidationException", format, args...)
}

// Failures of cryptography while the store is CONNECTED (spec key-stores 9).
const (
	textUnreachable = "KMS cannot communicate with your CloudHSM cluster. This might be a transient network issue. " +
		"If you see this error repeatedly, verify that the Network ACLs and the security group rules for the VPC of your AWS CloudHSM cluster are correct."
	textLockedOut = "KMS cannot communicate with your AWS CloudHSM cluster because the kmsuser is locked out. " +
		"If you see this error repeatedly, disconnect the AWS CloudHSM key store and reset the kmsuser account password. " +
		"Update the kmsuser password for the custom key store and retry the request."
	textNoSession = "KMS could not obtain a PKCS #11 session with your AWS CloudHSM cluster. Retry the request."
	textNoKey     = "KMS cannot find the key material for %s in your AWS CloudHSM cluster."
)

// tooMany refuses another store.
func tooMany(limit, usage int) error {
	return fault.New("LimitExceededException", "Custom key store quota for this account in this region is %d, current usage is %d.", limit, usage)
}

func keyState(cause error, format string, args ...any) error {
	return fault.New("KMSInvalidStateException", format, args...).Because(cause)
}

// describe puts what the request does not say into the event. It replaces what an earlier try of the same transaction
// put there.
func describe(call *operation.Call, r *Record) {
	call.Event.Additional = nil
	call.Event.Additional.Add("customKeyStoreName", r.Name)
	call.Event.Additional.Add("clusterId", r.ClusterID)
}
