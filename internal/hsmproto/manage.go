package hsmproto

// Management operations: the control plane decides which HSMs exist, the HSMs carry it out. TLS 1.3, both sides with
// certificates of the provider root; the HSM presents its hardware certificate, whose common name is its Node.
const (
	OpStatus Op = iota + 32
	OpCertificates
	OpInitialize
	OpSetMembers
	OpTakeOver
	OpBackup
	OpAuditLog
)

// Member is one HSM of a cluster as the control plane recorded it.
type Member struct {
	HsmID   string `cbor:"1,keyasint"`
	Node    string `cbor:"2,keyasint"` // unique in all time: a replaced or re-made HSM gets a new one
	Address string `cbor:"3,keyasint"` // IP
	// Hardware is the DER hardware certificate under the provider root. Peers with any other certificate are refused,
	// and it is the key to which a new member's secrets are sealed.
	Hardware []byte `cbor:"4,keyasint"`
}

// StatusReply is an HSM's view of itself.
type StatusReply struct {
	Node string `cbor:"1,keyasint"`
	// Joined is true once the HSM holds its cluster's secrets and is a voter that has applied everything that was
	// acknowledged before it joined: it may be counted as ACTIVE. It stays true over a restart, although clients get
	// CodeUnavailable until a leader, or a takeover, lets the HSM replay its log.
	Joined      bool `cbor:"2,keyasint"`
	Initialized bool `cbor:"3,keyasint"` // holds a cluster certificate
	Activated   bool `cbor:"4,keyasint"`
	// Epoch is that of the newest membership it was told.
	Epoch uint64 `cbor:"5,keyasint"`
	// Leader is the leader's Node as this HSM knows it; empty while there is none.
	Leader string `cbor:"6,keyasint"`
	// Voters are the Nodes of the replication group as this HSM knows it.
	Voters []string `cbor:"7,keyasint"`
	// LastIndex orders survivors of a lost majority: the highest one is to take over.
	LastIndex uint64 `cbor:"8,keyasint"`
	Keys      int    `cbor:"9,keyasint"`
	Sessions  int    `cbor:"10,keyasint"`
}

// CertificatesReply holds PEM texts of a first HSM that is not initialised yet.
type CertificatesReply struct {
	ClusterCSR     string `cbor:"1,keyasint"`
	HsmCertificate string `cbor:"2,keyasint"` // partition key certified by the hardware key
}

// InitializeRequest gives the cluster its certificate (PEM); the control plane has checked both, the HSM checks that
// the certificate is for its partition key.
type InitializeRequest struct {
	ClusterCertificate string `cbor:"1,keyasint"`
	TrustAnchor        string `cbor:"2,keyasint"`
}

// SetMembersRequest tells who the cluster's HSMs are. An HSM accepts an Epoch not below its own and only memberships
// that name itself. It answers at once; the replication group follows (members are taken in and let go), which
// Status shows. HSMs not named are fenced: their certificates no longer open PeerPort and their sessions are over.
type SetMembersRequest struct {
	Epoch   uint64   `cbor:"1,keyasint"`
	Members []Member `cbor:"2,keyasint"`
}

// TakeOverRequest tells one survivor, the only one that may, that the majority is gone for good: it carries on alone
// with everything it has, and takes in the other Members anew. The control plane records the membership first.
type TakeOverRequest = SetMembersRequest

// BackupChunk is the most that one BackupReply carries, in bytes; MaxBackup bounds a whole backup.
const (
	BackupChunk = 256 << 10
	MaxBackup   = 64 << 20
)

// BackupRequest reads a backup of the cluster piece by piece. Offset 0 makes it, consistent as of that moment; the HSM
// keeps it for this connection until its last byte was read or another one is begun. An HSM that has not replayed its
// log answers CodeUnavailable.
type BackupRequest struct {
	Offset int `cbor:"1,keyasint"`
}

// BackupReply is the piece at the request's offset, and the size of the whole. It is sealed: only HSMs of this
// installation can make use of it.
type BackupReply struct {
	Data []byte `cbor:"1,keyasint"`
	Size int    `cbor:"2,keyasint"`
}
