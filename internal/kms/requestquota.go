package kms

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/quota"
)

// ErrThrottled answers a request beyond its quota (AWS KMS Developer Guide, "Throttling AWS KMS requests").
var ErrThrottled = fault.New("ThrottlingException",
	"You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.")

// Names of the quotas that more than one operation shares (AWS KMS Developer Guide, "Request quotas"), without their
// ending. All others have the name of their operation. AWS lists none for ML-KEM keys.
const (
	symmetricQuota = "Cryptographic operations (symmetric)"
	rsaQuota       = "Cryptographic operations (RSA)"
	mlDSAQuota     = "Cryptographic operations (ML-DSA)"
	eccQuota       = "Cryptographic operations (ECC and SM2)"
	mlKEMQuota     = "Cryptographic operations (ML-KEM)"
	storeQuota     = "AWS CloudHSM key store"
)

// pairQuota is the name of the quota of data key pairs of one spec.
func pairQuota(spec types.DataKeyPairSpec) string {
	return "GenerateDataKeyPair (" + string(spec) + ")"
}

// awsRates are AWS's values in requests a second, where they do not depend on the Region (same page).
var awsRates = map[string]float64{
	rsaQuota: 1000, mlDSAQuota: 1000, eccQuota: 1000, storeQuota: 1800,
	pairQuota("ECC_NIST_P256"): 100, pairQuota("ECC_NIST_P384"): 100, pairQuota("ECC_NIST_P521"): 100,
	pairQuota("ECC_SECG_P256K1"): 100, pairQuota("ECC_NIST_EDWARDS25519"): 100, pairQuota("SM2"): 25,
	pairQuota("RSA_2048"): 20, pairQuota("RSA_3072"): 4, pairQuota("RSA_4096"): 1,
	"CancelKeyDeletion": 5, "ConnectCustomKeyStore": 5, "CreateAlias": 5, "CreateCustomKeyStore": 5, "CreateGrant": 50,
	"CreateKey": 5, "DeleteAlias": 15, "DeleteCustomKeyStore": 5, "DeleteImportedKeyMaterial": 15,
	"DescribeCustomKeyStores": 5, "DescribeKey": 2000, "DisableKey": 5, "DisableKeyRotation": 5,
	"DisconnectCustomKeyStore": 5, "EnableKey": 5, "EnableKeyRotation": 15, "GetKeyLastUsage": 5, "GetKeyPolicy": 1000,
	"GetKeyRotationStatus": 1000, "GetParametersForImport": 1, "GetPublicKey": 2000, "ImportKeyMaterial": 15,
	"ListAliases": 500, "ListGrants": 100, "ListKeyPolicies": 100, "ListKeys": 500, "ListKeyRotations": 100,
	"ListResourceTags": 2000, "ListRetirableGrants": 100, "PutKeyPolicy": 15, "ReplicateKey": 5, "RetireGrant": 50,
	"RevokeGrant": 50, "RotateKeyOnDemand": 5, "ScheduleKeyDeletion": 15, "TagResource": 10, "UntagResource": 5,
	"UpdateAlias": 5, "UpdateCustomKeyStore": 5, "UpdateKeyDescription": 5, "UpdatePrimaryRegion": 5,
}

// symmetricRate is AWS's value of symmetricQuota.
func symmetricRate(region string) float64 {
	switch region {
	case "us-east-1", "us-west-2", "eu-west-1":
		return 100_000
	case "us-east-2", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "eu-central-1", "eu-west-2":
		return 20_000
	default:
		return 10_000
	}
}

