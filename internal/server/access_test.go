package server

import (
	"cmp"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"keyward/internal/arn"
	"keyward/internal/identity"
)

const strangerAccount = "444455556666"

// gate is an installation behind a real port with somebody on each side of it.
type gate struct {
	testing.TB
	*installation
	url                      string
	admin, nobody, stranger  *kms.Client
	strangers                aws.Config
	expired                  *kms.Client
	grantee                  string // nobody's ARN
	sym, mac, sign           key
	agree, kem, external, mr key
	blob                     []byte
	peer                     []byte                            // a public key
	fit                      map[string][]types.GrantOperation // what grants for a key can have
}

type key struct{ id, arn *string }

func newGate(t *testing.T) *gate {
	t.Helper()
	i, err := open(t.Context(), testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	port := httptest.NewServer(i.handler)
	t.Cleanup(func() {
		port.Close()
		if err := i.close(); err != nil {
			t.Error(err)
		}
	})
	g := &gate{TB: t, installation: i, url: port.URL, fit: map[string][]types.GrantOperation{}}
	g.admin = g.client(i.accessKeyID, string(i.secretKey.Expose()), "")
	g.people()
	g.keys()
	return g
}

func (g *gate) config(id, secret, token string) aws.Config {
	return aws.Config{
		Region: DefaultRegion, BaseEndpoint: &g.url, Credentials: credentials.NewStaticCredentialsProvider(id, secret, token),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

func (g *gate) client(id, secret, token string) *kms.Client {
	return kms.NewFromConfig(g.config(id, secret, token))
}

func (g *gate) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// people makes a user without permissions, the administrator of another account, and a session of an administrator's
// role that is over.
func (g *gate) people() {
	g.Helper()
	ctx := g.Context()
	admin := g.config(g.accessKeyID, string(g.secretKey.Expose()), "")
	directory := iam.NewFromConfig(admin)
	user, err := directory.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("nobody")})
	g.must(err)
	g.grantee = *user.User.Arn
	made, err := directory.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("nobody")})
	g.must(err)
	g.nobody = g.client(*made.AccessKey.AccessKeyId, *made.AccessKey.SecretAccessKey, "")
	k, secretKey, err := g.identity.CreateAccount(ctx, identity.Account{ID: strangerAccount}, false)
	g.must(err)
	g.strangers = g.config(k.AccessKeyID, string(secretKey.Expose()), "")
	g.stranger = kms.NewFromConfig(g.strangers)
	_, err = directory.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("ops"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + DefaultAccount + `"},"Action":"sts:AssumeRole"}}`)})
	g.must(err)
	_, err = directory.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("ops"), PolicyArn: aws.String(identity.AdministratorAccess)})
	g.must(err)
	assumed, err := sts.NewFromConfig(admin).AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn: aws.String(arn.IAM(DefaultAccount, "role/ops")), RoleSessionName: aws.String("session"),
	})
	g.must(err)
	g.expire(*assumed.Credentials.AccessKeyId)
	c := assumed.Credentials
	g.expired = g.client(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
}

// expire puts the end of a session, which nobody has used yet, into the past.
func (g *gate) expire(id string) {
	g.Helper()
	g.onDatabase(func(db *sql.DB) error {
		result, err := db.Exec(`UPDATE session SET expires_ms = ? WHERE id = ?`, time.Now().Add(-time.Second).UnixMilli(), id)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			return fmt.Errorf("%d sessions ended, %v", n, err)
		}
		return nil
	})
}

func (g *gate) onDatabase(do func(*sql.DB) error) {
	g.Helper()
	db, err := sql.Open("sqlite", "file:"+g.databasePath()+"?_pragma=busy_timeout(10000)")
	g.must(err)
	defer func() { g.must(db.Close()) }()
	g.must(do(db))
}

// timely are the tables that change by themselves, or tell of calls.
var timely = []string{"audit_batch", "audit_packed", "trail_segment", "trail_term", "trail_file", "sqlite_sequence", "access_key"}

