package cloudhsm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/hsmproto"
)

// backupEvery is the longest time between two backups of a cluster (user guide, "AWS CloudHSM cluster backups").
const backupEvery = 24 * time.Hour

// backupPending reports whether a backup of the cluster is being made or has to be.
func (c *Cluster) backupPending() bool { return c.Backup != "" || c.BackupDue }

// needsBackup reports whether a backup is to be made, or made to its end, at this instant of the service's clock.
func (c *Cluster) needsBackup(now time.Time) bool {
	return c.Serving() && (c.backupPending() || !now.Before(c.LastBackup.Add(backupEvery)))
}

// backup is the step that makes a backup of an activated cluster, from any HSM that has everything.
func (s situation) backup() []step {
	if !s.cluster.needsBackup(s.clock) {
		return nil
	}
	w := s.witness("")
	if w == nil {
		return nil
	}
	return s.unlessBusy(backupLane, step{action: actBackup, hsm: w.ID, lane: backupLane})
}

// backupLane is where making a backup waits after a failure, apart from the HSM it is made of.
const backupLane = "backup"

// backedUp reports whether an HSM may leave as far as backups are concerned: the one that has to be made before is
// made, or nothing is left that it could be made of. While the HSMs that hold everything are only down, it waits.
func (s situation) backedUp() bool {
	if !s.cluster.Serving() || !s.cluster.backupPending() {
		return true
	}
	for _, h := range s.cluster.Hsms {
		if h.Member && h.InStep && !s.health[h.ID].Lost {
			return false
		}
	}
	return true
}

// backUp makes a backup. A repetition after a crash goes on with the same id.
func (k *keeper) backUp(ctx context.Context, hsmID string) error {
	id, err := k.beginBackup(ctx)
	if err != nil || id == "" {
		return err
	}
	content, err := k.fleet.Backup(ctx, hsmID, id)
	if err != nil {
		return fmt.Errorf("making backup %s: %w", id, err)
	}
	defer k.pokeArchivist() // the one before is no longer the newest, which the policy spares
	return k.amend(ctx, func(tx Tx, c *Cluster) error {
		if c.Backup != id {
			return nil // given up meanwhile
		}
		b, err := tx.Backup(k.scope, id)
		if err != nil {
			return err
		}
		c.Backup, b.Content = "", content
		if err := b.enter(types.BackupStateReady, time.Time{}); err != nil {
			return err
		}
		return tx.UpdateBackup(b)
	})
}

// beginBackup records the backup that is to be made, unless that was done before; empty if there is nothing to do (any
// longer: the plan was made of an earlier record).
func (k *keeper) beginBackup(ctx context.Context) (id string, err error) {
	err = k.amend(ctx, func(tx Tx, c *Cluster) error {
		now := k.now().Truncate(time.Millisecond).UTC()
		if id = c.Backup; id != "" || !c.needsBackup(now) {
			return nil
		}
		id = newID("backup-")
		c.Backup, c.BackupDue, c.LastBackup = id, false, now
		return tx.InsertBackup(&Backup{
			Scope: c.Scope, ID: id, Created: now, State: types.BackupStateCreateInProgress, ClusterID: c.ID,
			HsmType: c.HsmType, Mode: c.Mode, ClusterCertificate: c.ClusterCertificate, TrustAnchor: c.TrustAnchor,
		})
	})
	return id, err
}

// giveUpBackup forgets a backup that can no longer be made, because no HSM is left. The next start removes what there
// may be of its contents.
func (c *Cluster) giveUpBackup(tx Tx) error {
	c.BackupDue = false
	if c.Backup == "" {
		return nil
	}
	b, err := tx.Backup(c.Scope, c.Backup)
	if err != nil {
		return err
	}
	c.Backup = ""
	return tx.DeleteBackup(b)
}

// restoreHsm makes an HSM from the cluster's latest backup and records it as the only member. A backup that cannot be
// restored is not tried again: the HSM says why.
func (k *keeper) restoreHsm(ctx context.Context, c *Cluster, h *Hsm) error {
	all, err := k.store.Backups(ctx, k.scope)
	if err != nil {
		return err
	}
	b := c.latest(all)
	if b == nil {
		return k.failRestore(ctx, h.ID, "There is no READY backup from which the HSM could be restored.")
	}
	err = k.fleet.CheckBackup(b.ID, b.Content)
	if err == nil {
		err = k.makeHsm(ctx, c, h, hsmproto.CreateRestore, b.ID)
	}
	if bad, ok := errors.AsType[*BadBackup](err); ok {
		return k.failRestore(ctx, h.ID, fmt.Sprintf("Backup %s cannot be restored: %s", b.ID, bad.Reason))
	}
	return err
}

// maxStateMessage is the longest StateMessage, in characters (API reference).
const maxStateMessage = 300

func (k *keeper) failRestore(ctx context.Context, hsmID, message string) error {
	k.log.Error("an HSM cannot be restored", "hsm", hsmID, "reason", message)
	return k.amend(ctx, func(_ Tx, c *Cluster) error {
		h := c.hsm(hsmID)
		if h == nil || h.State == types.HsmStateDeleteInProgress {
			return nil
		}
		return h.enter(types.HsmStateDegraded, message[:min(len(message), maxStateMessage)])
	})
}
