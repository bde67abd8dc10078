// Package kms holds the rules of the KMS API: keys and their states, aliases, tags, policies, cryptography.
// It does not know who performs the cryptography of a key (Material) nor how records are kept (Store).
//
// Every operation is a row made in service.go; what each row permits in which key state comes from key-states.csv
// through keystate.go. Reads of keys and aliases go through caches of snapshots (snapshots.go) that assume this process
// to be the only one that changes the store; several API nodes over one database need their caches told of changes.
//
// Every operation on a key asks for permission in one place, Service.key (question.go), before it looks at anything else of
// the key: authorize.go puts the question to package policy, conditionkeys.go answers for the condition keys, grants.go and
// retire.go keep the grants. Operations on no key are asked about by whoever serves the rows.
//
// What happens to a key by itself has a due time (Key.Due) and is done by Run, step by step (due.go): it rotates, loses
// imported material that expires, comes out of a transient state, is deleted. Related multi-Region keys are rows of their
// own that change together (family.go).
package kms