// dump is all that the database holds of what calls can change. Last uses are taken over from the events of earlier
// calls when somebody asks, so somebody does.
func (g *gate) dump() (all []string) {
	g.Helper()
	_, err := g.admin.GetKeyLastUsage(g.Context(), &kms.GetKeyLastUsageInput{KeyId: g.sym.id})
	g.must(err)
	g.onDatabase(func(db *sql.DB) error {
		tables, err := column(db, `SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`)
		if err != nil {
			return err
		}
		for _, table := range tables {
			if slices.Contains(timely, table) {
				continue
			}
			rows, err := column(db, `SELECT '`+table+` ' || json_group_array(json_array(`+columns(db, table)+`)) FROM `+table)
			if err != nil {
				return fmt.Errorf("%s: %w", table, err)
			}
			all = append(all, rows...)
		}
		return nil
	})
	return all
}

// columns lists a table's, blobs as hex.
func columns(db *sql.DB, table string) string {
	names, err := column(db, `SELECT 'hex(' || name || ')' FROM pragma_table_info('`+table+`')`)
	if err != nil {
		return err.Error()
	}
	return strings.Join(names, ",")
}

func column(db *sql.DB, query string) (all []string, err error) {
	rows, err := db.Query(query)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

// keys makes one key of each kind.
func (g *gate) keys() {
	g.Helper()
	make := func(in kms.CreateKeyInput) key {
		g.Helper()
		out, err := g.admin.CreateKey(g.Context(), &in)
		g.must(err)
		return key{out.KeyMetadata.KeyId, out.KeyMetadata.Arn}
	}
	g.sym = make(kms.CreateKeyInput{})
	g.mac = make(kms.CreateKeyInput{KeySpec: types.KeySpecHmac256, KeyUsage: types.KeyUsageTypeGenerateVerifyMac})
	g.sign = make(kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify})
	g.agree = make(kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeKeyAgreement})
	g.kem = make(kms.CreateKeyInput{KeySpec: "ML_KEM_768", KeyUsage: "ENCAPSULATE_DECAPSULATE"})
	g.external = make(kms.CreateKeyInput{Origin: types.OriginTypeExternal})
	g.mr = make(kms.CreateKeyInput{MultiRegion: aws.Bool(true)})
	_, err := g.admin.CreateAlias(g.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/ours"), TargetKeyId: g.sym.id})
	g.must(err)
	out, err := g.admin.Encrypt(g.Context(), &kms.EncryptInput{KeyId: g.sym.id, Plaintext: []byte("x"), EncryptionContext: granted})
	g.must(err)
	g.blob = out.CiphertextBlob
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	g.must(err)
	g.peer, err = x509.MarshalPKIXPublicKey(peer.PublicKey())
	g.must(err)
}

// granted is the encryption context of calls, and what grants are constrained to.
var granted = map[string]string{"a": "1"}

// trial is how an operation is tried.
type trial struct {
	in     any
	action string // IAM's; the operation's own if empty
	key    key    // which a grant of the operation is for; zero where no grant can allow it
	// encrypts: the operation has an encryption context, which a grant can constrain.
	encrypts bool
	// own: the operation is about what the caller's own account has, so there is no wrong account to call it from. absent
	// is what it answers there of what another account has.
	own    bool
	absent string
}

