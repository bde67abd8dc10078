package identity

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/policy"
	"keyward/internal/secret"
)

// STS lists the operations of the security token service (API version 2011-06-15).
func (s *Service) STS() operation.Service {
	return operation.Service{
		SigningName: "sts",
		EventSource: "sts.amazonaws.com",
		Admit:       admitToSTS,
		Rows: []operation.Row{
			operation.Read("GetCallerIdentity", getCallerIdentity).Asking(),
			operation.Read("GetAccessKeyInfo", s.getAccessKeyInfo, "AccessKeyId"),
			operation.Read("GetSessionToken", s.getSessionToken, "DurationSeconds").Asking(),
			operation.Read("GetFederationToken", s.getFederationToken, "Name", "Policy", "PolicyArns", "DurationSeconds", "Tags").On(onFederatedUser),
			operation.Read("AssumeRole", s.assumeRole, "RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId", "Policy",
				"PolicyArns", "Tags", "TransitiveTagKeys", "SourceIdentity").Asking(),
			operation.Read("AssumeRoleWithWebIdentity", s.assumeRoleWithWebIdentity, "RoleArn", "RoleSessionName", "DurationSeconds",
				"Policy", "PolicyArns").Unsigned(),
		},
	}
}

// admitToSTS keeps sessions to the operations that are theirs (IAM User Guide, "Compare AWS STS credentials"): those of
// roles open no user's session, those of users open a role's only, those of federated users none.
func admitToSTS(c *operation.Call, name string) error {
	admitted := c.Caller.Temporary == nil || name == "GetCallerIdentity" || name == "AssumeRoleWithWebIdentity"
	switch c.Caller.Type {
	case policy.TypeAssumedRole:
		admitted = admitted || name != "GetSessionToken" && name != "GetFederationToken"
	case policy.TypeUser, policy.TypeRoot:
		admitted = admitted || name == "AssumeRole"
	}
	if !admitted {
		return accessDenied("Cannot call %s with session credentials", name)
	}
	return nil
}

// GetCallerIdentityOutput names the caller, in the order in which STS writes it.
type GetCallerIdentityOutput struct {
	Arn     string
	UserId  string //nolint:revive // the name on the wire
	Account string
}

// getCallerIdentity needs no permission: AWS answers it even under an explicit deny.
func getCallerIdentity(_ context.Context, c *operation.Call, _ *sts.GetCallerIdentityInput) (*GetCallerIdentityOutput, error) {
	return &GetCallerIdentityOutput{Arn: c.Caller.ARN, UserId: c.Caller.PrincipalID, Account: c.Caller.Account}, nil
}

// getAccessKeyInfo knows the installation's own keys. AWS reads the account out of any key's id.
func (s *Service) getAccessKeyInfo(ctx context.Context, _ *operation.Call, in *sts.GetAccessKeyInfoInput) (*sts.GetAccessKeyInfoOutput, error) {
	account := ""
	if kindOf(*in.AccessKeyId) == temporary {
		session, err := s.config.Store.Session(ctx, *in.AccessKeyId)
		if err == nil {
			account = session.Account
		} else if !isMissing(err) {
			return nil, err
		}
	} else {
		k, err := s.config.Store.AccessKey(ctx, *in.AccessKeyId)
		if err == nil {
			account = k.Account
		} else if !isMissing(err) {
			return nil, err
		}
	}
	if account == "" {
		return nil, validationError("Invalid AccessKeyId: %s", *in.AccessKeyId)
	}
	return &sts.GetAccessKeyInfoOutput{Account: aws.String(account)}, nil
}

// Durations of sessions in seconds (AWS STS API Reference, GetSessionToken and GetFederationToken).
const (
	usualDuration = 12 * 3600
	rootDuration  = 3600 // also the most that a session of a root user lasts
)

// userSession begins a session of the user or root user that calls.
func (s *Service) userSession(c *operation.Call, kind SessionKind, seconds *int32) *Session {
	duration := or32(seconds, usualDuration)
	if c.Caller.Type == policy.TypeRoot {
		duration = min(duration, rootDuration)
	}
	return s.newSession(c.Scope.Account, c.Caller.PrincipalID, duration, SessionFacts{Kind: kind})
}

func accessDenied(format string, args ...any) *fault.Error {
	return refusal("AccessDenied", http.StatusForbidden, format, args...)
}

func (s *Service) getSessionToken(ctx context.Context, c *operation.Call, in *sts.GetSessionTokenInput) (*sts.GetSessionTokenOutput, error) {
	if err := noSecondFactor(in.SerialNumber, in.TokenCode); err != nil {
		return nil, err
	}
	credentials, err := s.open(ctx, c, s.userSession(c, UserSession, in.DurationSeconds))
	return &sts.GetSessionTokenOutput{Credentials: credentials}, err
}

// noSecondFactor refuses a second factor: there are no devices, so no code of one is right.
func noSecondFactor(serial, code *string) error {
	if serial != nil || code != nil {
		return accessDenied("MultiFactorAuthentication failed with invalid MFA one time pass code. ")
	}
	return nil
}

func onFederatedUser(_ context.Context, c *operation.Call, in any) ([]operation.Resource, error) {
	return []operation.Resource{federatedUser(c, in.(*sts.GetFederationTokenInput))}, nil
}

