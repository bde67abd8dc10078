package sqlite

import (
	"context"
	"database/sql"
	"net/netip"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/network"
)

// Network is the store of networks.
func (db *DB) Network() network.Store { return networks{networkReader{db.read}, db} }

type networks struct {
	networkReader
	db *DB
}

const (
	vpcColumns       = `account, region, id, cidr, is_default, tags`
	subnetColumns    = `account, region, id, vpc_id, zone, cidr, is_default, tags`
	groupColumns     = `account, region, id, version, vpc_id, name, description, rules, tags`
	interfaceColumns = `account, region, id, vpc_id, subnet_id, zone, address, mac, groups, description, requester, created_ms, tags`

	inScope = ` WHERE account = ? AND region = ?`
	byID    = inScope + ` AND id = ?`
)

func (s networks) ManagedInterfaces(ctx context.Context, requester string) ([]*network.Interface, error) {
	rows, err := s.db.read.QueryContext(ctx, `SELECT `+interfaceColumns+` FROM network_interface
		WHERE requester = ? AND requester <> '' ORDER BY created_ms, id`, requester)
	return collect(rows, err, scanInterface)
}

func (s networks) Change(ctx context.Context, event *audit.Event, fn func(network.Tx) error) error {
	return s.db.Change(ctx, event, func(tx *sql.Tx) error { return fn(networkTx{networkReader{tx}, ctx, tx}) })
}

// networkReader reads from the reading pool or inside a transaction.
type networkReader struct{ q queryer }

func (r networkReader) VPC(ctx context.Context, scope arn.Scope, id string) (*network.VPC, error) {
	v, err := scanVPC(r.q.QueryRowContext(ctx, `SELECT `+vpcColumns+` FROM vpc`+byID, scope.Account, scope.Region, id))
	return v, notFound(err)
}

func (r networkReader) VPCs(ctx context.Context, scope arn.Scope) ([]*network.VPC, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+vpcColumns+` FROM vpc`+inScope+` ORDER BY id`, scope.Account, scope.Region)
	return collect(rows, err, scanVPC)
}

func (r networkReader) Subnet(ctx context.Context, scope arn.Scope, id string) (*network.Subnet, error) {
	s, err := scanSubnet(r.q.QueryRowContext(ctx, `SELECT `+subnetColumns+` FROM subnet`+byID, scope.Account, scope.Region, id))
	return s, notFound(err)
}

func (r networkReader) Subnets(ctx context.Context, scope arn.Scope) ([]*network.Subnet, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+subnetColumns+` FROM subnet`+inScope+` ORDER BY id`, scope.Account, scope.Region)
	return collect(rows, err, scanSubnet)
}

func (r networkReader) Group(ctx context.Context, scope arn.Scope, id string) (*network.Group, error) {
	g, err := scanGroup(r.q.QueryRowContext(ctx, `SELECT `+groupColumns+` FROM security_group`+byID, scope.Account, scope.Region, id))
	return g, notFound(err)
}

func (r networkReader) Groups(ctx context.Context, scope arn.Scope) ([]*network.Group, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+groupColumns+` FROM security_group`+inScope+` ORDER BY id`, scope.Account, scope.Region)
	return collect(rows, err, scanGroup)
}

func (r networkReader) Interface(ctx context.Context, scope arn.Scope, id string) (*network.Interface, error) {
	i, err := scanInterface(r.q.QueryRowContext(ctx, `SELECT `+interfaceColumns+` FROM network_interface`+byID, scope.Account, scope.Region, id))
	return i, notFound(err)
}

func (r networkReader) Interfaces(ctx context.Context, scope arn.Scope, subnetID string) ([]*network.Interface, error) {
	query, args := `SELECT `+interfaceColumns+` FROM network_interface`+inScope, []any{scope.Account, scope.Region}
	if subnetID != "" {
		query, args = query+` AND subnet_id = ?`, append(args, subnetID)
	}
	rows, err := r.q.QueryContext(ctx, query+` ORDER BY created_ms, id`, args...)
	return collect(rows, err, scanInterface)
}

func scanVPC(row scanner) (*network.VPC, error) {
	var v network.VPC
	err := row.Scan(&v.Scope.Account, &v.Scope.Region, &v.ID, (*prefix)(&v.CIDR), &v.Default, asJSON(&v.Tags))
	return &v, err
}

