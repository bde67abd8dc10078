package identity

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/policy"
)

// errWebIdentity refuses whatever it is that a stranger may not do, and does not say what.
var errWebIdentity = accessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity")

func invalidToken(format string, args ...any) *fault.Error {
	return fault.New("InvalidIdentityToken", format, args...)
}

// assumeRoleWithWebIdentity opens a session of a role for whom an identity provider of the role's account vouches. The
// call has no signature: the provider's token is all that says who it is from, and before it is proven nothing is said of
// the role.
func (s *Service) assumeRoleWithWebIdentity(ctx context.Context, c *operation.Call, in *sts.AssumeRoleWithWebIdentityInput) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	account, err := roleAccount(*in.RoleArn)
	if err != nil {
		return nil, err
	}
	p, claims, err := s.vouched(ctx, account, *in.WebIdentityToken)
	if err != nil {
		return nil, err
	}
	s.introduce(c, p, claims)
	role, err := entityByARN(ctx, s.config.Store, *in.RoleArn)
	if isMissing(err) {
		return nil, errWebIdentity
	}
	if err != nil {
		return nil, err
	}
	facts := SessionFacts{Kind: RoleSession, Name: *in.RoleSessionName, Provider: p.ARN(), Claims: claims.keys(p)}
	if err := claims.gives.fill(&facts); err != nil {
		return nil, err
	}
	claims.gives.log(c)
	if err := s.trusted(c, role, &facts); err != nil {
		return nil, err
	}
	a, err := s.begin(ctx, c, role, facts, asked{seconds: in.DurationSeconds, policy: in.Policy, arns: in.PolicyArns})
	return &sts.AssumeRoleWithWebIdentityOutput{
		AssumedRoleUser: a.user, Credentials: a.credentials, Provider: aws.String(p.ARN()),
		Audience: aws.String(claims.audience), SubjectFromWebIdentityToken: aws.String(claims.Subject),
		SourceIdentity: optional(facts.SourceIdentity),
	}, err
}

// introduce tells the call's event who calls, now that it is known. The event is one of the provider's account, which is the
// role's.
func (s *Service) introduce(c *operation.Call, p *Provider, claims *claims) {
	c.Caller = policy.Caller{
		Type: policy.TypeWebIdentity, Account: p.Account, UserName: claims.Subject,
		PrincipalID: p.ARN() + ":" + claims.audience + ":" + claims.Subject,
		Temporary:   &policy.Credentials{Provider: p.ARN()},
	}
	c.Scope.Account, c.Event.Caller = p.Account, c.Caller
}

// trusted asks the role's trust policy alone: a stranger has no policies.
func (s *Service) trusted(c *operation.Call, role *Entity, facts *SessionFacts) error {
	trust, err := policy.Compile(policy.Trust, role.Name, []byte(role.Role.Trust), role.Role.Bound)
	if err != nil {
		return err
	}
	stranger := &policy.Principal{Caller: c.Caller, Context: map[string][]string{"aws:federatedprovider": {facts.Provider}}}
	for key, values := range facts.Claims {
		stranger.Context[strings.ToLower(key)] = values
	}
	for _, action := range facts.actions("sts:AssumeRoleWithWebIdentity") {
		r := policy.Request{
			Principal: stranger, Action: action, Resource: role.ARN(), Account: role.Account, AcrossAccounts: true,
			ResourcePolicy: trust, Context: c.Globals(stranger, role.Account, assumeKeys(role, facts)),
		}
		if d := policy.Evaluate(&r); !d.Allowed {
			return errWebIdentity
		}
	}
	return nil
}

// keys are the condition keys that a provider's tokens have.
func (c *claims) keys(p *Provider) map[string][]string {
	keys := map[string][]string{p.URL + ":aud": {c.audience}, p.URL + ":sub": {c.Subject}}
	if len(c.AMR) > 0 {
		keys[p.URL+":amr"] = c.AMR
	}
	return keys
}

// vouched verifies a token against the provider of the account that it says it is from.
func (s *Service) vouched(ctx context.Context, account, token string) (*Provider, *claims, error) {
	unproven, signed, err := parseToken(token)
	if err != nil {
		return nil, nil, invalidToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)").Because(err)
	}
	p, err := s.config.Store.Provider(ctx, account, host(unproven.Issuer))
	if isMissing(err) || err == nil && unproven.Issuer != p.issuer() {
		return nil, nil, invalidToken("No OpenIDConnect provider found in your account for %s", unproven.Issuer)
	}
	if err != nil {
		return nil, nil, err
	}
	proven, err := s.keys.verify(ctx, unproven.Issuer, signed)
	switch {
	case errors.Is(err, errUnreachable):
		return nil, nil, fault.New("IDPCommunicationError", "Error communicating with identity provider.").Because(err)
	case err != nil:
		return nil, nil, invalidToken("Couldn't retrieve verification key from your identity provider, please reference " +
			"AssumeRoleWithWebIdentity documentation for requirements").Because(err)
	}
	if err := signed.UnsafeClaimsWithoutVerification(&proven.gives); err != nil { // it was verified above
		return nil, nil, invalidToken("The session tags or the source identity in the token cannot be read.").Because(err)
	}
	return p, proven, proven.check(p, s.config.Now())
}

// issuer is what tokens of the provider say they are from.
func (p *Provider) issuer() string {
	if p.Plain {
		return "http://" + p.URL
	}
	return "https://" + p.URL
}

// tokenLeeway is what the provider's clock may be off (IAM User Guide, "OIDC federation").
const tokenLeeway = 5 * time.Minute

// check holds a token that its provider signed against the time and the audiences that it may be for.
func (c *claims) check(p *Provider, now time.Time) error {
	if c.Expiry == nil || c.IssuedAt == nil || c.Subject == "" {
		return invalidToken("Missing a required claim: exp, iat, sub")
	}
	if ends := c.Expiry.Time(); !now.Before(ends.Add(tokenLeeway)) {
		return fault.New("ExpiredTokenException", "Token expired: current date/time %d must be before the expiration date/time %d",
			now.Unix(), ends.Unix())
	}
	if c.NotBefore != nil && now.Add(tokenLeeway).Before(c.NotBefore.Time()) || now.Add(tokenLeeway).Before(c.IssuedAt.Time()) {
		return invalidToken("Token is not valid yet")
	}
	for _, audience := range append([]string{c.AuthorizedParty}, c.Audience...) {
		if audience != "" && slices.Contains(p.Clients, audience) {
			c.audience = audience
			return nil
		}
	}
	return invalidToken("Incorrect token audience")
}
