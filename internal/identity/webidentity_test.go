package identity_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"keyward/internal/identity"
)

// issuer is an identity provider on this machine.
type issuer struct {
	*httptest.Server
	keys    atomic.Pointer[[]any]
	name    string // what it calls itself
	asked   atomic.Int32
	private crypto.Signer
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	mux := http.NewServeMux()
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	answer := func(w http.ResponseWriter, v any) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]string{"issuer": i.name, "jwks_uri": i.URL + "/keys?p=policy"}) // as Azure AD B2C has it
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		answer(w, map[string]any{"keys": *i.keys.Load()})
	})
	i.name = i.URL
	i.rotate(t, "first")
	return i
}

// rotate makes the issuer sign with a new key.
func (i *issuer) rotate(t *testing.T, id string) {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.private = k
	i.keys.Store(&[]any{jose.JSONWebKey{Key: k.Public(), KeyID: id, Algorithm: "RS256", Use: "sig"}})
}

func (i *issuer) claims() map[string]any {
	now := time.Now()
	return map[string]any{"iss": i.name, "aud": "app", "sub": "repo:x", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
}

// sign makes a token; alg and key may be others than the issuer's.
func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, id string, claims any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", id))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// federated makes the issuer a provider of the account, with a role for its subject.
func (w *world) federated(i *issuer) (role *string) {
	w.Helper()
	p, err := w.iam(w.admin).CreateOpenIDConnectProvider(w.Context(), &iam.CreateOpenIDConnectProviderInput{Url: &i.name, ClientIDList: []string{"app"}})
	w.must(err)
	host := strings.TrimPrefix(i.name, "http://")
	return w.role("web", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"`+*p.OpenIDConnectProviderArn+`"},
		"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"`+host+`:aud":"app"},"StringLike":{"`+host+`:sub":"repo:*"}}}]}`, listKeys)
}

func (w *world) web(role *string, token string) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	c := w.config(aws.Credentials{})
	c.Credentials = aws.AnonymousCredentials{}
	return sts.NewFromConfig(c).AssumeRoleWithWebIdentity(context.Background(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: role, RoleSessionName: aws.String("job"), WebIdentityToken: &token,
	})
}

func TestAssumeRoleWithWebIdentity(t *testing.T) {
	w, i := newWorld(t), newIssuer(t)
	role := w.federated(i)
	token := sign(t, jose.RS256, i.private, "first", i.claims())
	out, err := w.web(role, token)
	w.must(err)
	s := session(out.Credentials)
	if got := w.whoami(s); got != "arn:aws:sts::"+account+":assumed-role/web/job" || *out.SubjectFromWebIdentityToken != "repo:x" || *out.Audience != "app" {
		t.Errorf("authenticated as %s, %+v", got, out)
	}
	if got := w.listKeys(s); got != "" {
		t.Errorf("the role may not list keys: %s", got)
	}
	e := w.lastEvent("AssumeRoleWithWebIdentity")
	for _, part := range []string{`"type":"WebIdentityUser"`, `"userName":"repo:x"`, `"identityProvider":"arn:aws:iam::` + account + `:oidc-provider/127.0.0.1`} {
		if !strings.Contains(e, part) {
			t.Errorf("event %s lacks %s", e, part)
		}
	}
	if strings.Contains(strings.Join(w.events(), ""), token) {
		t.Error("the token is in the events")
	}
	if n := i.asked.Load(); n != 1 {
		t.Errorf("keys were fetched %d times", n)
	}
}

