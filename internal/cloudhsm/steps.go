package cloudhsm

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/hsmproto"
)

// take carries out one step. Each can be repeated after a crash at any point.
func (k *keeper) take(ctx context.Context, c *Cluster, st step) error {
	switch st.action {
	case actFound:
		return k.found(ctx, c)
	case actDissolve:
		return k.dissolve(ctx, c)
	case actForget:
		return k.store.Change(ctx, nil, func(tx Tx) error { return tx.Delete(c) })
	case actInitialize:
		return k.initialize(ctx, c, st.hsm)
	case actMake:
		return k.makeHsm(ctx, c, c.hsm(st.hsm), st.create, "")
	case actRestore:
		return k.restoreHsm(ctx, c, c.hsm(st.hsm))
	case actRun:
		h := c.hsm(st.hsm)
		k.fleet.Run(machine(c, h, h.Node))
		return nil
	case actTell, actTakeOver:
		return k.tell(ctx, c, st)
	case actCertify:
		return k.certify(ctx, st.hsm)
	case actBackup:
		return k.backUp(ctx, st.hsm)
	case actRemove:
		return k.remove(ctx, c.hsm(st.hsm))
	default:
		return fmt.Errorf("cloudhsm: unknown step %d", st.action)
	}
}

// hsm finds an HSM by id; nil if it is not there.
func (c *Cluster) hsm(id string) *Hsm {
	i := slices.IndexFunc(c.Hsms, func(h Hsm) bool { return h.ID == id })
	if i < 0 {
		return nil
	}
	return &c.Hsms[i]
}

// found makes what a new cluster needs. Its id was chosen with the record, so that a repetition finds it.
func (k *keeper) found(ctx context.Context, c *Cluster) error {
	name := "cloudhsm-" + c.ID + "-sg"
	err := k.network.CreateClusterGroup(ctx, c.Scope, c.VpcID, c.SecurityGroup, name, "CloudHSM cluster security group")
	if err != nil {
		return fmt.Errorf("making the security group: %w", err)
	}
	return k.amend(ctx, func(_ Tx, c *Cluster) error {
		if c.SourceBackupID != "" { // initialised and activated when the backup was made
			return c.enter(types.ClusterStateActive, "")
		}
		return c.enter(types.ClusterStateUninitialized, "")
	})
}

func (k *keeper) dissolve(ctx context.Context, c *Cluster) error {
	if err := k.network.DeleteGroup(ctx, c.Scope, c.SecurityGroup); err != nil {
		return fmt.Errorf("deleting the security group: %w", err)
	}
	return k.amend(ctx, func(_ Tx, c *Cluster) error {
		c.Expires = k.now().Add(keepDeleted)
		return c.enter(types.ClusterStateDeleted, "")
	})
}

func (k *keeper) initialize(ctx context.Context, c *Cluster, hsmID string) error {
	request := hsmproto.InitializeRequest{ClusterCertificate: c.ClusterCertificate, TrustAnchor: c.TrustAnchor}
	// A repetition after a crash finds the HSM initialised: with the same certificate, for there is only one.
	if !k.fleet.Health(hsmID).Status.Initialized {
		if err := k.fleet.Initialize(ctx, hsmID, request); err != nil {
			return fmt.Errorf("initialising: %w", err)
		}
	}
	return k.amend(ctx, func(_ Tx, c *Cluster) error {
		c.forgetIdentity()
		return c.enter(types.ClusterStateInitialized, "")
	})
}

// forgetIdentity drops the certificates of a first HSM, which are shown only until it is initialised.
func (c *Cluster) forgetIdentity() {
	c.ClusterCSR, c.HsmCertificate, c.ProviderHardware, c.ManufacturerHardware = "", "", "", ""
}

