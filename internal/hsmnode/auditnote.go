package hsmnode

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"unicode/utf8"

	"keyward/internal/hsm"
	"keyward/internal/hsmproto"
)

// witness records what the cluster agrees on as this HSM sees it, once for each entry of the replication log however
// often that is replayed. What happened before the HSM belonged to the cluster is not its doing: then it only records
// which keys it got. A nil witness records nothing. The state's lock is held in all calls.
type witness struct {
	log    *auditLog
	node   string
	dir    string // of the replication log
	joined bool   // this HSM is a voter
}

func (w *witness) at(index uint64) auditPosition { return auditPosition{w.dir, index} }

// before is what must be known of the machine before a command is carried out: sessions here that it may end.
func (w *witness) before(m *hsm.Machine, c hsm.Command) []hsm.Session {
	if w == nil {
		return nil
	}
	switch c.(type) {
	case *hsm.OpenSession, *hsm.CloseSession, *hsm.CloseSessionsOf, *hsm.ForgetHsm:
	default:
		return nil
	}
	var here []hsm.Session
	for _, id := range m.SessionsOf(w.node) {
		if s, err := m.Session(id); err == nil {
			here = append(here, *s)
		}
	}
	return here
}

// applied records a command that was carried out. Refused ones changed nothing; whoever refuses a client records that.
func (w *witness) applied(index uint64, m *hsm.Machine, c hsm.Command, r hsm.Result, before []hsm.Session) {
	if w == nil || !w.joined || r.Refusal != nil || !w.log.misses(w.at(index)) {
		return
	}
	records := w.ended(m, c, before)
	if record, ok := w.describe(m, c, r); ok {
		records = append(records, record)
	}
	if len(records) > 0 {
		w.log.queue(w.at(index), records...)
	}
}

// ended records the sessions of this HSM that a command ended.
func (w *witness) ended(m *hsm.Machine, c hsm.Command, before []hsm.Session) (records []hsmproto.AuditRecord) {
	for _, s := range before {
		if _, err := m.Session(s.ID); err == nil {
			continue
		}
		opcode := hsmproto.AuditFinalize
		if _, replaced := c.(*hsm.OpenSession); replaced {
			opcode = hsmproto.AuditCloseSession
		}
		if w.log.left(s.ID) {
			opcode = hsmproto.AuditLogout
		}
		records = append(records, aboutUser(opcode, s.ID, s.User, s.Role))
	}
	return records
}

func (w *witness) describe(m *hsm.Machine, c hsm.Command, r hsm.Result) (record hsmproto.AuditRecord, ok bool) {
	switch c := c.(type) {
	case *hsm.OpenSession:
		return aboutUser(hsmproto.AuditLogin, c.ID, r.User.User, r.User.Role), c.Node == w.node
	case *hsm.Activate:
		return aboutUser(hsmproto.AuditChangePswd, "", r.User.User, hsmproto.RoleUnactivatedAdmin), true
	case *hsm.CreateUser:
		opcode := hsmproto.AuditCreateUser
		if c.Role == hsmproto.RoleAdmin {
			opcode = hsmproto.AuditCreateCO
		}
		return aboutUser(opcode, c.Session, r.User.User, r.User.Role), true
	case *hsm.DeleteUser:
		return aboutUser(hsmproto.AuditDeleteUser, c.Session, r.User.User, r.User.Role), true
	case *hsm.ChangePassword:
		return aboutUser(hsmproto.AuditChangePswd, c.Session, r.User.User, r.User.Role), true
	case *hsm.GenerateKey:
		return aboutKey(w.madeHere(m, c), c.Session, r.Key.Reference, r.Key.ID), true
	case *hsm.DeleteKey:
		return aboutKey(hsmproto.AuditDestroyObject, c.Session, r.Key.Reference, r.Key.ID), true
	default:
		return record, false
	}
}

// madeHere tells the HSM that made a key from those that received it.
func (w *witness) madeHere(m *hsm.Machine, c *hsm.GenerateKey) hsmproto.AuditOpcode {
	s, err := m.Session(c.Session)
	switch {
	case err != nil || s.Node != w.node:
		return hsmproto.AuditInsertMasked
	case c.Imported:
		return hsmproto.AuditUnwrapKey
	default:
		return hsmproto.AuditGenerateKey
	}
}

// configured hears of the group's voters; a new one records the keys that it has received.
func (w *witness) configured(index uint64, voters []string, m *hsm.Machine) {
	if w == nil || w.joined || !slices.Contains(voters, w.node) {
		return
	}
	w.joined = true
	w.received(index, m)
}

// restored hears that the machine was replaced: from the HSM's own snapshot, up to which the log is complete, or from
// one that another HSM sent.
func (w *witness) restored(index uint64, voters []string, m *hsm.Machine) {
	if w == nil {
		return
	}
	w.joined = w.joined || slices.Contains(voters, w.node)
	if w.joined {
		w.received(index, m)
	}
}

func (w *witness) received(index uint64, m *hsm.Machine) {
	if !w.log.misses(w.at(index)) {
		return
	}
	var records []hsmproto.AuditRecord
	m.EachKey(func(reference uint64, id []byte) {
		records = append(records, aboutKey(hsmproto.AuditInsertMasked, "", reference, bytes.Clone(id)))
	})
	if len(records) > 0 {
		w.log.queue(w.at(index), records...)
	}
}

// complete makes the log durable up to a place that will not be replayed again.
func (w *witness) complete(index uint64) error {
	if w == nil {
		return nil
	}
	if w.joined && w.log.misses(w.at(index)) {
		w.log.queue(w.at(index))
	}
	return w.log.settle()
}

func aboutUser(opcode hsmproto.AuditOpcode, session, user string, role hsmproto.Role) hsmproto.AuditRecord {
	return hsmproto.AuditRecord{Opcode: opcode, Session: handleOf(session), User: user, Role: role}
}

