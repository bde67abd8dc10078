// Package keyward is a key management service that speaks AWS's own protocols, with custom key stores on HSM clusters
// that are really there. This package holds only the map of the tree and the test that keeps it true.
//
// Imports go downwards, storey by storey:
//
//	5  faces       command, server, demo, cloudhsmcli, rehearsal assembly, flags, terminals
//	4  adapters    wire/…, storage/…, keystore, hsmnode, fleet,  protocols, SQL, files, processes, connections
//	               rootkey, httpserver, journal
//	3  services    kms, cloudhsm, network, identity, cloudtrail, the rules of each API
//	               hsmclient
//	2  pure rules  policy, audit, operation, sigv4, hsm,         no I/O, no clock, no randomness
//	               hsmproto, connection, xaes, quota,
//	               keyspec, keywrap, mldsamu                (keyspec, keywrap: crypto/rand for keys and nonces)
//	1  vocabulary  arn, fault, secret, durable, clock, hardening identifiers, errors, secrets, crash-safe files
//
// A request is followed through httpserver → wire → sigv4 → identity → kms (or cloudhsm, network) → keystore → hsmclient → hsmnode
// → hsm, and its event through audit → storage → journal → cloudtrail. docs/architecture.md tells the reasons.
package keyward
