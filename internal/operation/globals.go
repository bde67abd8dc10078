package operation

import (
	"strconv"
	"strings"
	"time"

	"keyward/internal/policy"
)

// globals answers for the condition keys that IAM has for all services (IAM guide, "AWS global condition context
// keys"), as far as the call itself tells them. Keys that authentication knows, such as aws:PrincipalTag/…, are in
// policy.Principal.Context.
type globals struct {
	call      *Call
	principal *policy.Principal
	account   string
	service   policy.Context
}

// Globals gives the condition keys of the call for one decision. account owns the resource, "" if there is none;
// service answers for keys that do not start with "aws:", and for those that Globals does not have, such as
// aws:ResourceTag/…; it may be nil. A value is made when it is asked for. The answer is good until the next call of
// Globals.
func (c *Call) Globals(p *policy.Principal, account string, service policy.Context) policy.Context {
	c.globals = globals{c, p, account, service}
	return &c.globals
}

// Lookup implements policy.Context.
func (g *globals) Lookup(key string) ([]string, bool) {
	if strings.HasPrefix(key, "aws:") {
		if value := g.global(key); value != "" {
			return []string{value}, true
		}
	}
	if g.service == nil {
		return nil, false
	}
	return g.service.Lookup(key)
}

// global is the value of a single-valued key, or empty.
func (g *globals) global(key string) string {
	switch key {
	case "aws:currenttime":
		return g.call.Time.UTC().Format(time.RFC3339)
	case "aws:epochtime":
		return strconv.FormatInt(g.call.Time.Unix(), 10)
	case "aws:requestedregion":
		return g.call.Scope.Region
	case "aws:resourceaccount":
		return g.account
	case "aws:securetransport":
		return strconv.FormatBool(g.call.Event.TLS != nil)
	case "aws:sourceip":
		return g.call.Event.SourceIP
	case "aws:useragent":
		return g.call.Event.UserAgent
	case "aws:viaawsservice":
		return "false" // no service forwards calls of its users
	default:
		return g.who(key)
	}
}

// who answers for the keys that describe the principal.
func (g *globals) who(key string) string {
	p := g.principal
	switch key {
	case "aws:principalaccount":
		return p.Account
	case "aws:principalarn":
		if p.Type == policy.TypeAssumedRole {
			return p.RoleARN
		}
		return p.ARN
	case "aws:principalisawsservice":
		return strconv.FormatBool(p.Type == policy.TypeService)
	case "aws:principalservicename":
		if p.Type == policy.TypeService {
			return p.ARN
		}
		return ""
	case "aws:principaltype":
		return principalTypes[p.Type]
	case "aws:userid":
		return p.PrincipalID
	case "aws:username":
		if p.Type == policy.TypeUser {
			return p.UserName
		}
		return ""
	default:
		return ""
	}
}

// principalTypes are IAM's words for CloudTrail's.
var principalTypes = map[string]string{
	policy.TypeRoot: "Account", policy.TypeUser: "User", policy.TypeAssumedRole: "AssumedRole", policy.TypeFederatedUser: "FederatedUser",
}
