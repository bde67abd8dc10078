package kms

import (
	"context"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/operation"
	"keyward/internal/policy"
)

// Explain is a question about a permission, for people who wonder why a call is refused.
type Explain struct {
	Principal *policy.Principal
	// Region where the call would be made, unless Key is an ARN, which has its own.
	Region string
	// Action such as "kms:Encrypt".
	Action string
	// Key as a caller names it: an id, an alias or the ARN of either; empty for actions on no key.
	Key string
	// Context has further condition keys, which come before those that the call would have.
	Context map[string][]string
	// EncryptionContext of the call; nil for none.
	EncryptionContext map[string]string
}

// Explained is its answer.
type Explained struct {
	policy.Decision
	// Message is what a caller would be told; empty where the action is allowed.
	Message string
}

// byIdentityAlone are the actions on no key, which IAM policies alone can allow (AWS KMS Developer Guide, "AWS KMS
// permissions").
var byIdentityAlone = setOf("CreateKey", "GenerateRandom", "ListAliases", "ListKeys", "ListRetirableGrants", "ConnectCustomKeyStore",
	"CreateCustomKeyStore", "DeleteCustomKeyStore", "DescribeCustomKeyStores", "DisconnectCustomKeyStore", "UpdateCustomKeyStore")

// check refuses questions that no call could ask.
func (e *Explain) check(action string) error {
	onKey := fullNames[action] != "" && action != "ReEncrypt" && !byIdentityAlone[action]
	switch {
	case !onKey && !byIdentityAlone[action]:
		return invalid("%s is no action of KMS.", e.Action)
	case onKey && e.Key == "":
		return invalid("%s is about a key: name it.", e.Action)
	case !onKey && e.Key != "":
		return invalid("%s is not about a key: name none.", e.Action)
	default:
		return nil
	}
}

// Explain decides as a call would be decided now, without making it. What a call would be refused for before its
// permission is asked about, such as a key that is not there, is a fault.
func (s *Service) Explain(ctx context.Context, e Explain) (Explained, error) {
	action := strings.TrimPrefix(e.Action, "kms:")
	if err := e.check(action); err != nil {
		return Explained{}, err
	}
	q := question{operation: action, accepts: byAnyName, context: e.EncryptionContext, request: untold(action)}
	call := e.call(s)
	t, err := s.asked(ctx, call, e.Key)
	if err != nil {
		return Explained{}, err
	}
	c := s.inquiry(ctx, call, &q, &t)
	if err := c.consider(); err != nil {
		return Explained{}, err
	}
	if byIdentityAlone[action] || action == "RetireGrant" {
		c.request.ResourcePolicy = nil
	}
	c.request.Context = given{e.Context, c.request.Context}
	return c.explained()
}

// untold are the condition keys that a call has although its request does not have the member.
func untold(action string) []condition {
	switch action {
	case "Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair",
		"GenerateDataKeyPairWithoutPlaintext":
		return withSymmetric
	case "Sign", "Verify":
		return with(keyMessageType, types.MessageTypeRaw)
	case "CreateGrant", "ListGrants", "RevokeGrant":
		return aboutGrants(action).request
	case "CreateKey":
		return wished{types.KeySpecSymmetricDefault, types.KeyUsageTypeEncryptDecrypt, types.OriginTypeAwsKms, false}.conditions("PRIMARY")
	case "EnableKeyRotation":
		return with(keyRotationPeriod, strconv.Itoa(usualPeriod))
	case "ScheduleKeyDeletion":
		return with(keyPendingWindow, strconv.Itoa(usualWindow))
	default:
		return nil
	}
}

// call is the one that is asked about, as far as it is known.
func (e *Explain) call(s *Service) *operation.Call {
	scope := arn.Scope{Account: e.Principal.Account, Region: e.Region}
	if a, err := arn.Parse(e.Key); err == nil {
		scope.Region = a.Region
	}
	return &operation.Call{
		Scope: scope, Caller: e.Principal.Caller, Principal: e.Principal, Time: s.now(), Event: &audit.Event{Caller: e.Principal.Caller},
	}
}

// asked finds the key that is asked about.
func (s *Service) asked(ctx context.Context, call *operation.Call, name string) (target, error) {
	if name == "" {
		return target{arn: "*", account: call.Scope.Account}, nil
	}
	return s.resolve(ctx, call, name, byAnyName)
}

func (c *keyContext) explained() (Explained, error) {
	d := policy.Evaluate(&c.request)
	if c.failure != nil {
		return Explained{}, c.failure
	}
	x := Explained{Decision: d}
	if !d.Allowed {
		x.Message = d.Message(&c.request, "")
	}
	return x, nil
}

// given are condition keys that stand before others.
type given struct {
	values map[string][]string
	rest   policy.Context
}

// Lookup implements policy.Context.
func (g given) Lookup(key string) ([]string, bool) {
	for name, values := range g.values {
		if strings.EqualFold(name, key) {
			return values, true
		}
	}
	return g.rest.Lookup(key)
}