func scanSubnet(row scanner) (*network.Subnet, error) {
	var s network.Subnet
	err := row.Scan(&s.Scope.Account, &s.Scope.Region, &s.ID, &s.VpcID, &s.Zone, (*prefix)(&s.CIDR), &s.Default, asJSON(&s.Tags))
	return &s, err
}

func scanGroup(row scanner) (*network.Group, error) {
	var g network.Group
	err := row.Scan(&g.Scope.Account, &g.Scope.Region, &g.ID, &g.Version, &g.VpcID, &g.Name, &g.Description,
		asJSON(&g.Rules), asJSON(&g.Tags))
	return &g, err
}

func scanInterface(row scanner) (*network.Interface, error) {
	var i network.Interface
	var created int64
	err := row.Scan(&i.Scope.Account, &i.Scope.Region, &i.ID, &i.VpcID, &i.SubnetID, &i.Zone, (*address)(&i.Address), &i.MAC,
		asJSON(&i.Groups), &i.Description, &i.Requester, &created, asJSON(&i.Tags))
	i.Created = fromMillis(created)
	return &i, err
}

type networkTx struct {
	networkReader
	ctx context.Context
	tx  *sql.Tx
}

func (t networkTx) insert(query string, args ...any) error {
	_, err := t.tx.ExecContext(t.ctx, query, args...)
	return exists(err)
}

func (t networkTx) InsertVPC(v *network.VPC) error {
	return t.insert(`INSERT INTO vpc (`+vpcColumns+`) VALUES (?, ?, ?, ?, ?, ?)`,
		v.Scope.Account, v.Scope.Region, v.ID, v.CIDR.String(), v.Default, asJSON(&v.Tags))
}

func (t networkTx) InsertSubnet(s *network.Subnet) error {
	return t.insert(`INSERT INTO subnet (`+subnetColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		s.Scope.Account, s.Scope.Region, s.ID, s.VpcID, s.Zone, s.CIDR.String(), s.Default, asJSON(&s.Tags))
}

func (t networkTx) InsertGroup(g *network.Group) error {
	return t.insert(`INSERT INTO security_group (`+groupColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		g.Scope.Account, g.Scope.Region, g.ID, g.Version, g.VpcID, g.Name, g.Description, asJSON(&g.Rules), asJSON(&g.Tags))
}

func (t networkTx) InsertInterface(i *network.Interface) error {
	return t.insert(`INSERT INTO network_interface (`+interfaceColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		i.Scope.Account, i.Scope.Region, i.ID, i.VpcID, i.SubnetID, i.Zone, i.Address.String(), i.MAC, asJSON(&i.Groups),
		i.Description, i.Requester, millis(i.Created), asJSON(&i.Tags))
}

func (t networkTx) UpdateGroup(g *network.Group) error {
	err := swapped(t.tx.ExecContext(t.ctx, `UPDATE security_group SET version = version + 1, rules = ?, tags = ?`+byID+` AND version = ?`,
		asJSON(&g.Rules), asJSON(&g.Tags), g.Scope.Account, g.Scope.Region, g.ID, g.Version))
	if err == nil {
		g.Version++
	}
	return err
}

func (t networkTx) DeleteGroup(scope arn.Scope, id string) error {
	return t.remove(`DELETE FROM security_group`+byID, scope, id)
}

func (t networkTx) DeleteInterface(scope arn.Scope, id string) error {
	return t.remove(`DELETE FROM network_interface`+byID, scope, id)
}

func (t networkTx) remove(query string, scope arn.Scope, id string) error {
	result, err := t.tx.ExecContext(t.ctx, query, scope.Account, scope.Region, id)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return fault.ErrNotFound
	}
	return err
}

// prefix and address are stored as text.
type (
	prefix  netip.Prefix
	address netip.Addr
)

// Scan implements sql.Scanner.
func (p *prefix) Scan(v any) error {
	text, err := textOf(v)
	if err != nil {
		return err
	}
	return (*netip.Prefix)(p).UnmarshalText(text)
}

// Scan implements sql.Scanner.
func (a *address) Scan(v any) error {
	text, err := textOf(v)
	if err != nil {
		return err
	}
	return (*netip.Addr)(a).UnmarshalText(text)
}
