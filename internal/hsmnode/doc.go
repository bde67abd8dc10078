// Package hsmnode is the process of one HSM: the machine of package hsm replicated among the HSMs of a cluster by Raft,
// behind three TLS ports, over a folder of sealed files.
//
// What lives where:
//
//   - main.go, boot.go: from standard input to a serving HSM;
//   - device.go, seal.go: the sealed file of what this HSM is, and the keys that everything is sealed under;
//   - certificate.go, trust.go: what the HSM shows on its ports and whom it believes;
//   - group.go, state.go, stream.go: Raft, its state machine, its transport;
//   - propose.go: how a change is agreed on; peer.go: what HSMs ask of each other; member.go: who belongs to the group;
//   - serve.go: a connection and its calls; client.go, login.go, user.go, key.go, crypto.go: what clients may ask;
//   - hasher.go: passwords; session.go: that the cluster's sessions are those of connections that exist;
//   - manage.go: what the control plane may ask;
//   - auditlog.go: the sealed log of management commands; auditnote.go: what goes into it.
//
// Key material is in the clear only in this process's memory, inside prepared ciphers. Whatever is written, to the
// log, to snapshots or to the device file, is sealed first; the keys for that are held by the HSMs alone.
//
// No other package may import this one except the command that starts the process.
package hsmnode
