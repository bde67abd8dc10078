package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"keyward/internal/identity"
)

const accountsPath = "/accounts"

// maxAccountName is the longest name of an account (AWS Organizations API Reference, CreateAccount).
const maxAccountName = 50

// Account is one of an installation's.
type Account struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// createAccount makes an account and writes its administrator's access key to DIR/env-ACCOUNT, which only the owner of
// the folder can read. The answer is the file's path.
func (i *installation) createAccount(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	a := identity.Account{ID: q.Get("account"), Name: q.Get("name")}
	switch {
	case !accountForm.MatchString(a.ID):
		http.Error(w, fmt.Sprintf("account %q is not 12 digits", a.ID), http.StatusBadRequest)
		return
	case len(a.Name) > maxAccountName:
		http.Error(w, fmt.Sprintf("the name is longer than %d bytes", maxAccountName), http.StatusBadRequest)
		return
	case !i.serving.Load():
		http.Error(w, "the installation is still starting", http.StatusServiceUnavailable)
		return
	}
	k, secretKey, err := i.identity.CreateAccount(r.Context(), a, q.Get("root") == "true")
	if errors.Is(err, identity.ErrAccountExists) {
		http.Error(w, fmt.Sprintf("account %s exists already", a.ID), http.StatusConflict)
		return
	}
	path := i.config.path("env-" + a.ID)
	if err == nil {
		err = i.environment(k.AccessKeyID, secretKey).write(path)
	}
	if err != nil {
		i.config.Log.Error("making an account", "account", a.ID, "error", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(w, path) // the client is gone if this fails
}

func (i *installation) listAccounts(w http.ResponseWriter, r *http.Request) {
	all, err := i.identity.Accounts(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	list := make([]Account, len(all))
	for n, a := range all {
		list[n] = Account{a.ID, a.Name, a.Created}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // the client is gone if this fails
}

// CreateAccount makes an account, 12 digits, in the installation that runs on dir. name is for people; asRoot asks for an
// access key of the account's root user rather than of its administrator. It returns the path of the file with the key.
func CreateAccount(ctx context.Context, dir, account, name string, asRoot bool) (path string, err error) {
	q := url.Values{"account": {account}, "name": {name}, "root": {fmt.Sprint(asRoot)}}
	text, err := askAdmin(ctx, dir, http.MethodPost, accountsPath+"?"+q.Encode())
	return string(text), err
}

// Accounts lists the accounts of the installation that runs on dir.
func Accounts(ctx context.Context, dir string) (all []Account, err error) {
	text, err := askAdmin(ctx, dir, http.MethodGet, accountsPath)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal(text, &all)
	return all, err
}
