package identity

import (
	"context"
	"strings"
	"sync"

	"keyward/internal/arn"
	"keyward/internal/fault"
)

// directory remembers answers about names and ids until something changes.
type directory struct {
	mu    sync.Mutex
	seen  int64
	known map[string]string // empty for what is not there
}

// maxNames bounds what is remembered; when it is full everything is forgotten.
const maxNames = 8192

// ask answers from memory, or by find.
func (s *Service) ask(key string, find func() (string, error)) (string, bool, error) {
	seen := s.known.seen()
	if answer, remembered := s.names.get(key, seen); remembered {
		return answer, answer != "", nil
	}
	answer, err := find()
	if err != nil && !isMissing(err) {
		return "", false, err
	}
	s.names.put(key, answer, seen)
	return answer, answer != "", nil
}

func (d *directory) get(key string, seen int64) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	answer, known := d.known[key]
	return answer, known && d.seen == seen
}

func (d *directory) put(key, answer string, seen int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil || seen > d.seen || len(d.known) >= maxNames {
		d.known, d.seen = map[string]string{}, seen
	}
	if seen == d.seen {
		d.known[key] = answer
	}
}

// UniqueID is the id behind the name of a user, a role ("AROA…"), a session of a role ("AROA…:session"), a federated user
// (the account's number, a colon and the name) or an account's root user (the account's number), in any account of the
// installation; ok is false where there is none.
func (s *Service) UniqueID(ctx context.Context, principalARN string) (id string, ok bool, err error) {
	return s.ask(principalARN, func() (string, error) { return idOf(ctx, s.config.Store, principalARN) })
}

// idOf is what UniqueID says; fault.ErrNotFound where there is none.
func idOf(ctx context.Context, r Reader, name string) (string, error) {
	a, err := arn.Parse(name)
	if err != nil || a.Partition != arn.Partition || a.Region != "" {
		return "", fault.ErrNotFound
	}
	switch {
	case a.Service == "iam" && a.Resource == "root":
		account, err := r.Account(ctx, a.Account)
		if err != nil {
			return "", err
		}
		return account.ID, nil
	case a.Service == "iam":
		e, err := entityByARN(ctx, r, name)
		if err != nil {
			return "", err
		}
		if e.Kind == Group {
			return "", fault.ErrNotFound // no principal
		}
		return e.ID, nil
	case a.Service == "sts":
		return sessionID(ctx, r, a)
	default:
		return "", fault.ErrNotFound
	}
}

func sessionID(ctx context.Context, r Reader, a arn.ARN) (string, error) {
	if name, federated := strings.CutPrefix(a.Resource, "federated-user/"); federated && name != "" {
		account, err := r.Account(ctx, a.Account)
		if err != nil {
			return "", err
		}
		return account.ID + ":" + name, nil
	}
	rest, ok := strings.CutPrefix(a.Resource, "assumed-role/")
	role, session, named := strings.Cut(rest, "/")
	if !ok || !named || session == "" || strings.Contains(session, "/") {
		return "", fault.ErrNotFound
	}
	e, err := r.Entity(ctx, a.Account, Role, role)
	if err != nil {
		return "", err
	}
	if e.Name != role {
		return "", fault.ErrNotFound // names of principals are told apart by case
	}
	return e.ID + ":" + session, nil
}

// Name is the ARN of the user, role, session or root user behind an id that UniqueID gave; ok is false where there is
// none any more.
func (s *Service) Name(ctx context.Context, uniqueID string) (name string, ok bool, err error) {
	return s.ask(uniqueID, func() (string, error) { return nameOf(ctx, s.config.Store, uniqueID) })
}

// nameOf is what Name says; fault.ErrNotFound where there is none.
func nameOf(ctx context.Context, r Reader, id string) (string, error) {
	role, session, inSession := strings.Cut(id, ":")
	if len(role) == len("111122223333") && strings.Trim(role, "0123456789") == "" {
		if _, err := r.Account(ctx, role); err != nil {
			return "", err
		}
		if inSession {
			return arn.STS(role, "federated-user/"+session), nil
		}
		return arn.Root(role), nil
	}
	e, err := r.EntityByID(ctx, role)
	switch {
	case err != nil:
		return "", err
	case e.Kind == Group || inSession && e.Kind != Role:
		return "", fault.ErrNotFound
	case inSession:
		return arn.STS(e.Account, "assumed-role/"+e.Name+"/"+session), nil
	default:
		return e.ARN(), nil
	}
}