func TestTokensThatProveNothing(t *testing.T) {
	w, i := newWorld(t), newIssuer(t)
	role := w.federated(i)
	forger, err := rsa.GenerateKey(rand.Reader, 2048)
	w.must(err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	with := func(name string, value any) map[string]any {
		c := i.claims()
		c[name] = value
		return c
	}
	good := sign(t, jose.RS256, i.private, "first", i.claims())
	parts := strings.Split(good, ".")
	for what, c := range map[string]struct{ token, code string }{
		"no token":                      {"xxxx", "InvalidIdentityToken"},
		"unsigned":                      {"eyJhbGciOiJub25lIn0." + parts[1] + ".", "InvalidIdentityToken"},
		"the public key as HMAC secret": {sign(t, jose.HS256, i.private.Public().(*rsa.PublicKey).N.Bytes(), "first", i.claims()), "InvalidIdentityToken"},
		"another's key":                 {sign(t, jose.RS256, forger, "first", i.claims()), "InvalidIdentityToken"},
		"another kind of key":           {sign(t, jose.ES256, curve, "first", i.claims()), "InvalidIdentityToken"},
		"an unknown key":                {sign(t, jose.RS256, i.private, "second", i.claims()), "InvalidIdentityToken"},
		"changed":                       {parts[0] + "." + strings.Split(sign(t, jose.RS256, i.private, "first", with("sub", "repo:y")), ".")[1] + "." + parts[2], "InvalidIdentityToken"},
		"the issuer and a slash":        {sign(t, jose.RS256, i.private, "first", with("iss", i.URL+"/")), "InvalidIdentityToken"},
		"another issuer":                {sign(t, jose.RS256, i.private, "first", with("iss", "https://issuer.example")), "InvalidIdentityToken"},
		"the issuer over TLS":           {sign(t, jose.RS256, i.private, "first", with("iss", strings.Replace(i.URL, "http", "https", 1))), "InvalidIdentityToken"},
		"for somebody else":             {sign(t, jose.RS256, i.private, "first", with("aud", "other")), "InvalidIdentityToken"},
		"expired":                       {sign(t, jose.RS256, i.private, "first", with("exp", time.Now().Add(-5*time.Minute-time.Second).Unix())), "ExpiredTokenException"},
		"without an end":                {sign(t, jose.RS256, i.private, "first", with("exp", nil)), "InvalidIdentityToken"},
		"without a beginning":           {sign(t, jose.RS256, i.private, "first", with("iat", nil)), "InvalidIdentityToken"},
		"expired by a slow clock":       {sign(t, jose.RS256, i.private, "first", with("exp", time.Now().Add(-4*time.Minute).Unix())), ""},
		"not valid yet":                 {sign(t, jose.RS256, i.private, "first", with("nbf", time.Now().Add(time.Hour).Unix())), "InvalidIdentityToken"},
		"without a subject":             {sign(t, jose.RS256, i.private, "first", with("sub", "")), "InvalidIdentityToken"},
		"a subject not wanted":          {sign(t, jose.RS256, i.private, "first", with("sub", "user:x")), "AccessDenied"},
	} {
		if _, err := w.web(role, c.token); code(err) != c.code {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := w.web(aws.String(*role+"x"), good); code(err) != "AccessDenied" {
		t.Errorf("no such role: %v", err)
	}
	plain := w.role("plain", trusting("arn:aws:iam::"+account+":root"), listKeys)
	if _, err := w.web(plain, good); code(err) != "AccessDenied" {
		t.Errorf("a role that does not trust the provider: %v", err)
	}
}

func TestNewKeysOfAProvider(t *testing.T) {
	w, i := newWorld(t), newIssuer(t)
	role := w.federated(i)
	w.stop() // making a key can take longer than keys are not asked for again
	_, err := w.web(role, sign(t, jose.RS256, i.private, "first", i.claims()))
	w.must(err)
	i.rotate(t, "second")
	token := sign(t, jose.RS256, i.private, "second", i.claims())
	if _, err := w.web(role, token); code(err) != "InvalidIdentityToken" || i.asked.Load() != 1 {
		t.Errorf("keys were fetched %d times: %v", i.asked.Load(), err)
	}
	w.ahead.Store(int64(10 * time.Second)) // strangers cannot make keyward ask more often
	_, err = w.web(role, token)
	w.must(err)
	if n := i.asked.Load(); n != 2 {
		t.Errorf("keys were fetched %d times", n)
	}
}

// TestStrangersDoNotLearnWhichRolesThereAre has no answer differ by the role as long as nobody vouches for who asks.
func TestStrangersDoNotLearnWhichRolesThereAre(t *testing.T) {
	w, i := newWorld(t), newIssuer(t)
	role := w.federated(i)
	late := i.claims()
	late["exp"] = time.Now().Add(-time.Hour).Unix()
	for what, token := range map[string]string{
		"no token": "xxxx", "nobody's token": sign(t, jose.RS256, i.private, "second", i.claims()), "an old token": sign(t, jose.RS256, i.private, "first", late),
	} {
		_, there := w.web(role, token)
		_, none := w.web(aws.String(*role+"x"), token)
		if code(there) == "AccessDenied" || code(there) != code(none) || message(there) != message(none) {
			t.Errorf("%s: %v, %v", what, there, none)
		}
	}
	_, err := w.web(aws.String(*role+"x"), sign(t, jose.RS256, i.private, "first", i.claims()))
	w.refused("no such role", err, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	if e := w.lastEvent("AssumeRoleWithWebIdentity"); !strings.Contains(e, `"userName":"repo:x"`) || !strings.Contains(e, account) {
		t.Errorf("event %s does not say who asked", e)
	}
}

func TestTagsOfProviders(t *testing.T) {
	w := newWorld(t)
	admin, ctx := w.iam(w.admin), t.Context()
	made, err := admin.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://issuer.example")})
	w.must(err)
	name := made.OpenIDConnectProviderArn
	_, err = admin.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: name, Tags: []types.Tag{
		{Key: aws.String("team"), Value: aws.String("red")}, {Key: aws.String("Team"), Value: aws.String("blue")},
	}})
	w.must(err)
	list := func() string {
		return w.tagByTag(func(marker *string) ([]types.Tag, *string) {
			p, err := admin.ListOpenIDConnectProviderTags(ctx, &iam.ListOpenIDConnectProviderTagsInput{
				OpenIDConnectProviderArn: name, MaxItems: aws.Int32(1), Marker: marker,
			})
			w.must(err)
			return p.Tags, p.Marker
		})
	}
	if got := list(); got != "Team=blue team=red " {
		t.Errorf("tags %s", got)
	}
	_, err = admin.UntagOpenIDConnectProvider(ctx, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: name, TagKeys: []string{"Team"}})
	w.must(err)
	if got := list(); got != "team=red " {
		t.Errorf("tags %s", got)
	}

	for team, want := range map[string]string{"blue": "AccessDenied", "red": ""} {
		alice := w.user(team, `{"Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"`+team+`"}}}]}`)
		_, err := w.iam(alice).GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: name})
		if code(err) != want {
			t.Errorf("who may look at %s's: %v", team, err)
		}
	}
}