// trials has a valid call of every operation.
func (g *gate) trials() map[string]trial {
	d := []byte("digest-of-thirty-two-bytes-more!")
	store := aws.String("cks-1234567890abcdef0")
	alias := aws.String("alias/ours")
	const noStore, noAlias = "CustomKeyStoreNotFoundException", "NotFoundException"
	return map[string]trial{
		"CancelKeyDeletion":                   {in: &kms.CancelKeyDeletionInput{KeyId: g.sym.arn}},
		"ConnectCustomKeyStore":               {in: &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: store}, own: true, absent: noStore},
		"CreateAlias":                         {in: &kms.CreateAliasInput{AliasName: aws.String("alias/x"), TargetKeyId: g.sym.arn}},
		"CreateCustomKeyStore":                {in: &kms.CreateCustomKeyStoreInput{CustomKeyStoreName: aws.String("s"), CloudHsmClusterId: aws.String("cluster-abcdefghijk"), KeyStorePassword: aws.String("password"), TrustAnchorCertificate: aws.String("-")}, own: true, absent: "CloudHsmClusterNotFoundException"},
		"CreateGrant":                         {in: &kms.CreateGrantInput{KeyId: g.sym.arn, GranteePrincipal: aws.String(arn.Root(DefaultAccount)), Operations: []types.GrantOperation{"DescribeKey"}}, key: g.sym},
		"CreateKey":                           {in: &kms.CreateKeyInput{}, own: true},
		"Decapsulate":                         {in: &kms.DecapsulateInput{KeyId: g.kem.arn, EncapsulationAlgorithm: "ML_KEM", SharedSecretCiphertextBlob: make([]byte, 1088)}, key: g.kem},
		"Decrypt":                             {in: &kms.DecryptInput{KeyId: g.sym.arn, CiphertextBlob: g.blob, EncryptionContext: granted}, key: g.sym, encrypts: true},
		"DeleteAlias":                         {in: &kms.DeleteAliasInput{AliasName: alias}, own: true, absent: noAlias},
		"DeleteCustomKeyStore":                {in: &kms.DeleteCustomKeyStoreInput{CustomKeyStoreId: store}, own: true, absent: noStore},
		"DescribeCustomKeyStores":             {in: &kms.DescribeCustomKeyStoresInput{CustomKeyStoreId: store}, own: true, absent: noStore},
		"DeleteImportedKeyMaterial":           {in: &kms.DeleteImportedKeyMaterialInput{KeyId: g.external.arn}},
		"DeriveSharedSecret":                  {in: &kms.DeriveSharedSecretInput{KeyId: g.agree.arn, KeyAgreementAlgorithm: "ECDH", PublicKey: g.peer}, key: g.agree},
		"DescribeKey":                         {in: &kms.DescribeKeyInput{KeyId: g.sym.arn}, key: g.sym},
		"DisableKey":                          {in: &kms.DisableKeyInput{KeyId: g.sym.arn}},
		"DisableKeyRotation":                  {in: &kms.DisableKeyRotationInput{KeyId: g.sym.arn}},
		"DisconnectCustomKeyStore":            {in: &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: store}, own: true, absent: noStore},
		"EnableKey":                           {in: &kms.EnableKeyInput{KeyId: g.sym.arn}},
		"EnableKeyRotation":                   {in: &kms.EnableKeyRotationInput{KeyId: g.sym.arn}},
		"Encapsulate":                         {in: &kms.EncapsulateInput{KeyId: g.kem.arn, EncapsulationAlgorithm: "ML_KEM"}, key: g.kem},
		"Encrypt":                             {in: &kms.EncryptInput{KeyId: g.sym.arn, Plaintext: d, EncryptionContext: granted}, key: g.sym, encrypts: true},
		"GenerateDataKey":                     {in: &kms.GenerateDataKeyInput{KeyId: g.sym.arn, KeySpec: "AES_256", EncryptionContext: granted}, key: g.sym, encrypts: true},
		"GenerateDataKeyPair":                 {in: &kms.GenerateDataKeyPairInput{KeyId: g.sym.arn, KeyPairSpec: "ECC_NIST_P256", EncryptionContext: granted}, key: g.sym, encrypts: true},
		"GenerateDataKeyPairWithoutPlaintext": {in: &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: g.sym.arn, KeyPairSpec: "ECC_NIST_P256", EncryptionContext: granted}, key: g.sym, encrypts: true},
		"GenerateDataKeyWithoutPlaintext":     {in: &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: g.sym.arn, KeySpec: "AES_256", EncryptionContext: granted}, key: g.sym, encrypts: true},
		"GenerateMac":                         {in: &kms.GenerateMacInput{KeyId: g.mac.arn, MacAlgorithm: "HMAC_SHA_256", Message: d}, key: g.mac},
		"GenerateRandom":                      {in: &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1)}, own: true},
		"GetKeyLastUsage":                     {in: &kms.GetKeyLastUsageInput{KeyId: g.sym.arn}},
		"GetKeyPolicy":                        {in: &kms.GetKeyPolicyInput{KeyId: g.sym.arn}},
		"GetKeyRotationStatus":                {in: &kms.GetKeyRotationStatusInput{KeyId: g.sym.arn}},
		"GetParametersForImport":              {in: &kms.GetParametersForImportInput{KeyId: g.external.arn, WrappingAlgorithm: "RSAES_OAEP_SHA_256", WrappingKeySpec: "RSA_2048"}},
		"GetPublicKey":                        {in: &kms.GetPublicKeyInput{KeyId: g.sign.arn}, key: g.sign},
		"ImportKeyMaterial":                   {in: &kms.ImportKeyMaterialInput{KeyId: g.external.arn, ImportToken: d, EncryptedKeyMaterial: d, ExpirationModel: "KEY_MATERIAL_DOES_NOT_EXPIRE"}},
		"ListAliases":                         {in: &kms.ListAliasesInput{KeyId: g.sym.arn}},
		"ListGrants":                          {in: &kms.ListGrantsInput{KeyId: g.sym.arn}},
		"ListKeyPolicies":                     {in: &kms.ListKeyPoliciesInput{KeyId: g.sym.arn}},
		"ListKeyRotations":                    {in: &kms.ListKeyRotationsInput{KeyId: g.sym.arn}},
		"ListKeys":                            {in: &kms.ListKeysInput{}, own: true},
		"ListResourceTags":                    {in: &kms.ListResourceTagsInput{KeyId: g.sym.arn}},
		"ListRetirableGrants":                 {in: &kms.ListRetirableGrantsInput{RetiringPrincipal: &g.grantee}},
		"PutKeyPolicy":                        {in: &kms.PutKeyPolicyInput{KeyId: g.sym.arn, Policy: aws.String("{}")}},
		"ReEncrypt": {in: &kms.ReEncryptInput{CiphertextBlob: g.blob, SourceKeyId: g.sym.arn, SourceEncryptionContext: granted, DestinationKeyId: g.sym.arn, DestinationEncryptionContext: granted},
			action: "ReEncryptFrom", key: g.sym, encrypts: true},
		"ReplicateKey":         {in: &kms.ReplicateKeyInput{KeyId: g.mr.arn, ReplicaRegion: aws.String("eu-west-1")}},
		"RetireGrant":          {in: &kms.RetireGrantInput{KeyId: g.sym.arn}, key: g.sym},
		"RevokeGrant":          {in: &kms.RevokeGrantInput{KeyId: g.sym.arn}},
		"RotateKeyOnDemand":    {in: &kms.RotateKeyOnDemandInput{KeyId: g.sym.arn}},
		"ScheduleKeyDeletion":  {in: &kms.ScheduleKeyDeletionInput{KeyId: g.sym.arn}},
		"Sign":                 {in: &kms.SignInput{KeyId: g.sign.arn, Message: d, SigningAlgorithm: "ECDSA_SHA_256"}, key: g.sign},
		"TagResource":          {in: &kms.TagResourceInput{KeyId: g.sym.arn, Tags: []types.Tag{{TagKey: aws.String("a"), TagValue: aws.String("b")}}}},
		"UntagResource":        {in: &kms.UntagResourceInput{KeyId: g.sym.arn, TagKeys: []string{"a"}}},
		"UpdateAlias":          {in: &kms.UpdateAliasInput{AliasName: alias, TargetKeyId: g.sym.arn}},
		"UpdateCustomKeyStore": {in: &kms.UpdateCustomKeyStoreInput{CustomKeyStoreId: store, NewCustomKeyStoreName: aws.String("t")}, own: true, absent: noStore},
		"UpdateKeyDescription": {in: &kms.UpdateKeyDescriptionInput{KeyId: g.sym.arn, Description: aws.String("d")}},
		"UpdatePrimaryRegion":  {in: &kms.UpdatePrimaryRegionInput{KeyId: g.mr.arn, PrimaryRegion: aws.String("eu-west-1")}},
		"Verify":               {in: &kms.VerifyInput{KeyId: g.sign.arn, Message: d, SigningAlgorithm: "ECDSA_SHA_256", Signature: d}, key: g.sign},
		"VerifyMac":            {in: &kms.VerifyMacInput{KeyId: g.mac.arn, Message: d, MacAlgorithm: "HMAC_SHA_256", Mac: d}, key: g.mac},
	}
}