func aboutKey(opcode hsmproto.AuditOpcode, session string, reference uint64, id []byte) hsmproto.AuditRecord {
	return hsmproto.AuditRecord{Opcode: opcode, Session: handleOf(session), Handle: reference, KeyID: id}
}

// handleOf is the start of a session's id: the same on every HSM, so that what one session did can be told from all
// their logs.
func handleOf(session string) uint32 {
	id, err := hex.DecodeString(session)
	if err != nil || len(id) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(id)
}

// openAudit opens the HSM's audit log, in which a new HSM tells what it began with.
func (n *node) openAudit(dir string) error {
	log, fresh, err := openAuditLog(dir, n.config.HsmID, n.vault.audit, defaultAudit)
	if err != nil {
		return err
	}
	n.audit = log
	if !fresh {
		return nil
	}
	return log.note(firstRecords(n.config.Create)...)
}

// firstRecords are of an HSM's first start; none for one that had no log in earlier releases.
func firstRecords(create hsmproto.Create) []hsmproto.AuditRecord {
	initToken, done := hsmproto.AuditRecord{Opcode: hsmproto.AuditInitToken}, hsmproto.AuditRecord{Opcode: hsmproto.AuditInitDone}
	switch create {
	case hsmproto.CreateFirst:
		return []hsmproto.AuditRecord{
			initToken, {Opcode: hsmproto.AuditGenEncKey},
			aboutUser(hsmproto.AuditCreateAU, "", "app_user", hsmproto.RoleAppliance), done,
		}
	case hsmproto.CreateRestore:
		return []hsmproto.AuditRecord{
			initToken, {Opcode: hsmproto.AuditRestoreBegin}, {Opcode: hsmproto.AuditRestoreEnd}, done,
		}
	case hsmproto.CreateJoin:
		return []hsmproto.AuditRecord{initToken, done}
	default:
		return nil
	}
}

// recorded returns nil once everything that happened is in the audit log. Otherwise nobody may hear of it.
func (n *node) recorded() error { return n.unrecorded(n.audit.settle()) }

func (n *node) unrecorded(err error) error {
	if err == nil {
		n.mute.Store(false)
		return nil
	}
	if !n.mute.Swap(true) {
		n.log.Error("management commands are refused until the audit log can be written", "error", err)
	}
	return unavailable("the HSM's audit log cannot be written")
}

// recordLogin is login, with failures on record.
func (c *client) recordLogin(ctx context.Context, q *hsmproto.LoginRequest) (any, error) {
	reply, err := c.login(ctx, q)
	response := c.loginResponse(q, err)
	if response == hsmproto.AuditSuccess {
		return reply, err
	}
	record := aboutUser(hsmproto.AuditLogin, "", shorten(q.User), hsmproto.Role(shorten(string(q.Role))))
	record.Response = response
	if failure := c.node.unrecorded(c.node.audit.note(record)); failure != nil {
		return nil, failure
	}
	return nil, err
}

// loginResponse is what the record of a refused login says; AuditSuccess where there is nothing to record.
func (c *client) loginResponse(q *hsmproto.LoginRequest, err error) hsmproto.AuditResponse {
	var refusal *hsmproto.Error
	if !errors.As(err, &refusal) {
		return hsmproto.AuditSuccess
	}
	switch refusal.Code {
	case hsmproto.CodeNotActivated:
		return hsmproto.AuditNoUser
	case hsmproto.CodeLocked, hsmproto.CodeUserLoggedIn, hsmproto.CodeUserExclusive:
		return hsmproto.AuditLoginFailure
	case hsmproto.CodeIncorrectCredentials:
	default:
		return hsmproto.AuditSuccess
	}
	known := false
	c.node.group.Load().state.read(func(m *hsm.Machine) { _, _, known = m.Password(q.User, q.Role) })
	if known {
		return hsmproto.AuditLoginFailure
	}
	return hsmproto.AuditNoUser
}

// shorten bounds what a stranger can put into the log.
func shorten(s string) string {
	if utf8.RuneCountInString(s) <= maxAuditName {
		return s
	}
	return string([]rune(s)[:maxAuditName])
}

// recordMissing has commands on users that do not exist on record.
func (c *client) recordMissing(
	opcode hsmproto.AuditOpcode, f func(context.Context, *hsmproto.UserRequest) (any, error),
) func(context.Context, *hsmproto.UserRequest) (any, error) {
	return func(ctx context.Context, q *hsmproto.UserRequest) (any, error) {
		reply, err := f(ctx, q)
		if !errors.Is(err, &hsmproto.Error{Code: hsmproto.CodeUserNotFound}) {
			return reply, err
		}
		record := aboutUser(opcode, c.id(), shorten(q.User), hsmproto.Role(shorten(string(q.Role))))
		record.Response = hsmproto.AuditNoUser
		if failure := c.node.unrecorded(c.node.audit.note(record)); failure != nil {
			return nil, failure
		}
		return nil, err
	}
}

// recordBackup is makeBackup, on record before it leaves the HSM.
func (n *node) recordBackup() ([]byte, error) {
	backup, err := n.makeBackup()
	if err != nil {
		return nil, err
	}
	err = n.audit.note(hsmproto.AuditRecord{Opcode: hsmproto.AuditBackupBegin}, hsmproto.AuditRecord{Opcode: hsmproto.AuditBackupEnd})
	return backup, n.unrecorded(err)
}

// readAudit answers a page of the audit log.
func (m *manager) readAudit(_ context.Context, q *hsmproto.AuditLogRequest) (any, error) {
	page, err := m.node.audit.read(q.From)
	if err != nil {
		return nil, err
	}
	return page, nil
}
