package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/operation"
	"keyward/internal/policy"
)

// chainedDuration is the most that a session lasts which was opened from another role's, in seconds.
const chainedDuration = 3600

// assumeRole opens a session of a role for a principal whom the role's trust policy and its own policies let do so. A
// role that is not there is refused as one that may not be assumed.
func (s *Service) assumeRole(ctx context.Context, c *operation.Call, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
	if c.Caller.Type == policy.TypeRoot {
		return nil, accessDenied("Roles may not be assumed by root accounts.")
	}
	if err := noSecondFactor(in.SerialNumber, in.TokenCode); err != nil {
		return nil, err
	}
	if _, err := roleAccount(*in.RoleArn); err != nil {
		return nil, err
	}
	tags, err := sessionTags(in.Tags, in.TransitiveTagKeys)
	if err != nil {
		return nil, err
	}
	facts := SessionFacts{
		Kind: RoleSession, Name: *in.RoleSessionName, Tags: tags, Transitive: in.TransitiveTagKeys, SourceIdentity: value(in.SourceIdentity),
	}
	chained, err := s.inherit(ctx, c, &facts)
	if err != nil {
		return nil, err
	}
	role, err := s.assumable(ctx, c, in, &facts)
	if err != nil {
		return nil, err
	}
	a, err := s.begin(ctx, c, role, facts, asked{in.DurationSeconds, chained, in.Policy, in.PolicyArns})
	return &sts.AssumeRoleOutput{AssumedRoleUser: a.user, Credentials: a.credentials, SourceIdentity: optional(facts.SourceIdentity)}, err
}

// asked is what whoever assumes a role asks of the session.
type asked struct {
	seconds *int32
	chained bool // from a session of another role
	policy  *string
	arns    []types.PolicyDescriptorType
}

// assumption is a session of a role that has begun.
type assumption struct {
	user        *types.AssumedRoleUser
	credentials *types.Credentials
}

// begin opens a session of a role that the caller may assume.
func (s *Service) begin(ctx context.Context, c *operation.Call, role *Entity, facts SessionFacts, q asked) (a assumption, err error) {
	seconds, err := sessionDuration(role, q.seconds, q.chained)
	if err != nil {
		return a, err
	}
	session := s.newSession(role.Account, role.ID, seconds, facts)
	if err := s.scope(ctx, session, q.policy, q.arns); err != nil {
		return a, err
	}
	a.user = assumedRole(c, role, session)
	a.credentials, err = s.open(ctx, c, session)
	return a, err
}

// inherit takes over what goes on from the caller's session, and reports whether there is one of a role.
func (s *Service) inherit(ctx context.Context, c *operation.Call, facts *SessionFacts) (chained bool, err error) {
	if c.Caller.Type != policy.TypeAssumedRole {
		return false, nil
	}
	parent, err := s.config.Store.Session(ctx, c.Caller.AccessKeyID)
	if err != nil {
		return false, err
	}
	for _, t := range parent.Tags {
		if !slices.ContainsFunc(parent.Transitive, func(key string) bool { return strings.EqualFold(key, t.Key) }) {
			continue
		}
		if slices.ContainsFunc(facts.Tags, func(own Tag) bool { return strings.EqualFold(own.Key, t.Key) }) {
			return true, invalidParameter("One of the specified transitive tag keys can't be set because it " +
				"conflicts with a transitive tag key from the calling session.")
		}
		facts.Tags, facts.Transitive = append(facts.Tags, t), append(facts.Transitive, t.Key)
	}
	switch {
	case parent.SourceIdentity == "":
	case facts.SourceIdentity == "", facts.SourceIdentity == parent.SourceIdentity:
		facts.SourceIdentity = parent.SourceIdentity
	default:
		return true, accessDenied("The source identity of a session cannot be changed.")
	}
	return true, nil
}