// TestASlashIsPartOfTheName has an issuer that calls itself as Auth0's do.
func TestASlashIsPartOfTheName(t *testing.T) {
	w, i := newWorld(t), newIssuer(t)
	i.name += "/"
	role := w.federated(i)
	out, err := w.web(role, sign(t, jose.RS256, i.private, "first", i.claims()))
	w.must(err)
	if want := "arn:aws:iam::" + account + ":oidc-provider/" + strings.TrimPrefix(i.name, "http://"); *out.Provider != want {
		t.Errorf("provider %s, not %s", *out.Provider, want)
	}
	claims := i.claims()
	claims["iss"] = i.URL
	if _, err := w.web(role, sign(t, jose.RS256, i.private, "first", claims)); code(err) != "InvalidIdentityToken" {
		t.Errorf("without it: %v", err)
	}
}

func TestKeysThatAreForOthers(t *testing.T) {
	w, i := newWorld(t), newIssuer(t)
	role := w.federated(i)
	own := (*i.keys.Load())[0]
	keys := []any{
		map[string]string{"kty": "OKP", "crv": "X25519", "kid": "first", "x": "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"},
		map[string]string{"kty": "EC", "crv": "secp256k1", "kid": "first", "x": "AA", "y": "AA"},
		map[string]string{"kty": "oct", "kid": "first", "k": "AAAA"}, "no key", own,
	}
	i.keys.Store(&keys)
	token := sign(t, jose.RS256, i.private, "first", i.claims())
	_, err := w.web(role, token)
	w.must(err)

	for range 100 {
		keys = append(keys, own)
	}
	i.keys.Store(&keys)
	w.ahead.Store(int64(11 * time.Minute))
	_, err = w.web(role, token)
	w.refused("more than 100 of a kind", err, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider, "+
		"please reference AssumeRoleWithWebIdentity documentation for requirements")
}

func TestProvidersThatAreOutOfReach(t *testing.T) {
	w, i := newWorld(t), newIssuer(t)
	role := w.federated(i)
	token := sign(t, jose.RS256, i.private, "first", i.claims())
	i.Close()
	_, err := w.web(role, token)
	w.refused("down", err, "IDPCommunicationError", "Error communicating with identity provider.")
}

