package identity

import (
	"context"
	"errors"
	"strings"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/policy"
)

// malformedPolicy words what package policy says of a document.
func malformedPolicy(err error) error {
	if m := (*policy.Malformed)(nil); errors.As(err, &m) {
		return fault.New("MalformedPolicyDocument", "%s", m.Reason)
	}
	return err
}

// checkDocument reads a policy of an entity.
func checkDocument(document string) error {
	_, err := policy.ParseIdentity([]byte(document))
	return malformedPolicy(err)
}

// bindTrust checks a trust policy and finds the ids of the users, roles and sessions that it names. Whoever it names must be
// known to the installation.
func bindTrust(ctx context.Context, r Reader, account, document string) (bound map[string]string, err error) {
	if size(document) > maxTrustSize {
		return nil, overQuota("ACLSizePerRole", maxTrustSize)
	}
	d, err := policy.ParseTrust([]byte(document))
	if err != nil {
		return nil, malformedPolicy(err)
	}
	for i := range d.Statements {
		p := &d.Statements[i].Principals
		for _, name := range p.AWS {
			id, err := bind(ctx, r, name)
			if isMissing(err) {
				return nil, fault.New("MalformedPolicyDocument", `Invalid principal in policy: "AWS":"%s"`, name)
			}
			if err != nil {
				return nil, err
			}
			if id != "" {
				if bound == nil {
					bound = map[string]string{}
				}
				bound[name] = id
			}
		}
		for _, name := range p.Federated {
			if err := knownProvider(ctx, r, account, name); err != nil {
				return nil, err
			}
		}
	}
	return bound, nil
}

// bind finds the id behind a principal's name; empty for what has none, fault.ErrNotFound for what is not there.
func bind(ctx context.Context, r Reader, name string) (string, error) {
	if name == "*" {
		return "", nil
	}
	if !arn.Is(name) {
		if len(name) == 12 {
			_, err := r.Account(ctx, name)
			return "", err
		}
		_, err := r.EntityByID(ctx, name)
		return "", err
	}
	id, err := idOf(ctx, r, name)
	if strings.HasSuffix(name, ":root") {
		id = "" // the account: what it hands on has ids of its own
	}
	return id, err
}

// entityByARN finds a user or role by its whole name; fault.ErrNotFound if there is none.
func entityByARN(ctx context.Context, r Reader, name string) (*Entity, error) {
	a, err := arn.Parse(name)
	if err != nil || a.Service != "iam" {
		return nil, fault.ErrNotFound
	}
	kind, _, _ := strings.Cut(a.Resource, "/")
	e, err := r.Entity(ctx, a.Account, Kind(kind), a.Resource[strings.LastIndexByte(a.Resource, '/')+1:])
	if err == nil && e.ARN() != name {
		return nil, fault.ErrNotFound
	}
	return e, err
}

func knownProvider(ctx context.Context, r Reader, account, name string) error {
	_, err := providerByARN(ctx, r, account, name)
	if isMissing(err) {
		return fault.New("MalformedPolicyDocument", `Invalid principal in policy: "Federated":"%s"`, name)
	}
	return err
}

// shownTrust is a role's trust policy as IAM shows it: who has another name by now stands there with that, and who is gone
// with the id, of a session that of its role.
func shownTrust(ctx context.Context, r Reader, role *Entity) (string, error) {
	document := role.Role.Trust
	for name, id := range role.Role.Bound {
		now, err := nameOf(ctx, r, id)
		switch {
		case isMissing(err):
			now, _, _ = strings.Cut(id, ":")
		case err != nil:
			return "", err
		}
		if now != name {
			document = strings.ReplaceAll(document, `"`+name+`"`, `"`+now+`"`)
		}
	}
	return document, nil
}