// roleAccount is the account in the name of a role, which need not be there. What cannot be such a name is refused.
func roleAccount(name string) (string, error) {
	a, err := arn.Parse(name)
	switch {
	case err != nil:
		return "", validationError("%s is invalid", name)
	case a.Service != "iam" || !strings.HasPrefix(a.Resource, "role/"):
		return "", validationError("Request ARN is invalid")
	default:
		return a.Account, nil
	}
}

// assumable finds the role, if the caller may assume it with these facts.
func (s *Service) assumable(ctx context.Context, c *operation.Call, in *sts.AssumeRoleInput, facts *SessionFacts) (*Entity, error) {
	role, err := entityByARN(ctx, s.config.Store, *in.RoleArn)
	if isMissing(err) {
		return nil, accessDenied("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c.Caller.ARN, *in.RoleArn)
	}
	if err != nil {
		return nil, err
	}
	trust, err := policy.Compile(policy.Trust, role.Name, []byte(role.Role.Trust), role.Role.Bound)
	if err != nil {
		return nil, err
	}
	keys := assumeKeys(role, facts)
	if in.ExternalId != nil {
		keys["sts:externalid"] = []string{*in.ExternalId}
	}
	for _, action := range facts.actions("sts:AssumeRole") {
		r := policy.Request{
			Principal: c.Principal, Action: action, Resource: role.ARN(), Account: role.Account, AcrossAccounts: true,
			ResourcePolicy: trust, Context: c.Globals(c.Principal, role.Account, keys),
		}
		if d := policy.Evaluate(&r); !d.Allowed {
			// AWS does not say why: the role may be another account's.
			return nil, accessDenied("User: %s is not authorized to perform: %s on resource: %s", c.Caller.ARN, action, role.ARN())
		}
	}
	return role, nil
}

// actions are what opening a session with these facts needs the permission of, beside op. What goes on from the caller's
// own session needs it as much as what the request names (IAM User Guide, "Monitor and control actions taken with assumed
// roles" and "Pass session tags in AWS STS"): a role says by its trust policy what comes to it along a chain.
func (f *SessionFacts) actions(op string) []string {
	all := []string{op}
	if len(f.Tags) > 0 {
		all = append(all, "sts:TagSession")
	}
	if f.SourceIdentity != "" {
		all = append(all, "sts:SetSourceIdentity")
	}
	return all
}

// assumeKeys are the condition keys of opening a session (IAM guide, "Available keys for AWS STS").
func assumeKeys(role *Entity, facts *SessionFacts) operation.Keys {
	keys := operation.Keys{"sts:rolesessionname": {facts.Name}}
	entityKeys(keys, &Entity{Tags: role.Tags})
	if facts.SourceIdentity != "" {
		keys["sts:sourceidentity"] = []string{facts.SourceIdentity}
	}
	if len(facts.Transitive) > 0 {
		keys["sts:transitivetagkeys"] = facts.Transitive
	}
	for _, t := range facts.Tags {
		keys.RequestTag(t.Key, t.Value)
	}
	return keys
}

func sessionDuration(role *Entity, asked *int32, chained bool) (int32, error) {
	seconds := or32(asked, min(defaultRoleDuration, role.Role.MaxSession))
	switch {
	case chained && seconds > chainedDuration:
		return 0, validationError("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	case seconds > role.Role.MaxSession:
		return 0, validationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	default:
		return seconds, nil
	}
}

// assumedRole is what an answer says of a session of a role, and the call's event with it.
func assumedRole(c *operation.Call, role *Entity, t *Session) *types.AssumedRoleUser {
	id, name := role.ID+":"+t.Name, arn.STS(role.Account, "assumed-role/"+role.Name+"/"+t.Name)
	about(c, role)
	c.Event.Response.Add("assumedRoleUser", audit.Members{{Name: "assumedRoleId", Value: id}, {Name: "arn", Value: name}})
	return &types.AssumedRoleUser{AssumedRoleId: aws.String(id), Arn: aws.String(name)}
}
