// Package kms holds the rules of the KMS API: keys and their states, aliases, tags, policies, cryptography.
// It does not know who performs the cryptography of a key (Material) nor how records are kept (Store).
//
// Every operation is a row made in service.go; what each row permits in which key state comes from key-states.csv
// through keystate.go. Reads of keys and aliases go through caches of snapshots (snapshots.go) that assume this process
// to be the only one that changes the store; several API nodes over one database need their caches told of changes.
package kms
