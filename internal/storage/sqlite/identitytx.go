package sqlite

import (
	"context"
	"database/sql"

	"keyward/internal/identity"
)

// identityTx writes what package identity keeps.
type identityTx struct {
	identityReader
	ctx context.Context
	tx  *sql.Tx
}

func (t identityTx) insert(query string, args ...any) error {
	_, err := t.tx.ExecContext(t.ctx, query, args...)
	return exists(err)
}

// swap runs an UPDATE or DELETE whose WHERE names what was read.
func (t identityTx) swap(query string, args ...any) error {
	return swapped(t.tx.ExecContext(t.ctx, query, args...))
}

func (t identityTx) InsertAccount(a *identity.Account) error {
	return t.insert(`INSERT INTO account (id, name, created_ms) VALUES (?, ?, ?)`, a.ID, a.Name, millis(a.Created))
}

func (t identityTx) InsertEntity(e *identity.Entity) error {
	return t.insert(`INSERT INTO iam_entity (`+entityColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		e.Account, e.Kind, e.Name, e.ID, e.Version, e.Path, millis(e.Created), e.Boundary,
		asJSON(&e.Attached), asJSON(&e.Inline), asJSON(&e.Groups), asJSON(&e.Tags), asJSON(&e.Role))
}

func (t identityTx) InsertPolicy(p *identity.ManagedPolicy) error {
	return t.insert(`INSERT INTO iam_policy (`+managedColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		p.Account, p.Name, p.ID, p.Version, p.Path, p.Description, millis(p.Created), millis(p.Updated), p.Default,
		asJSON(&p.Versions), p.Next, asJSON(&p.Tags))
}

func (t identityTx) InsertProvider(p *identity.Provider) error {
	return t.insert(`INSERT INTO iam_provider (`+providerColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		p.Account, p.URL, p.Version, p.Plain, asJSON(&p.Clients), asJSON(&p.Thumbprints), millis(p.Created), asJSON(&p.Tags))
}

func (t identityTx) InsertAccessKey(k *identity.AccessKey) error {
	return t.insert(`INSERT INTO access_key (`+accessKeyColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		k.AccessKeyID, k.Account, k.PrincipalID, k.Status, k.SealedSecret, millis(k.Created),
		millis(k.LastUsed.Time), k.LastUsed.Service, k.LastUsed.Region)
}

func (t identityTx) InsertSession(s *identity.Session) error {
	return t.insert(`INSERT INTO session (`+sessionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		s.AccessKeyID, s.Account, s.PrincipalID, s.SealedSecret, s.TokenHash, millis(s.Created), millis(s.Expires), asJSON(&s.SessionFacts))
}

func (t identityTx) InsertDeletion(d *identity.Deletion) error {
	return t.insert(`INSERT INTO iam_role_deletion (account, id, ended_ms) VALUES (?, ?, ?)`, d.Account, d.ID, millis(d.Ended))
}

func (t identityTx) UpdateEntity(e *identity.Entity) error {
	err := t.swap(`UPDATE iam_entity SET version = version + 1, name = ?, path = ?, boundary = ?, attached = ?, inline = ?,
		groups = ?, tags = ?, role = ? WHERE id = ? AND version = ?`,
		e.Name, e.Path, e.Boundary, asJSON(&e.Attached), asJSON(&e.Inline), asJSON(&e.Groups), asJSON(&e.Tags), asJSON(&e.Role),
		e.ID, e.Version)
	if err == nil {
		e.Version++
	}
	return err
}

func (t identityTx) UpdatePolicy(p *identity.ManagedPolicy) error {
	err := t.swap(`UPDATE iam_policy SET version = version + 1, updated_ms = ?, in_effect = ?, versions = ?, next = ?, tags = ?
		WHERE id = ? AND version = ?`,
		millis(p.Updated), p.Default, asJSON(&p.Versions), p.Next, asJSON(&p.Tags), p.ID, p.Version)
	if err == nil {
		p.Version++
	}
	return err
}

func (t identityTx) UpdateProvider(p *identity.Provider) error {
	err := t.swap(`UPDATE iam_provider SET version = version + 1, clients = ?, thumbprints = ?, tags = ?
		WHERE account = ? AND url = ? AND version = ?`,
		asJSON(&p.Clients), asJSON(&p.Thumbprints), asJSON(&p.Tags), p.Account, p.URL, p.Version)
	if err == nil {
		p.Version++
	}
	return err
}

func (t identityTx) UpdateAccessKey(k *identity.AccessKey) error {
	return t.swap(`UPDATE access_key SET status = ? WHERE id = ?`, k.Status, k.AccessKeyID)
}

func (t identityTx) DeleteEntity(e *identity.Entity) error {
	return t.swap(`DELETE FROM iam_entity WHERE id = ? AND version = ?`, e.ID, e.Version)
}

func (t identityTx) DeletePolicy(p *identity.ManagedPolicy) error {
	return t.swap(`DELETE FROM iam_policy WHERE id = ? AND version = ?`, p.ID, p.Version)
}

func (t identityTx) DeleteProvider(p *identity.Provider) error {
	return t.swap(`DELETE FROM iam_provider WHERE account = ? AND url = ? AND version = ?`, p.Account, p.URL, p.Version)
}

func (t identityTx) DeleteAccessKey(k *identity.AccessKey) error {
	return t.swap(`DELETE FROM access_key WHERE id = ?`, k.AccessKeyID)
}
