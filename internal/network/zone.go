package network

import (
	"cmp"
	"context"
	"slices"

	"keyward/internal/fault"
	"keyward/internal/operation"
)

type describeZonesInput struct {
	ZoneName             []string
	ZoneId               []string
	Filter               []Filter
	AllAvailabilityZones bool
	DryRun               bool
}

type describeZonesOutput struct {
	Zones []zoneItem `xml:"availabilityZoneInfo"`
}

type zoneItem struct {
	Name               string    `xml:"zoneName"`
	ID                 string    `xml:"zoneId"`
	State              string    `xml:"zoneState"`
	Region             string    `xml:"regionName"`
	Group              string    `xml:"groupName"`
	NetworkBorderGroup string    `xml:"networkBorderGroup"`
	Type               string    `xml:"zoneType"`
	OptIn              string    `xml:"optInStatus"`
	Messages           []message `xml:"messageSet"`
}

type message struct {
	Message string `xml:"message"`
}

var zoneKind = kind[zoneItem]{
	id:   func(z zoneItem) string { return z.Name },
	tags: func(zoneItem) []Tag { return nil },
	attributes: map[string]func(zoneItem) []string{
		"zone-name":            func(z zoneItem) []string { return []string{z.Name} },
		"zone-id":              func(z zoneItem) []string { return []string{z.ID} },
		"state":                func(z zoneItem) []string { return []string{z.State} },
		"region-name":          func(z zoneItem) []string { return []string{z.Region} },
		"group-name":           func(z zoneItem) []string { return []string{z.Group} },
		"network-border-group": func(z zoneItem) []string { return []string{z.NetworkBorderGroup} },
		"zone-type":            func(z zoneItem) []string { return []string{z.Type} },
		"opt-in-status":        func(z zoneItem) []string { return []string{z.OptIn} },
	},
	missing: func(id string) error {
		return fault.New("InvalidParameterValue", "Invalid availability zone: [%s]", id)
	},
}

func (s *Service) describeZones(_ context.Context, call *operation.Call, in *describeZonesInput) (*describeZonesOutput, error) {
	var all []zoneItem
	region := call.Scope.Region
	for _, letter := range zoneLetters {
		name := region + string(letter)
		all = append(all, zoneItem{
			Name: name, ID: zoneID(name), State: "available", Region: region, Group: region, NetworkBorderGroup: region,
			Type: "availability-zone", OptIn: "opt-in-not-required", Messages: []message{},
		})
	}
	names := slices.Clone(in.ZoneName)
	for _, id := range in.ZoneId {
		at := slices.IndexFunc(all, func(z zoneItem) bool { return z.ID == id })
		if at < 0 {
			return nil, zoneKind.missing(id)
		}
		names = append(names, all[at].Name)
	}
	page, _, err := zoneKind.selectFrom(all, listing{ids: names, filters: in.Filter})
	if err = cmp.Or(err, dryRun(in.DryRun)); err != nil {
		return nil, err
	}
	return &describeZonesOutput{Zones: append([]zoneItem{}, page...)}, nil
}