// operations lists what the SDK's client can call: a new one cannot be forgotten here.
func operations() (names []string) {
	client := reflect.TypeFor[*kms.Client]()
	for n := range client.NumMethod() {
		m := client.Method(n)
		if m.Type.NumIn() == 4 && m.Type.In(1) == reflect.TypeFor[context.Context]() && m.Type.NumOut() == 2 {
			names = append(names, m.Name)
		}
	}
	return names
}

// call calls an operation by its name.
func call(ctx context.Context, c *kms.Client, operation string, in any) error {
	out := reflect.ValueOf(c).MethodByName(operation).Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(in)})
	err, _ := out[1].Interface().(error)
	return err
}

// refused checks the exact exception, and that its sentence begins so.
func refused(t testing.TB, err error, code, begins string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.HasPrefix(e.ErrorMessage(), begins) {
		t.Errorf("%v; want %s: %s…", err, code, begins)
	}
}

// TestNobodyGetsIn tries every operation of KMS as everybody who must not have it, and looks whether anything changed.
func TestNobodyGetsIn(t *testing.T) {
	g := newGate(t)
	all := operations()
	trials := g.trials()
	if len(all) < 56 || len(trials) != len(all) {
		t.Errorf("%d operations, %d trials", len(all), len(trials))
	}
	ours := g.grant(t, g.sym, "DescribeKey")
	for _, in := range []any{trials["RetireGrant"].in, trials["RevokeGrant"].in} {
		reflect.ValueOf(in).Elem().FieldByName("GrantId").Set(reflect.ValueOf(ours))
	}
	before := g.dump()
	for _, operation := range all {
		t.Run(operation, func(t *testing.T) {
			trial, ok := trials[operation]
			if !ok {
				t.Fatal("is not tried")
			}
			action := cmp.Or(trial.action, operation)
			denied := func(who, account, user string) string {
				return "User: arn:aws:iam::" + account + ":user/" + user + " is not authorized to perform: kms:" + action
			}
			if operation != "DescribeKey" { // which the grant above allows
				refused(t, call(t.Context(), g.nobody, operation, trial.in), "AccessDeniedException", denied("nobody", DefaultAccount, "nobody"))
			}
			refused(t, call(t.Context(), g.expired, operation, trial.in), "ExpiredTokenException", "The security token included in the request is expired")
			switch {
			case !trial.own:
				refused(t, call(t.Context(), g.stranger, operation, trial.in), "AccessDeniedException", denied("stranger", strangerAccount, "admin"))
			case trial.absent != "":
				refused(t, call(t.Context(), g.stranger, operation, trial.in), trial.absent, "")
			}
			if after := g.dump(); !slices.Equal(before, after) {
				t.Errorf("something changed:\n%s", difference(before, after))
			}
		})
	}
}

