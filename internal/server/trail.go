package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"keyward/internal/cloudtrail"
	"keyward/internal/fault"
	"keyward/internal/storage/sqlite"
)

const trailPath = "/trail/deliver"

// lastDelivery bounds the delivery of the trail's files when the installation closes.
const lastDelivery = 20 * time.Second

// openTrail starts the audit trail. It is opened before the services and so closed after them: what they did last is
// delivered too.
func (i *installation) openTrail(context.Context) error {
	i.trail = cloudtrail.New(cloudtrail.Config{
		Store: i.db.Trail(), Sealer: i.root, Dir: i.config.path("trail"),
		Now: i.clock.Now, Log: i.config.Log,
	})
	i.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), lastDelivery)
		defer cancel()
		if err := i.trail.Deliver(ctx); err != nil {
			// The events are in the database and will be delivered after the next start.
			i.config.Log.Error("delivering the audit trail; it is delivered after the next start", "error", err)
		}
		return nil
	})
	i.clock.OnMove(i.trail.Wake)
	i.background(i.trail.Run)
	return nil
}

// deliverTrail delivers now what is due later.
func (i *installation) deliverTrail(w http.ResponseWriter, r *http.Request) {
	if err := i.trail.Deliver(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// DeliverTrail makes the installation that runs on the data folder dir deliver its audit trail's files now.
func DeliverTrail(ctx context.Context, dir string) error {
	if _, err := askAdmin(ctx, dir, http.MethodPost, trailPath); err != nil {
		return fmt.Errorf("delivering the audit trail: %w", err)
	}
	return nil
}

// TrailFiles says which of the trail's files VerifyTrail looks at.
type TrailFiles struct {
	Data     string    // the data folder
	Keys     string    // if not empty: a file with the public keys, kept elsewhere, that digests must be signed with
	From, To time.Time // zero: no bound
}

// VerifyTrail verifies the audit trail of a data folder against its database, whether or not an installation runs on
// it. It changes nothing.
func VerifyTrail(ctx context.Context, t TrailFiles) (_ cloudtrail.Report, err error) {
	db, err := sqlite.OpenReadOnly(filepath.Join(t.Data, "keyward.db"))
	if err != nil {
		return cloudtrail.Report{}, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	keys, err := trailKeys(ctx, db, t.Keys)
	if err != nil {
		return cloudtrail.Report{}, err
	}
	offset, err := clockOffset(ctx, db)
	if err != nil {
		return cloudtrail.Report{}, err
	}
	return cloudtrail.Verify(ctx, cloudtrail.Source{
		Dir: filepath.Join(t.Data, "trail"), Keys: keys, Store: db.Trail(), From: t.From, To: t.To, Now: time.Now().Add(offset),
	})
}

// trailKeys reads the public keys from a file, or else from the database.
func trailKeys(ctx context.Context, db *sqlite.DB, file string) ([]cloudtrail.PublicKey, error) {
	var text []byte
	var err error
	if file != "" {
		text, err = os.ReadFile(file)
	} else {
		text, err = db.Setting(ctx, cloudtrail.PublicKeysSetting)
	}
	if errors.Is(err, fault.ErrNotFound) {
		return nil, nil // nothing was signed yet
	}
	if err != nil {
		return nil, err
	}
	return cloudtrail.ReadPublicKeys(text)
}

// TrailKeys returns the public keys that the trail of a data folder is signed with, as TrailFiles.Keys takes them.
func TrailKeys(ctx context.Context, data string) (_ []byte, err error) {
	db, err := sqlite.OpenReadOnly(filepath.Join(data, "keyward.db"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	text, err := db.Setting(ctx, cloudtrail.PublicKeysSetting)
	if errors.Is(err, fault.ErrNotFound) {
		return nil, errors.New("nothing has been signed yet")
	}
	return text, err
}