// TestProvidersElsewhereDoNotLeadHere has an issuer over TLS point at what listens on this machine without.
func TestProvidersElsewhereDoNotLeadHere(t *testing.T) {
	plain := newIssuer(t)
	for _, way := range []string{"jwks_uri", "redirect"} {
		var elsewhere *httptest.Server
		elsewhere = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			keys := map[string]string{"jwks_uri": plain.URL, "redirect": elsewhere.URL}[way] + "/keys"
			if r.URL.Path == "/keys" {
				http.Redirect(w, r, plain.URL+"/keys", http.StatusFound)
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]string{"issuer": elsewhere.URL, "jwks_uri": keys})
		}))
		t.Cleanup(elsewhere.Close)
		w := newWorld(t)
		w.identity = identity.New(identity.Config{Store: w.db.Identity(), Sealer: w.root, Now: w.now, Client: elsewhere.Client()})
		w.serve()
		i := &issuer{name: elsewhere.URL}
		_, err := w.web(w.federated(i), sign(t, jose.RS256, plain.private, "first", i.claims()))
		w.refused(way, err, "IDPCommunicationError", "Error communicating with identity provider.")
	}
	if n := plain.asked.Load(); n != 0 {
		t.Errorf("what listens here was asked %d times", n)
	}
}

// TestStrangersDoNotMakeKeywardForgetKeys sends a token of an unknown key while the provider is away for a moment.
func TestStrangersDoNotMakeKeywardForgetKeys(t *testing.T) {
	w, i := newWorld(t), newIssuer(t)
	role := w.federated(i)
	good := sign(t, jose.RS256, i.private, "first", i.claims())
	_, err := w.web(role, good)
	w.must(err)
	i.Close()
	w.ahead.Store(int64(11 * time.Second))
	_, err = w.web(role, sign(t, jose.RS256, i.private, "second", i.claims()))
	w.refused("an unknown key", err, "IDPCommunicationError", "Error communicating with identity provider.")
	_, err = w.web(role, good)
	w.must(err)
	w.ahead.Store(int64(11 * time.Minute))
	_, err = w.web(role, good)
	w.refused("with old keys", err, "IDPCommunicationError", "Error communicating with identity provider.")
}

func TestWhereIssuersMayBe(t *testing.T) {
	w := newWorld(t)
	for address, want := range map[string]string{
		"https://issuer.example/a": "", "http://127.0.0.1:1": "", "http://[::1]:1": "",
		"http://issuer.example": "ValidationError", "http://localhost:1": "ValidationError", "http://10.0.0.1": "ValidationError",
		"ftp://issuer.example": "ValidationError", "issuer.example": "ValidationError", "https://u:p@issuer.example": "ValidationError",
		"https://issuer.example?q": "ValidationError",
	} {
		_, err := w.iam(w.admin).CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{Url: &address, ClientIDList: []string{"app"}})
		if code(err) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
	all, err := w.iam(w.admin).ListOpenIDConnectProviders(t.Context(), &iam.ListOpenIDConnectProvidersInput{})
	w.must(err)
	for _, p := range all.OpenIDConnectProviderList {
		_, err := w.iam(w.admin).DeleteOpenIDConnectProvider(t.Context(), &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: p.Arn})
		w.must(err)
	}
	if len(all.OpenIDConnectProviderList) != 3 {
		t.Errorf("%d providers", len(all.OpenIDConnectProviderList))
	}
}

func TestOnlyWebIdentityNeedsNoSignature(t *testing.T) {
	w := newWorld(t)
	for _, action := range []string{"GetCallerIdentity", "GetSessionToken", "AssumeRole", "NoSuchAction"} {
		r, err := http.Post(w.url, "application/x-www-form-urlencoded", strings.NewReader("Version=2011-06-15&Action="+action))
		w.must(err)
		w.must(r.Body.Close())
		if r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", action, r.Status)
		}
	}
	if n := len(w.events()); n != 0 {
		t.Errorf("%d events of calls from nobody", n)
	}
}

