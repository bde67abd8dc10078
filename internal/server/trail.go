package server

import (
	"context"
	"time"

	"keyward/internal/cloudtrail"
)

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
