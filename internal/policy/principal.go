package policy

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

func (p *Principals) parse(v jsontext.Value) error {
	if v.Kind() == '"' {
		if all, err := text(v); err != nil || all != "*" {
			return errPrincipals
		}
		p.Anyone = true
		return nil
	}
	members, err := object(v)
	if err != nil {
		return err
	}
	for _, m := range members {
		if err := p.set(m); err != nil {
			return err
		}
	}
	if p.Empty() {
		return errPrincipals
	}
	return nil
}

func (p *Principals) set(m member) error {
	names, err := texts(m.value)
	if err != nil {
		return err
	}
	valid := nonEmpty
	switch m.name {
	case "AWS":
		p.AWS, valid = names, awsPrincipal
	case "Service":
		p.Service, valid = names, servicePrincipal
	case "Federated":
		p.Federated = names
	default: // also CanonicalUser, which only S3 knows
		return errPrincipals
	}
	for _, n := range names {
		if !valid(n) {
			return errPrincipals
		}
	}
	return nil
}

func nonEmpty(s string) bool { return s != "" }

// awsPrincipal accepts what may stand for an AWS principal: everybody, an account, a unique id, or the ARN of an
// account, user, role or session. A wildcard inside of an ARN is not allowed.
func awsPrincipal(s string) bool {
	if s == "*" || accountID(s) || uniqueID(s) {
		return true
	}
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || !strings.HasPrefix(parts[1], "aws") || parts[3] != "" || !accountID(parts[4]) {
		return false
	}
	if strings.ContainsAny(s, "*?") {
		return false
	}
	kind, name, named := strings.Cut(parts[5], "/")
	switch parts[2] + ":" + kind {
	case "iam:root":
		return !named
	case "iam:user", "iam:role", "sts:assumed-role", "sts:federated-user":
		return name != ""
	default:
		return false
	}
}

func accountID(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

// uniqueID recognises what a stored principal turns into when its user or role is deleted.
func uniqueID(s string) bool {
	return len(s) >= 16 && len(s) <= 128 && (strings.HasPrefix(s, "AIDA") || strings.HasPrefix(s, "AROA")) &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

func servicePrincipal(s string) bool {
	return strings.HasSuffix(s, ".amazonaws.com") || strings.HasSuffix(s, ".amazon.com") || strings.HasSuffix(s, ".aws.internal")
}
