package hsmnode

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

var errOtherDevice = errors.New("hsmnode: the folder holds another HSM")

// openDevice opens the HSM's sealed file, or makes a new HSM with the supervisor's help. A new HSM exists once its
// file does: a crash before leaves nothing that a second attempt could trip over.
func openDevice(c *hsmproto.BootConfig, r roots, boot *dialogue) (*vault, error) {
	platform := secret.New(c.PlatformSecret)
	defer platform.Wipe()
	v, err := openVault(c.Dir, platform)
	switch {
	case errors.Is(err, errNoDevice) && c.Create != "":
		d, err := newDevice(c, r, boot)
		if err != nil {
			return nil, err
		}
		return v, v.update(func(empty *device) error { *empty = *d; return nil })
	case err != nil:
		return nil, err
	}
	d := v.get()
	if d.HsmID != c.HsmID || d.ClusterID != c.ClusterID || d.Node != c.Node {
		return nil, errOtherDevice
	}
	return v, nil
}

func newDevice(c *hsmproto.BootConfig, r roots, boot *dialogue) (*device, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	certificates, err := askForCertificates(key, boot)
	if err != nil {
		return nil, err
	}
	hardware, err := r.checkBoot(certificates, c.Node, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	d := &device{
		HsmID: c.HsmID, ClusterID: c.ClusterID, Node: c.Node, Serial: fmt.Sprintf("KW%012X", random(6)),
		Provider: certificates.Provider, Manufacturer: certificates.Manufacturer, RaftDir: raftDirOf(0), Start: startFresh,
	}
	if d.HardwareKey, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return nil, fmt.Errorf("hsmnode: encoding the hardware key: %w", err)
	}
	switch c.Create {
	case hsmproto.CreateJoin:
		return d, nil
	case hsmproto.CreateFirst:
		d.Start = startBootstrap
		return d, d.foundCluster(c, key, hardware)
	case hsmproto.CreateRestore:
		d.Start = startNormal // with a snapshot where an HSM that went down has its state
		return d, d.restore(c)
	default:
		return nil, fmt.Errorf("hsmnode: cannot create an HSM as %q", c.Create)
	}
}

func askForCertificates(key *ecdsa.PrivateKey, boot *dialogue) (*hsmproto.BootCertificates, error) {
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("hsmnode: encoding the hardware's public key: %w", err)
	}
	boot.say(hsmproto.BootHello{HardwareKey: public})
	certificates := new(hsmproto.BootCertificates)
	return certificates, boot.hear(certificates)
}

// foundCluster makes the secrets of a new cluster.
func (d *device) foundCluster(c *hsmproto.BootConfig, hardwareKey *ecdsa.PrivateKey, hardware *x509.Certificate) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("hsmnode: encoding the partition key: %w", err)
	}
	d.Secrets = &clusterSecrets{MaskingKey: random(masterSize), PartitionKey: encoded}
	d.Attestation, err = attest(partitionName(d.Serial, c.Mode), key, hardwareKey, hardware, time.Now())
	return err
}