// TestGrantsGiveNoMore has for every operation that grants can allow a grant of all others, one that is constrained to
// another encryption context, and, so that these tests can fail, one that allows it.
func TestGrantsGiveNoMore(t *testing.T) {
	g := newGate(t)
	trials := g.trials()
	for _, operation := range operations() {
		trial := trials[operation]
		if trial.key.id == nil {
			continue
		}
		t.Run(operation, func(t *testing.T) {
			g.tryGrants(t, operation, trial)
		})
	}
}

func (g *gate) tryGrants(t *testing.T, operation string, trial trial) {
	action := cmp.Or(trial.action, operation)
	denied := "User: " + g.grantee + " is not authorized to perform: kms:" + action
	others := slices.DeleteFunc(g.grantable(t, trial.key), func(o types.GrantOperation) bool { return o == types.GrantOperation(action) })
	try := func(grantID *string) error {
		if in, ok := trial.in.(*kms.RetireGrantInput); ok {
			in.GrantId = grantID
		}
		defer g.revoke(t, trial.key, grantID)
		before := g.dump()
		err := call(t.Context(), g.nobody, operation, trial.in)
		var e smithy.APIError
		if errors.As(err, &e) && e.ErrorCode() == "AccessDeniedException" && !slices.Equal(before, g.dump()) {
			t.Errorf("something changed:\n%s", difference(before, g.dump()))
		}
		return err
	}
	refused(t, try(g.grant(t, trial.key, others...)), "AccessDeniedException", denied)
	if trial.encrypts {
		elsewhere := &types.GrantConstraints{EncryptionContextEquals: map[string]string{"a": "2"}}
		refused(t, try(g.constrained(t, trial.key, elsewhere, g.grantable(t, trial.key)...)), "AccessDeniedException", denied)
		here := &types.GrantConstraints{EncryptionContextSubset: granted}
		if err := try(g.constrained(t, trial.key, here, g.grantable(t, trial.key)...)); err != nil {
			t.Errorf("constrained to what it is: %v", err)
		}
	}
	var e smithy.APIError
	if err := try(g.grant(t, trial.key, g.grantable(t, trial.key)...)); errors.As(err, &e) && e.ErrorCode() == "AccessDeniedException" {
		t.Errorf("with the grant: %v", err)
	}
}

