package hsmproto

import "crypto/x509"

// The supervisor starts an HSM as `keyward hsm` and talks to it in lines of JSON: a BootConfig on standard input, then
//
//   - an HSM being made: BootHello with HardwareKey out, BootCertificates in, BootHello with Ready out;
//   - an HSM started again: BootHello with Ready out.
//
// A BootHello with Error says why the HSM gives up; it then exits with status 1. The HSM serves its ports before it
// says Ready. It ends when its standard input does (the supervisor died), and on SIGTERM, both in good order.
// Standard error is its log.

// BootConfig tells an HSM process who it is.
type BootConfig struct {
	HsmID     string `json:"hsmId"`
	ClusterID string `json:"clusterId"`
	// Node is the HSM's name among its peers, new with every incarnation (Member.Node).
	Node    string `json:"node"`
	Address string `json:"address"` // IP of its network interface
	Dir     string `json:"dir"`     // its folder; nobody else's
	HsmType string `json:"hsmType"` // "hsm2m.medium"
	Mode    string `json:"mode"`    // "FIPS" or "NON_FIPS"
	// PlatformSecret, 32 bytes, is the supervisor's share of the key that seals the HSM's files.
	PlatformSecret []byte `json:"platformSecret"`
	// ProviderShare, 32 bytes, is the installation's share of the key that seals backups, the same for all its HSMs.
	ProviderShare []byte `json:"providerShare,omitempty"`
	// Area is a folder that the HSMs of the installation share, nobody else's. It holds the manufacturer's share of the
	// key that seals backups, which no other process reads.
	Area string `json:"area,omitempty"`
	// ProviderRoot and ManufacturerRoot are DER certificates: the roots of hardware certificates. Peers and the
	// control plane prove themselves under ProviderRoot.
	ProviderRoot     []byte `json:"providerRoot"`
	ManufacturerRoot []byte `json:"manufacturerRoot"`
	// Create says what an HSM without a folder is to become; empty refuses to start without one.
	Create Create `json:"create,omitempty"`
	// Backup is the file from which CreateRestore starts.
	Backup string `json:"backup,omitempty"`
}

// Create is what a new HSM starts as.
type Create string

const (
	// CreateFirst makes the first HSM of a never-initialised cluster: users admin and app_user, a partition key.
	CreateFirst Create = "first"
	// CreateJoin makes an HSM that waits to be taken in by the members of its cluster.
	CreateJoin Create = "join"
	// CreateRestore makes the first HSM of a cluster that has none, with the users, keys and certificate of a backup.
	CreateRestore Create = "restore"
)

// BootCertificates are DER certificates for HardwareKey, the same key under both roots, with the same subject: common
// name Node. The hardware key certifies the partition key of a first HSM, so both need Basic Constraints CA, key usage
// certSign and digitalSignature, and a subject key id made from the key as crypto/x509 does by default.
type BootCertificates struct {
	Provider     []byte `json:"provider"`
	Manufacturer []byte `json:"manufacturer"`
}

// BootHello is what an HSM process says about itself.
type BootHello struct {
	HardwareKey []byte `json:"hardwareKey,omitempty"` // DER SubjectPublicKeyInfo
	Ready       bool   `json:"ready,omitempty"`
	Error       string `json:"error,omitempty"`
	// BadBackup accompanies Error where the backup is at fault: another attempt would end the same.
	BadBackup bool `json:"badBackup,omitempty"`
}

// ControlPlaneName is the common name of the client certificate that ManagementPort accepts, issued by the provider
// root itself (hardware keys may certify too, and are not taken for it) with extended key usage clientAuth.
const ControlPlaneName = "keyward control plane"

// HardwareName is the common name of an HSM's hardware certificate: its Node. Hardware certificates carry serverAuth
// and clientAuth: the same key serves ManagementPort and both directions of PeerPort.
func HardwareName(cert *x509.Certificate) string { return cert.Subject.CommonName }
