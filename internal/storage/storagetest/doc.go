// Package storagetest holds what every storage engine must do, as tests that take a factory: one file per service's
// store. An engine's own tests call them; services need to know nothing of which engine it is.
package storagetest