// TestForeignUseIsInBothTrails: a call that was let in from another account is in the owner's trail as well, and
// GetKeyLastUsage names the owner's record; a refused one is no business of the owner's.
func TestForeignUseIsInBothTrails(t *testing.T) {
	g := newGate(t)
	ctx := t.Context()
	in := &kms.EncryptInput{KeyId: g.sym.arn, Plaintext: []byte("x")}
	if _, err := g.stranger.Encrypt(ctx, in); err == nil {
		t.Fatal("a stranger was let in")
	}
	_, err := g.admin.CreateGrant(ctx, &kms.CreateGrantInput{
		KeyId: g.sym.id, GranteePrincipal: aws.String(arn.User(strangerAccount, "admin")), Operations: []types.GrantOperation{"Encrypt"}})
	g.must(err)
	_, err = g.stranger.Encrypt(ctx, in)
	g.must(err)
	encrypts := func(c aws.Config) (all []map[string]any) {
		t.Helper()
		found, err := cloudtrail.NewFromConfig(c).LookupEvents(ctx, &cloudtrail.LookupEventsInput{LookupAttributes: []trailtypes.LookupAttribute{
			{AttributeKey: trailtypes.LookupAttributeKeyEventName, AttributeValue: aws.String("Encrypt")}}})
		g.must(err)
		for _, e := range found.Events {
			var record map[string]any
			g.must(json.Unmarshal([]byte(*e.CloudTrailEvent), &record))
			all = append(all, record)
		}
		return all
	}
	theirs, ours := encrypts(g.strangers), encrypts(g.config(g.accessKeyID, string(g.secretKey.Expose()), ""))
	if len(theirs) != 2 || len(ours) != 2 || theirs[1]["errorCode"] != "AccessDenied" || theirs[1]["sharedEventID"] != nil {
		t.Fatalf("theirs: %v\nours: %v", theirs, ours) // of ours the older one is what newGate did
	}
	if theirs[0]["sharedEventID"] != ours[0]["sharedEventID"] || ours[0]["sharedEventID"] == nil || theirs[0]["eventID"] == ours[0]["eventID"] ||
		theirs[0]["requestID"] != ours[0]["requestID"] {
		t.Errorf("theirs: %v\nours: %v", theirs[0], ours[0])
	}
	used, err := g.admin.GetKeyLastUsage(ctx, &kms.GetKeyLastUsageInput{KeyId: g.sym.id})
	g.must(err)
	if *used.KeyLastUsage.CloudTrailEventId != ours[0]["eventID"] {
		t.Errorf("last used by %s, recorded as %s", *used.KeyLastUsage.CloudTrailEventId, ours[0]["eventID"])
	}
}

