// Package keystatetest plays the table of key states (package kms, key-states.csv), row by row, against whatever serves
// the KMS API: a service in the test's process or a running installation. It brings a key of the row's origin into the
// row's state by the operations that lead there, calls the row's operation and compares exception and sentence. It is for
// tests only.
package keystatetest

// API is what the table is played against.
type API interface {
	// Invoke calls an operation in a Region with an input of the AWS SDK; the output is a pointer to the SDK's, or nil.
	Invoke(region, operation string, in any) (any, error)
	// Refusal tells exception and sentence of an error of Invoke.
	Refusal(err error) (code, message string)
	// Store is the id of the custom key store, which is connected.
	Store() string
	// Disconnect disconnects the custom key store and returns when it is.
	Disconnect()
	// Settle ends the transient states in which keys are; those that begin later last.
	Settle()
}