// makeHsm makes an HSM and records it as a member. Should the record fail, what was made is wiped by the next attempt.
func (k *keeper) makeHsm(ctx context.Context, c *Cluster, h *Hsm, create hsmproto.Create, backup string) error {
	m := machine(c, h, newNode(h.ID))
	m.Backup = backup
	hardware, err := k.fleet.Make(ctx, m, create)
	if err != nil {
		return fmt.Errorf("making the HSM: %w", err)
	}
	return k.amend(ctx, func(_ Tx, c *Cluster) error {
		h := c.hsm(h.ID)
		if h == nil || h.State == types.HsmStateDeleteInProgress || create != hsmproto.CreateJoin && c.hasMember() {
			return nil // its deletion, or the next attempt, removes what was made
		}
		h.Incarnation, h.Member = Incarnation{Node: m.Node, Hardware: hardware.Provider}, true
		c.Epoch++
		if create == hsmproto.CreateFirst {
			c.ProviderHardware, c.ManufacturerHardware = PEM(hardware.Provider), PEM(hardware.Manufacturer)
		}
		return nil
	})
}

func (c *Cluster) hasMember() bool {
	return slices.ContainsFunc(c.Hsms, func(h Hsm) bool { return h.Member })
}

func machine(c *Cluster, h *Hsm, node string) Machine {
	return Machine{HsmID: h.ID, ClusterID: c.ID, Node: node, Address: h.EniIP, HsmType: c.HsmType, Mode: string(c.Mode)}
}

// tell makes sure that HSMs outside the membership are dead, then tells a member of it. In this order no write can
// reach a fenced HSM after the others have gone on without it.
func (k *keeper) tell(ctx context.Context, c *Cluster, st step) error {
	request := hsmproto.SetMembersRequest{Epoch: c.Epoch}
	for _, h := range c.Hsms {
		if h.Member {
			request.Members = append(request.Members, hsmproto.Member{
				HsmID: h.ID, Node: h.Node, Address: h.EniIP, Hardware: h.Hardware,
			})
		} else if h.Node != "" {
			if err := k.fleet.Halt(ctx, h.ID, h.Node); err != nil {
				return fmt.Errorf("halting %s, which is fenced: %w", h.ID, err)
			}
		}
	}
	if st.action == actTakeOver {
		return k.fleet.TakeOver(ctx, st.hsm, request)
	}
	return k.fleet.SetMembers(ctx, st.hsm, request)
}

// certify completes the first HSM: it is ACTIVE once its certificates can be read.
func (k *keeper) certify(ctx context.Context, hsmID string) error {
	reply, err := k.fleet.Certificates(ctx, hsmID)
	if err != nil {
		return fmt.Errorf("reading the HSM's certificates: %w", err)
	}
	return k.amend(ctx, func(_ Tx, c *Cluster) error {
		h := c.hsm(hsmID)
		if h == nil || h.State == types.HsmStateDeleteInProgress {
			return nil
		}
		c.ClusterCSR, c.HsmCertificate = reply.ClusterCSR, reply.HsmCertificate
		h.InStep = true
		return h.enter(types.HsmStateActive, "")
	})
}

// remove ends an HSM. A cluster that is not activated and has no HSM left begins anew.
func (k *keeper) remove(ctx context.Context, h *Hsm) error {
	if err := k.fleet.Discard(ctx, h.ID); err != nil {
		return fmt.Errorf("ending the HSM: %w", err)
	}
	if err := k.network.ReleaseInterface(ctx, k.scope, h.EniID); err != nil {
		return fmt.Errorf("releasing its network interface: %w", err)
	}
	return k.amend(ctx, func(tx Tx, c *Cluster) error {
		c.Hsms = slices.DeleteFunc(c.Hsms, func(o Hsm) bool { return o.ID == h.ID })
		if len(c.Hsms) > 0 {
			return nil
		}
		c.TakeOver = ""
		if c.Serving() {
			return c.giveUpBackup(tx)
		}
		c.forgetIdentity()
		c.ClusterCertificate, c.TrustAnchor = "", ""
		return c.enter(types.ClusterStateUninitialized, "")
	})
}