// grantable are the operations that a grant for a key can have.
func (g *gate) grantable(t testing.TB, k key) []types.GrantOperation {
	t.Helper()
	if fit := g.fit[*k.id]; fit != nil {
		return slices.Clone(fit)
	}
	var fit []types.GrantOperation
	for _, o := range types.GrantOperation("").Values() {
		_, err := g.admin.CreateGrant(t.Context(), &kms.CreateGrantInput{
			KeyId: k.id, GranteePrincipal: &g.grantee, Operations: []types.GrantOperation{o}, DryRun: aws.Bool(true)})
		var e smithy.APIError
		if errors.As(err, &e) && e.ErrorCode() == "DryRunOperationException" {
			fit = append(fit, o)
		}
	}
	g.fit[*k.id] = fit
	return slices.Clone(fit)
}

func (g *gate) grant(t testing.TB, k key, operations ...types.GrantOperation) *string {
	t.Helper()
	return g.constrained(t, k, nil, operations...)
}

func (g *gate) constrained(t testing.TB, k key, c *types.GrantConstraints, operations ...types.GrantOperation) *string {
	t.Helper()
	out, err := g.admin.CreateGrant(t.Context(), &kms.CreateGrantInput{KeyId: k.id, GranteePrincipal: &g.grantee, Operations: operations, Constraints: c})
	if err != nil {
		t.Fatal(err)
	}
	return out.GrantId
}

// revoke ends a grant, if it was not retired.
func (g *gate) revoke(t testing.TB, k key, id *string) {
	t.Helper()
	_, err := g.admin.RevokeGrant(t.Context(), &kms.RevokeGrantInput{KeyId: k.id, GrantId: id})
	if gone := (*types.NotFoundException)(nil); err != nil && !errors.As(err, &gone) {
		t.Fatal(err)
	}
}

// difference is the lines that are not in both.
func difference(before, after []string) string {
	var b strings.Builder
	for _, line := range before {
		if !slices.Contains(after, line) {
			b.WriteString("- " + line + "\n")
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			b.WriteString("+ " + line + "\n")
		}
	}
	return b.String()
}

// TestCallerAccountOfOperationsOnNoKey: KMS's condition key is there for operations that IAM alone decides, those on key
// stores included.
func TestCallerAccountOfOperationsOnNoKey(t *testing.T) {
	g := newGate(t)
	for account, may := range map[string]bool{DefaultAccount: true, strangerAccount: false} {
		_, err := iam.NewFromConfig(g.config(g.accessKeyID, string(g.secretKey.Expose()), "")).PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{
			UserName: aws.String("nobody"), PolicyName: aws.String("p"), PolicyDocument: aws.String(
				`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:CallerAccount":"` + account + `"}}}}`)})
		g.must(err)
		for operation, in := range map[string]any{
			"ListKeys": &kms.ListKeysInput{}, "GenerateRandom": &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1)},
			"DescribeCustomKeyStores": &kms.DescribeCustomKeyStoresInput{}, "CreateKey": &kms.CreateKeyInput{},
		} {
			if err := call(t.Context(), g.nobody, operation, in); (err == nil) != may {
				t.Errorf("%s in %s: %v", operation, account, err)
			}
		}
	}
}