// quotaNames lists all quotas.
func quotaNames() []string {
	names := append(slices.Collect(maps.Keys(awsRates)), symmetricQuota, mlKEMQuota)
	for _, spec := range types.DataKeyPairSpec("").Values() {
		names = append(names, pairQuota(spec))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// maxThrottled bounds the buckets that are kept: callers choose Regions.
const maxThrottled = 65_536

// RequestQuotas are the rates at which accounts may call, each counted for itself in each account and Region. The
// account that calls counts, not the one that owns the key. A nil RequestQuotas admits everything.
type RequestQuotas struct {
	aws     bool
	rates   map[string]float64
	buckets *quota.Buckets[quotaOf]
}

type quotaOf struct {
	scope arn.Scope
	name  string
}

// NewRequestQuotas takes AWS's values if aws is set, and others for the quotas that rates names, in requests a second.
// Names are those of the AWS KMS Developer Guide, in any letter case; their endings " request rate" and " request quota"
// may be left out.
func NewRequestQuotas(aws bool, rates map[string]float64) (*RequestQuotas, error) {
	if !aws && len(rates) == 0 {
		return nil, nil
	}
	q := &RequestQuotas{aws, map[string]float64{}, quota.NewBuckets[quotaOf](maxThrottled)}
	names := quotaNames()
	for given, rate := range rates {
		short := strings.TrimSuffix(strings.TrimSuffix(given, " request rate"), " request quota")
		at := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, short) })
		if at < 0 {
			return nil, fmt.Errorf("there is no request quota %q; there are: %s", given, strings.Join(names, ", "))
		}
		if !(rate > 0) {
			return nil, fmt.Errorf("request quota %s: %v requests a second cannot be kept", names[at], rate)
		}
		q.rates[names[at]] = rate
	}
	return q, nil
}

// rate is a quota's value in a Region, zero if it is not bounded.
func (q *RequestQuotas) rate(name, region string) float64 {
	if rate, ok := q.rates[name]; ok || !q.aws {
		return rate
	}
	if name == symmetricQuota {
		return symmetricRate(region)
	}
	return awsRates[name]
}

// KeyStore is the quota of each custom key store, zero if it is not bounded.
func (q *RequestQuotas) KeyStore() float64 {
	if q == nil {
		return 0
	}
	return q.rate(storeQuota, "")
}

// Admit counts a request whose quota its operation alone tells. All others are counted once what they use is known: a
// key, or the spec of a data key pair.
func (q *RequestQuotas) Admit(call *operation.Call, op string) error {
	switch {
	case q == nil, usesKey(op), strings.HasPrefix(op, "GenerateDataKeyPair"):
		return nil
	case op == "GenerateRandom":
		return q.count(call, symmetricQuota)
	default:
		return q.count(call, op)
	}
}

// admitUse counts a cryptographic request with a key of this spec; it does nothing for other operations.
func (q *RequestQuotas) admitUse(call *operation.Call, op string, spec types.KeySpec) error {
	if q == nil || !usesKey(op) {
		return nil
	}
	return q.count(call, cryptographicQuota(spec))
}

// admitPair counts a request for a data key pair.
func (q *RequestQuotas) admitPair(call *operation.Call, spec types.DataKeyPairSpec) error {
	if q == nil {
		return nil
	}
	return q.count(call, pairQuota(spec))
}

// admitIn counts what a request does in another Region as n requests of an operation there.
func (q *RequestQuotas) admitIn(call *operation.Call, region, op string, n int) error {
	if q == nil {
		return nil
	}
	return q.take(call, arn.Scope{Account: call.Scope.Account, Region: region}, op, n)
}

// count counts a request towards a quota, or refuses it. ReEncrypt with two keys of one quota is one request.
func (q *RequestQuotas) count(call *operation.Call, name string) error {
	if slices.Contains(call.Quotas, name) {
		return nil
	}
	call.Quotas = append(call.Quotas, name)
	return q.take(call, call.Scope, name, 1)
}

func (q *RequestQuotas) take(call *operation.Call, scope arn.Scope, name string, n int) error {
	perSecond := q.rate(name, scope.Region)
	if perSecond == 0 {
		return nil
	}
	rate := quota.Every(perSecond)
	if !q.buckets.Take(quotaOf{scope, name}, min(n, int(rate.Burst)), rate, call.Time) {
		return ErrThrottled
	}
	return nil
}

// usesKey reports whether the request's quota depends on the key that it uses.
func usesKey(op string) bool {
	switch op {
	case "Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateMac", "VerifyMac",
		"Sign", "Verify", "DeriveSharedSecret", "Encapsulate", "Decapsulate":
		return true
	default:
		return false
	}
}

// cryptographicQuota is the quota that requests with keys of this spec share.
func cryptographicQuota(spec types.KeySpec) string {
	is := func(family string) bool { return strings.HasPrefix(string(spec), family) }
	switch {
	case is("RSA_"):
		return rsaQuota
	case is("ECC_"), is("SM2"):
		return eccQuota
	case is("ML_DSA_"):
		return mlDSAQuota
	case is("ML_KEM_"):
		return mlKEMQuota
	default:
		return symmetricQuota // HMAC keys included
	}
}