// federatedUser is whom GetFederationToken asks permission for.
func federatedUser(c *operation.Call, in *sts.GetFederationTokenInput) operation.Resource {
	keys := operation.Keys{}
	for _, t := range in.Tags {
		keys.RequestTag(value(t.Key), value(t.Value))
	}
	return operation.Resource{ARN: arn.STS(c.Scope.Account, "federated-user/"+*in.Name), Keys: keys}
}

// mayTag asks for the permission that session tags need beside the call's own (IAM User Guide, "Pass session tags in AWS
// STS").
func mayTag(c *operation.Call, user operation.Resource) error {
	r := policy.Request{
		Principal: c.Principal, Action: "sts:TagSession", Resource: user.ARN, Context: c.Globals(c.Principal, c.Scope.Account, user.Keys),
	}
	if d := policy.Evaluate(&r); !d.Allowed {
		return accessDenied("%s", d.Message(&r, ""))
	}
	return nil
}

func (s *Service) getFederationToken(ctx context.Context, c *operation.Call, in *sts.GetFederationTokenInput) (*sts.GetFederationTokenOutput, error) {
	if len(in.Tags) > 0 {
		if err := mayTag(c, federatedUser(c, in)); err != nil {
			return nil, err
		}
	}
	session := s.userSession(c, FederatedSession, in.DurationSeconds)
	session.Name = *in.Name
	if err := s.scope(ctx, session, in.Policy, in.PolicyArns); err != nil {
		return nil, err
	}
	session.Scoped = true // a session without policies may do nothing
	var err error
	if session.Tags, err = sessionTags(in.Tags, nil); err != nil {
		return nil, err
	}
	credentials, err := s.open(ctx, c, session)
	return &sts.GetFederationTokenOutput{
		Credentials: credentials, FederatedUser: &types.FederatedUser{
			Arn:             aws.String(arn.STS(session.Account, "federated-user/"+session.Name)),
			FederatedUserId: aws.String(session.Account + ":" + session.Name),
		},
	}, err
}

// maxSessionPolicies is how many managed policies a session is made with (IAM guide, "IAM and AWS STS quotas").
const maxSessionPolicies = 10

// scope gives a session its policies. Managed ones are taken as they are whenever the session is used.
func (s *Service) scope(ctx context.Context, t *Session, document *string, arns []types.PolicyDescriptorType) error {
	if document != nil {
		if _, err := policy.ParseSession([]byte(*document)); err != nil {
			return malformedPolicy(err)
		}
		t.Scoped, t.Inline = true, []string{*document}
	}
	if len(arns) > maxSessionPolicies {
		return fault.New("PackedPolicyTooLarge", "The session policies are more than %d.", maxSessionPolicies)
	}
	for _, p := range arns {
		if _, err := attachable(ctx, s.config.Store, t.Account, value(p.Arn)); err != nil {
			return err
		}
		t.Scoped, t.Managed = true, append(t.Managed, *p.Arn)
	}
	return nil
}

// sessionTags reads the tags of a session, of which transitive are to go on.
func sessionTags(in []types.Tag, transitive []string) ([]Tag, error) {
	tags, err := tagsOf(each(in, func(t types.Tag) iamtypes.Tag { return iamtypes.Tag{Key: t.Key, Value: t.Value} }), anyCase)
	if f, refused := fault.As(err); refused {
		return nil, invalidParameter("%s", f.Message)
	}
	return tags, checkTransitive(tags, transitive)
}

// checkTransitive refuses keys that go on without a tag.
func checkTransitive(tags []Tag, keys []string) error {
	for _, key := range keys {
		if !slices.ContainsFunc(tags, func(t Tag) bool { return strings.EqualFold(t.Key, key) }) {
			return invalidParameter("The specified transitive tag key must be included in the requested tags.")
		}
	}
	return nil
}

func invalidParameter(format string, args ...any) *fault.Error {
	return fault.New("InvalidParameterValue", format, args...)
}

func (s *Service) newSession(account, principalID string, seconds int32, facts SessionFacts) *Session {
	now := s.config.Now()
	return &Session{
		AccessKeyID: newID(temporary), Account: account, PrincipalID: principalID,
		Created: now, Expires: now.Add(time.Duration(seconds) * time.Second).Truncate(time.Second), SessionFacts: facts,
	}
}

// open keeps a session and returns its credentials, which are shown this once.
func (s *Service) open(ctx context.Context, c *operation.Call, t *Session) (*types.Credentials, error) {
	plain, token := newSecret(), newToken()
	sealed, err := s.config.Sealer.Seal(purpose(t.AccessKeyID), plain.Expose())
	if err != nil {
		return nil, err
	}
	t.SealedSecret, t.TokenHash = sealed, tokenHash(string(token.Expose()))
	c.Event.Response.Add("credentials", audit.Members{{Name: "accessKeyId", Value: t.AccessKeyID}, {Name: "expiration", Value: t.Expires}})
	// No principal changes by a new session, so the cache stays.
	if err := s.config.Store.Change(ctx, c.Event, func(tx Tx) error { return tx.InsertSession(t) }); err != nil {
		return nil, err
	}
	return credentials(t, plain, token), nil
}

func credentials(t *Session, plain, token secret.Bytes) *types.Credentials {
	return &types.Credentials{
		AccessKeyId: aws.String(t.AccessKeyID), SecretAccessKey: aws.String(string(plain.Expose())),
		SessionToken: aws.String(string(token.Expose())), Expiration: aws.Time(t.Expires),
	}
}
