package sqlite

import (
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/kms"
)

// keyDetails is what is kept of a key without ever being searched for. Instants are milliseconds, as in columns.
type keyDetails struct {
	PendingWindow int               `json:"pendingWindow,omitzero"`
	Settles       int64             `json:"settles,omitzero"`
	Settled       types.KeyState    `json:"settled,omitzero"`
	Bound         map[string]string `json:"bound,omitempty"`
	Rotation      rotationDetails   `json:"rotation,omitzero"`
	Material      materialDetails   `json:"material,omitzero"` // of the current material; the rest of it is in columns
	Others        []materialDetails `json:"others,omitempty"`
}

type rotationDetails struct {
	Enabled  bool  `json:"enabled,omitzero"`
	Period   int   `json:"period,omitzero"`
	Next     int64 `json:"next,omitzero"`
	Started  int64 `json:"started,omitzero"`
	OnDemand int   `json:"onDemand,omitzero"`
}

type materialDetails struct {
	ID           string                 `json:"id,omitzero"`
	Wrapped      []byte                 `json:"wrapped,omitempty"`
	State        types.KeyMaterialState `json:"state,omitzero"`
	Rotated      int64                  `json:"rotated,omitzero"`
	RotationType types.RotationType     `json:"rotationType,omitzero"`
	ValidTo      int64                  `json:"validTo,omitzero"`
	Description  string                 `json:"description,omitzero"`
}

// encodeKey makes the JSON columns of a key.
func encodeKey(k *kms.Key) (tags, details string, err error) {
	if tags, err = encodeTags(k.Tags); err != nil {
		return "", "", err
	}
	d := keyDetails{
		PendingWindow: k.PendingWindow, Settles: millis(k.Settles), Settled: k.Settled, Bound: k.Bound,
		Rotation: rotationDetails{
			k.Rotation.Enabled, k.Rotation.Period, millis(k.Rotation.Next), millis(k.Rotation.Started), k.Rotation.OnDemand,
		},
		Material: detailsOf(&k.Material),
	}
	d.Material.ID, d.Material.Wrapped = "", nil
	for i := range k.Others {
		d.Others = append(d.Others, detailsOf(&k.Others[i]))
	}
	text, err := json.Marshal(d)
	return tags, string(text), err
}

func decodeDetails(text string, k *kms.Key) error {
	if text == "{}" {
		return nil
	}
	var d keyDetails
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return err
	}
	k.PendingWindow, k.Settles, k.Settled, k.Bound = d.PendingWindow, fromMillis(d.Settles), d.Settled, d.Bound
	r := &d.Rotation
	k.Rotation = kms.Rotation{
		Enabled: r.Enabled, Period: r.Period, Next: fromMillis(r.Next), Started: fromMillis(r.Started), OnDemand: r.OnDemand,
	}
	d.Material.ID, d.Material.Wrapped = k.Material.ID, k.Material.Wrapped
	backing := k.Material.BackingKeyID
	k.Material = d.Material.record()
	k.Material.BackingKeyID = backing
	for i := range d.Others {
		k.Others = append(k.Others, d.Others[i].record())
	}
	return nil
}

func detailsOf(m *kms.MaterialRecord) materialDetails {
	return materialDetails{m.ID, m.Wrapped, m.State, millis(m.Rotated), m.RotationType, millis(m.ValidTo), m.Description}
}

func (d *materialDetails) record() kms.MaterialRecord {
	return kms.MaterialRecord{
		ID: d.ID, Wrapped: d.Wrapped, State: d.State, Rotated: fromMillis(d.Rotated), RotationType: d.RotationType,
		ValidTo: fromMillis(d.ValidTo), Description: d.Description,
	}
}
