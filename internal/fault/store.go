package fault

import "errors"

// What a store may answer beside success. Services turn these into their API's exceptions.
var (
	// ErrNotFound: there is no such record.
	ErrNotFound = errors.New("store: no such record")
	// ErrExists: a record with this identity is there already; nothing was written.
	ErrExists = errors.New("store: record exists already")
	// ErrConflict: the record is no longer the version that was read (compare-and-swap failed); nothing was written.
	// The caller reads again and decides again.
	ErrConflict = errors.New("store: record was changed meanwhile")
)
