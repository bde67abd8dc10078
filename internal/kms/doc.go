// Package kms holds the rules of the KMS API: keys and their states, aliases, tags, policies, symmetric cryptography.
// It does not know who performs the cryptography of a key (Material) nor how records are kept (Store).
//
// Every operation is a row made in Service (service.go); what each row permits in which key state comes from the table
// in keystate.go.
package kms
