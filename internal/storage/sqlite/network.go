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
	vpcColumns       = `account, region, id, version, cidr, is_default, dns, tags`
	subnetColumns    = `account, region, id, version, vpc_id, zone, cidr, is_default, options, acl_id, acl_association, tags`
	groupColumns     = `account, region, id, version, vpc_id, name, description, requester, retired, rules, tags`
	aclColumns       = `account, region, id, version, vpc_id, is_default, entries, tags`
	interfaceColumns = `account, region, id, version, vpc_id, subnet_id, zone, address, mac, groups, description, requester,
		source_dest_check, client_token, created_ms, tags`

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

func (r networkReader) AllVPCs(ctx context.Context) ([]*network.VPC, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+vpcColumns+` FROM vpc ORDER BY id`)
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

func (r networkReader) ACL(ctx context.Context, scope arn.Scope, id string) (*network.ACL, error) {
	a, err := scanACL(r.q.QueryRowContext(ctx, `SELECT `+aclColumns+` FROM network_acl`+byID, scope.Account, scope.Region, id))
	return a, notFound(err)
}

func (r networkReader) ACLs(ctx context.Context, scope arn.Scope) ([]*network.ACL, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT `+aclColumns+` FROM network_acl`+inScope+` ORDER BY id`, scope.Account, scope.Region)
	return collect(rows, err, scanACL)
}

func (r networkReader) InterfaceAt(ctx context.Context, scope arn.Scope, vpcID string, at netip.Addr) (*network.Interface, error) {
	i, err := scanInterface(r.q.QueryRowContext(ctx, `SELECT `+interfaceColumns+` FROM network_interface`+inScope+
		` AND vpc_id = ? AND address = ?`, scope.Account, scope.Region, vpcID, at.String()))
	return i, notFound(err)
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
	err := row.Scan(&v.Scope.Account, &v.Scope.Region, &v.ID, &v.Version, (*prefix)(&v.CIDR), &v.Default, asJSON(&v.DNS), asJSON(&v.Tags))
	return &v, err
}

func scanSubnet(row scanner) (*network.Subnet, error) {
	var s network.Subnet
	err := row.Scan(&s.Scope.Account, &s.Scope.Region, &s.ID, &s.Version, &s.VpcID, &s.Zone, (*prefix)(&s.CIDR), &s.Default,
		asJSON(&s.Options), &s.ACL, &s.Association, asJSON(&s.Tags))
	return &s, err
}

func scanACL(row scanner) (*network.ACL, error) {
	var a network.ACL
	err := row.Scan(&a.Scope.Account, &a.Scope.Region, &a.ID, &a.Version, &a.VpcID, &a.Default, asJSON(&a.Entries), asJSON(&a.Tags))
	return &a, err
}

func scanGroup(row scanner) (*network.Group, error) {
	var g network.Group
	err := row.Scan(&g.Scope.Account, &g.Scope.Region, &g.ID, &g.Version, &g.VpcID, &g.Name, &g.Description,
		&g.Requester, &g.Retired, asJSON(&g.Rules), asJSON(&g.Tags))
	return &g, err
}

func scanInterface(row scanner) (*network.Interface, error) {
	var i network.Interface
	var created int64
	err := row.Scan(&i.Scope.Account, &i.Scope.Region, &i.ID, &i.Version, &i.VpcID, &i.SubnetID, &i.Zone, (*address)(&i.Address), &i.MAC,
		asJSON(&i.Groups), &i.Description, &i.Requester, &i.SourceDestCheck, &i.ClientToken, &created, asJSON(&i.Tags))
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
	return t.insert(`INSERT INTO vpc (`+vpcColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		v.Scope.Account, v.Scope.Region, v.ID, v.Version, v.CIDR.String(), v.Default, asJSON(&v.DNS), asJSON(&v.Tags))
}

func (t networkTx) InsertSubnet(s *network.Subnet) error {
	return t.insert(`INSERT INTO subnet (`+subnetColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		s.Scope.Account, s.Scope.Region, s.ID, s.Version, s.VpcID, s.Zone, s.CIDR.String(), s.Default, asJSON(&s.Options),
		s.ACL, s.Association, asJSON(&s.Tags))
}

func (t networkTx) InsertGroup(g *network.Group) error {
	return t.insert(`INSERT INTO security_group (`+groupColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		g.Scope.Account, g.Scope.Region, g.ID, g.Version, g.VpcID, g.Name, g.Description, g.Requester, g.Retired,
		asJSON(&g.Rules), asJSON(&g.Tags))
}

func (t networkTx) InsertACL(a *network.ACL) error {
	return t.insert(`INSERT INTO network_acl (`+aclColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		a.Scope.Account, a.Scope.Region, a.ID, a.Version, a.VpcID, a.Default, asJSON(&a.Entries), asJSON(&a.Tags))
}

func (t networkTx) InsertInterface(i *network.Interface) error {
	return t.insert(`INSERT INTO network_interface (`+interfaceColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		i.Scope.Account, i.Scope.Region, i.ID, i.Version, i.VpcID, i.SubnetID, i.Zone, i.Address.String(), i.MAC, asJSON(&i.Groups),
		i.Description, i.Requester, i.SourceDestCheck, i.ClientToken, millis(i.Created), asJSON(&i.Tags))
}

// swap updates the record of a table whose version is the one given, and counts it up.
func (t networkTx) swap(table string, scope arn.Scope, id string, version *int64, columns string, values ...any) error {
	values = append(values, scope.Account, scope.Region, id, *version)
	err := swapped(t.tx.ExecContext(t.ctx, `UPDATE `+table+` SET version = version + 1, `+columns+byID+` AND version = ?`, values...))
	if err == nil {
		*version++
	}
	return err
}

func (t networkTx) UpdateVPC(v *network.VPC) error {
	return t.swap("vpc", v.Scope, v.ID, &v.Version, `dns = ?, tags = ?`, asJSON(&v.DNS), asJSON(&v.Tags))
}

func (t networkTx) UpdateSubnet(s *network.Subnet) error {
	return t.swap("subnet", s.Scope, s.ID, &s.Version, `options = ?, acl_id = ?, acl_association = ?, tags = ?`,
		asJSON(&s.Options), s.ACL, s.Association, asJSON(&s.Tags))
}

func (t networkTx) UpdateGroup(g *network.Group) error {
	return t.swap("security_group", g.Scope, g.ID, &g.Version, `retired = ?, rules = ?, tags = ?`,
		g.Retired, asJSON(&g.Rules), asJSON(&g.Tags))
}

func (t networkTx) UpdateACL(a *network.ACL) error {
	return t.swap("network_acl", a.Scope, a.ID, &a.Version, `entries = ?, tags = ?`, asJSON(&a.Entries), asJSON(&a.Tags))
}

func (t networkTx) UpdateInterface(i *network.Interface) error {
	return t.swap("network_interface", i.Scope, i.ID, &i.Version, `groups = ?, description = ?, source_dest_check = ?, tags = ?`,
		asJSON(&i.Groups), i.Description, i.SourceDestCheck, asJSON(&i.Tags))
}

func (t networkTx) DeleteVPC(scope arn.Scope, id string) error {
	return t.remove(`DELETE FROM vpc`+byID, scope, id)
}

func (t networkTx) DeleteSubnet(scope arn.Scope, id string) error {
	return t.remove(`DELETE FROM subnet`+byID, scope, id)
}

func (t networkTx) DeleteACL(scope arn.Scope, id string) error {
	return t.remove(`DELETE FROM network_acl`+byID, scope, id)
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
