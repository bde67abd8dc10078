package network

import (
	"cmp"
	"context"

	"keyward/internal/fault"
	"keyward/internal/operation"
)

// Route tables, endpoints and gateways are there to be read: every VPC has its main route table with the local route,
// and nothing leads out.

type routeTableItem struct {
	ID           string             `xml:"routeTableId"`
	VpcID        string             `xml:"vpcId"`
	OwnerID      string             `xml:"ownerId"`
	Routes       []routeItem        `xml:"routeSet"`
	Associations []routeAssociation `xml:"associationSet"`
	Gateways     []gatewayItem      `xml:"propagatingVgwSet"`
	Tags         []Tag              `xml:"tagSet"`
}

type routeItem struct {
	Destination string `xml:"destinationCidrBlock"`
	GatewayID   string `xml:"gatewayId"`
	State       string `xml:"state"`
	Origin      string `xml:"origin"`
}

type routeAssociation struct {
	ID      string           `xml:"routeTableAssociationId"`
	TableID string           `xml:"routeTableId"`
	Main    bool             `xml:"main"`
	State   associationState `xml:"associationState"`
}

type associationState struct {
	State string `xml:"state"`
}

type gatewayItem struct {
	ID string `xml:"gatewayId"`
}

var routeTableKind = kind[routeTableItem]{
	id:   func(t routeTableItem) string { return t.ID },
	tags: func(t routeTableItem) []Tag { return t.Tags },
	attributes: map[string]func(routeTableItem) []string{
		"route-table-id":               func(t routeTableItem) []string { return []string{t.ID} },
		"vpc-id":                       func(t routeTableItem) []string { return []string{t.VpcID} },
		"owner-id":                     func(t routeTableItem) []string { return []string{t.OwnerID} },
		"association.main":             func(routeTableItem) []string { return yesNo(true) },
		"association.route-table-id":   func(t routeTableItem) []string { return []string{t.ID} },
		"association.subnet-id":        func(routeTableItem) []string { return nil }, // subnets use the main table without saying so
		"association.gateway-id":       func(routeTableItem) []string { return nil },
		"route.gateway-id":             func(routeTableItem) []string { return []string{"local"} },
		"route.destination-cidr-block": func(t routeTableItem) []string { return []string{t.Routes[0].Destination} },
		"route.state":                  func(routeTableItem) []string { return []string{"active"} },

		"association.route-table-association-id": func(t routeTableItem) []string { return []string{t.Associations[0].ID} },
	},
	missing: func(id string) error {
		return fault.New("InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist", id)
	},
}

// mainTable is a VPC's route table.
func mainTable(v *VPC) routeTableItem {
	id := derived("rtb", v.ID)
	return routeTableItem{
		ID: id, VpcID: v.ID, OwnerID: v.Scope.Account,
		Routes:       []routeItem{{v.CIDR.String(), "local", "active", "CreateRouteTable"}},
		Associations: []routeAssociation{{derived("rtbassoc", v.ID), id, true, associationState{"associated"}}},
		Gateways:     []gatewayItem{}, Tags: []Tag{},
	}
}

type describeRouteTablesInput struct {
	RouteTableId []string
	Filter       []Filter
	MaxResults   int
	NextToken    string
	DryRun       bool
}

type describeRouteTablesOutput struct {
	Tables    []routeTableItem `xml:"routeTableSet"`
	NextToken *string          `xml:"nextToken"`
}

func (s *Service) describeRouteTables(ctx context.Context, call *operation.Call, in *describeRouteTablesInput) (*describeRouteTablesOutput, error) {
	vpcs, err := s.store.VPCs(ctx, call.Scope)
	if err != nil {
		return nil, err
	}
	tables := make([]routeTableItem, len(vpcs))
	for n, v := range vpcs {
		tables[n] = mainTable(v)
	}
	page, next, err := routeTableKind.selectFrom(tables, listing{in.RouteTableId, in.Filter, in.MaxResults, in.NextToken})
	if err = cmp.Or(err, dryRun(in.DryRun)); err != nil {
		return nil, err
	}
	return &describeRouteTablesOutput{list(page), optional(next)}, nil
}

// nothing is a resource of a kind of which there is none. Any filter may be asked for: it finds nothing.
type nothing struct{}

func noSuch(ids []string, code, what string) error {
	if len(ids) == 0 {
		return nil
	}
	return fault.New(code, "The %s ID '%s' does not exist", what, ids[0])
}

type describeEndpointsInput struct {
	VpcEndpointId []string
	Filter        []Filter
	DryRun        bool
}

type describeEndpointsOutput struct {
	Endpoints []nothing `xml:"vpcEndpointSet"`
}

func (s *Service) describeEndpoints(_ context.Context, _ *operation.Call, in *describeEndpointsInput) (*describeEndpointsOutput, error) {
	if err := cmp.Or(noSuch(in.VpcEndpointId, "InvalidVpcEndpointId.NotFound", "Vpc Endpoint"), dryRun(in.DryRun)); err != nil {
		return nil, err
	}
	return &describeEndpointsOutput{[]nothing{}}, nil
}

type describeGatewaysInput struct {
	InternetGatewayId []string
	Filter            []Filter
	DryRun            bool
}

type describeGatewaysOutput struct {
	Gateways []nothing `xml:"internetGatewaySet"`
}

func (s *Service) describeGateways(_ context.Context, _ *operation.Call, in *describeGatewaysInput) (*describeGatewaysOutput, error) {
	if err := cmp.Or(noSuch(in.InternetGatewayId, "InvalidInternetGatewayID.NotFound", "internetGateway"), dryRun(in.DryRun)); err != nil {
		return nil, err
	}
	return &describeGatewaysOutput{[]nothing{}}, nil
}