// TestTokensThatGiveTags: a token's tags and source identity are the session's, if the role lets them be, and go on.
func TestTokensThatGiveTags(t *testing.T) {
	w, i := newWorld(t), newIssuer(t)
	w.federated(i)
	host := strings.TrimPrefix(i.URL, "http://")
	trust := func(actions string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::` + account + `:oidc-provider/` + host + `"},"Action":` + actions + `,
			"Condition":{"StringEquals":{"` + host + `:aud":"app"},"StringLikeIfExists":{"aws:RequestTag/team":"r*"}}}]}`
	}
	onlyRed := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:ListKeys","sts:*"],"Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"red"}}}]}`
	tagged := w.role("tagged", trust(`["sts:AssumeRoleWithWebIdentity","sts:TagSession","sts:SetSourceIdentity"]`), onlyRed)
	untagged := w.role("untagged", trust(`"sts:AssumeRoleWithWebIdentity"`), onlyRed)
	next := w.role("next", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+*tagged+`"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`, onlyRed)
	token := func(claims map[string]any) string {
		all := i.claims()
		for name, value := range claims {
			all[name] = value
		}
		return sign(t, jose.RS256, i.private, "first", all)
	}
	nested := map[string]any{"https://aws.amazon.com/tags": map[string]any{
		"principal_tags": map[string]any{"Team": []string{"red"}, "desk": []string{"4"}}, "transitive_tag_keys": []string{"Team"},
	}}
	flat := map[string]any{
		"https://aws.amazon.com/tags/principal_tags/Team":   "red",
		"https://aws.amazon.com/tags/transitive_tag_keys":   []string{"Team"},
		"https://aws.amazon.com/source_identity":            "jane",
		"https://aws.amazon.com/tags/principal_tags/office": []string{"b"},
	}
	for name, claims := range map[string]map[string]any{"nested": nested, "flat": flat} {
		out, err := w.web(tagged, token(claims))
		w.must(err)
		s := session(out.Credentials)
		if got := w.listKeys(s); got != "" {
			t.Errorf("%s: the tag does not count: %s", name, got)
		}
		if got := aws.ToString(out.SourceIdentity); (name == "flat") != (got == "jane") {
			t.Errorf("%s: source identity %q", name, got)
		}
		if got := w.listKeys(w.assumed(s, next)); got != "" {
			t.Errorf("%s: the transitive tag does not go on: %s", name, got)
		}
		if _, err := w.web(untagged, token(claims)); code(err) != "AccessDenied" {
			t.Errorf("%s, without sts:TagSession: %v", name, err)
		}
	}
	if _, err := w.web(tagged, token(map[string]any{"https://aws.amazon.com/source_identity": "jane"})); err != nil {
		t.Errorf("a source identity alone: %v", err)
	}
	if out, err := w.web(untagged, token(nil)); err != nil {
		t.Errorf("no tags: %v", err)
	} else if got := w.listKeys(session(out.Credentials)); got != "AccessDeniedException" {
		t.Errorf("no tags: %q", got)
	}
	if e := strings.Join(w.events(), ""); !strings.Contains(e, `"principalTags":{"Team":"red","desk":"4"},"transitiveTagKeys":["Team"]`) {
		t.Errorf("no event tells of the tags")
	}
	many := map[string]any{}
	for n := range 51 {
		many[string(rune('a'+n%26))+strings.Repeat("x", n)] = []string{"v"}
	}
	for what, c := range map[string]struct{ claim, value any }{
		"two values":              {"https://aws.amazon.com/tags/principal_tags/Team", []string{"red", "blue"}},
		"no value":                {"https://aws.amazon.com/tags/principal_tags/Team", []string{}},
		"a number":                {"https://aws.amazon.com/tags/principal_tags/Team", 4},
		"no key":                  {"https://aws.amazon.com/tags/principal_tags/", "red"},
		"a long value":            {"https://aws.amazon.com/tags/principal_tags/Team", strings.Repeat("r", 257)},
		"a character":             {"https://aws.amazon.com/tags/principal_tags/Team", "r<d"},
		"too many":                {"https://aws.amazon.com/tags", map[string]any{"principal_tags": many}},
		"a short source identity": {"https://aws.amazon.com/source_identity", "j"},
		"tags that are no object": {"https://aws.amazon.com/tags", "Team"},
	} {
		if _, err := w.web(tagged, token(map[string]any{c.claim.(string): c.value})); code(err) != "InvalidIdentityToken" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := w.web(tagged, token(map[string]any{"https://aws.amazon.com/tags/transitive_tag_keys": []string{"Team"}})); code(err) != "InvalidParameterValue" {
		t.Errorf("a transitive key without tag: %v", err)
	}
	if _, err := w.web(tagged, token(map[string]any{"https://aws.amazon.com/tags/principal_tags/Team": "blue"})); code(err) != "AccessDenied" {
		t.Errorf("a tag that the trust policy does not want: %v", err)
	}
}
