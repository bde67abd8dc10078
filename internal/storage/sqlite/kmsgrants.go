package sqlite

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/kms"
)

const (
	grantColumns = `account, region, key_id, id, name, grantee, grantee_arn, retiring, retiring_arn, issuer, fingerprint, created_ms, terms`
	selectGrants = `SELECT ` + grantColumns + ` FROM kms_grant`
	ofKey        = ` WHERE account = ? AND region = ? AND key_id = ?`
	// byGrantee goes before ofKey where the grantee is known: SQLite would rather look through all grants of the key.
	byGrantee = ` INDEXED BY kms_grant_grantee`
	// grantsTo leaves the limit out: with a bound one SQLite compiles a prepared statement anew for every execution.
	grantsTo = selectGrants + byGrantee + ofKey + ` AND grantee = ? ORDER BY id`
)

// grantTerms is what is kept of a grant without ever being searched for.
type grantTerms struct {
	Operations []types.GrantOperation `json:"operations"`
	Equals     map[string]string      `json:"equals,omitzero"`
	Subset     map[string]string      `json:"subset,omitzero"`
}

func (s *kmsStore) Grant(ctx context.Context, scope arn.Scope, keyID, id string) (*kms.Grant, error) {
	g, err := scanGrant(s.db.read.QueryRowContext(ctx, selectGrants+ofKey+` AND id = ?`, scope.Account, scope.Region, keyID, id))
	if err != nil {
		return nil, notFound(err)
	}
	return &g, nil
}

func (s *kmsStore) Grants(ctx context.Context, scope arn.Scope, keyID string, f kms.GrantFilter, limit int) ([]kms.Grant, error) {
	if f == (kms.GrantFilter{Grantee: f.Grantee}) && f.Grantee != "" {
		return s.grantsTo(ctx, scope, keyID, f.Grantee, limit)
	}
	query, args := listGrants(f)
	args = append([]any{scope.Account, scope.Region, keyID}, append(args, limit)...)
	rows, err := s.db.read.QueryContext(ctx, query, args...)
	return collect(rows, err, scanGrant)
}

// listGrants is the query for a page of a key's grants. Its arguments come after the key, and before the limit.
func listGrants(f kms.GrantFilter) (query string, args []any) {
	from, where := selectGrants, ofKey+` AND id > ?`
	args = []any{f.After}
	if f.ID != "" {
		where, args = where+` AND id = ?`, append(args, f.ID)
	}
	if f.Grantee != "" {
		from, where, args = from+byGrantee, where+` AND grantee = ?`, append(args, f.Grantee)
	}
	return from + where + ` ORDER BY id LIMIT ?`, args
}

// grantsTo is asked for every key and principal that no cache holds.
func (s *kmsStore) grantsTo(ctx context.Context, scope arn.Scope, keyID, grantee string, limit int) ([]kms.Grant, error) {
	stmt, err := s.grants.on(s.db.read, grantsTo)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(ctx, scope.Account, scope.Region, keyID, grantee)
	all, err := collect(rows, err, scanGrant)
	return all[:min(len(all), limit)], err
}

func (s *kmsStore) RetirableGrants(ctx context.Context, region, retiring, after string, limit int) ([]kms.Grant, error) {
	// The index is a partial one: the second condition lets SQLite use it.
	rows, err := s.db.read.QueryContext(ctx,
		selectGrants+` WHERE region = ? AND retiring = ? AND retiring <> '' AND id > ? ORDER BY id LIMIT ?`, region, retiring, after, limit)
	return collect(rows, err, scanGrant)
}

func (t kmsTx) CountGrants(scope arn.Scope, keyID string) (n int, err error) {
	err = t.tx.QueryRowContext(t.ctx, `SELECT coalesce(max(grants), 0) FROM kms_grant_count`+ofKey,
		scope.Account, scope.Region, keyID).Scan(&n)
	return n, err
}

func (t kmsTx) SameGrant(scope arn.Scope, keyID, fingerprint string) (id string, err error) {
	err = t.tx.QueryRowContext(t.ctx, `SELECT id FROM kms_grant`+ofKey+` AND fingerprint = ? AND fingerprint <> ''`,
		scope.Account, scope.Region, keyID, fingerprint).Scan(&id)
	return id, notFound(err)
}

func (t kmsTx) InsertGrant(g *kms.Grant) error {
	retiring := ""
	if g.Retiring != (kms.Party{}) {
		retiring = g.Retiring.Handle()
	}
	_, err := t.tx.ExecContext(t.ctx, `INSERT INTO kms_grant (`+grantColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		g.Scope.Account, g.Scope.Region, g.KeyID, g.ID, g.Name, g.Grantee.Handle(), g.Grantee.ARN, retiring, g.Retiring.ARN, g.Issuer,
		g.Fingerprint, millis(g.Created), asJSON(&grantTerms{g.Operations, g.Equals, g.Subset}))
	return exists(err)
}

func (t kmsTx) DeleteGrant(scope arn.Scope, keyID, id string) error {
	return found(t.tx.ExecContext(t.ctx, `DELETE FROM kms_grant`+ofKey+` AND id = ?`, scope.Account, scope.Region, keyID, id))
}

func scanGrant(row scanner) (g kms.Grant, err error) {
	var created int64
	var terms grantTerms
	err = row.Scan(&g.Scope.Account, &g.Scope.Region, &g.KeyID, &g.ID, &g.Name, &g.Grantee.ID, &g.Grantee.ARN, &g.Retiring.ID,
		&g.Retiring.ARN, &g.Issuer, &g.Fingerprint, &created, asJSON(&terms))
	if err != nil {
		return g, fmt.Errorf("reading a grant: %w", err)
	}
	// A party without an id was kept under its ARN.
	for _, p := range []*kms.Party{&g.Grantee, &g.Retiring} {
		if p.ID == p.ARN {
			p.ID = ""
		}
	}
	g.Created, g.Operations, g.Equals, g.Subset = fromMillis(created), terms.Operations, terms.Equals, terms.Subset
	return g, nil
}
