package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"keyward/internal/fault"
	keys "keyward/internal/kms"
)

const explainPath = "/explain"

// Question is what `keyward admin explain` asks.
type Question struct {
	Principal string   // ARN of a user, a role, a role's session or a root user
	Action    string   // such as "kms:Encrypt"
	Key       string   // id, alias or ARN; empty for actions on no key
	Context   []string // further condition keys, "name=value"; a name can stand several times
	// EncryptionContext of the call, "name=value".
	EncryptionContext []string
}

// Answer says whether the principal may, and by what.
type Answer struct {
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`
	By      string `json:"by"`      // the statement or grant that decided, or the kind of policy that is missed
	Through string `json:"through"` // what of the key's left the decision to IAM policies
	Message string `json:"message"` // what a caller would be told
}

// explain answers a question. What the question itself is wrong about is a bad request.
func (i *installation) explain(w http.ResponseWriter, r *http.Request) {
	if !i.serving.Load() {
		http.Error(w, "the installation is still starting", http.StatusServiceUnavailable)
		return
	}
	answer, err := i.explained(r.Context(), r.URL.Query())
	if f, ok := fault.As(err); ok {
		http.Error(w, f.Message, http.StatusBadRequest)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client is gone if this fails
}

func (i *installation) explained(ctx context.Context, q url.Values) (*Answer, error) {
	p, err := i.identity.PrincipalNamed(ctx, q.Get("principal"))
	if errors.Is(err, fault.ErrNotFound) {
		return nil, fault.New("", "there is no principal %q", q.Get("principal"))
	}
	if err != nil {
		return nil, err
	}
	e := keys.Explain{Principal: p, Region: i.config.Region, Action: q.Get("action"), Key: q.Get("key")}
	if e.Context, err = pairs(q["context"]); err != nil {
		return nil, err
	}
	encryption, err := pairs(q["encryption-context"])
	if err != nil {
		return nil, err
	}
	for name, values := range encryption {
		if e.EncryptionContext == nil {
			e.EncryptionContext = map[string]string{}
		}
		e.EncryptionContext[name] = values[len(values)-1]
	}
	d, err := i.keys.Explain(ctx, e)
	if err != nil {
		return nil, err
	}
	answer := &Answer{Allowed: d.Allowed, Reason: string(d.Reason), By: d.By.String(), Message: d.Message}
	if d.Through.Kind != "" || d.Through.Grant != "" {
		answer.Through = d.Through.String()
	}
	return answer, nil
}

// pairs reads "name=value" texts.
func pairs(texts []string) (map[string][]string, error) {
	var all map[string][]string
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fault.New("", "%q is not NAME=VALUE", text)
		}
		if all == nil {
			all = map[string][]string{}
		}
		all[name] = append(all[name], value)
	}
	return all, nil
}

// AskPermission has the installation that runs on dir decide as it would decide a call, and say why.
func AskPermission(ctx context.Context, dir string, q Question) (answer Answer, err error) {
	query := url.Values{
		"principal": {q.Principal}, "action": {q.Action}, "key": {q.Key},
		"context": q.Context, "encryption-context": q.EncryptionContext,
	}
	text, err := askAdmin(ctx, dir, http.MethodGet, explainPath+"?"+query.Encode())
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, fmt.Errorf("reading the installation's answer: %w", err)
	}
	return answer, nil
}
