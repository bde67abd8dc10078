package hsmproto

// Code says why an HSM refused. It is the whole of what a client may conclude from; Detail is for people.
type Code string

// Codes. Each names who returns it and what it means to the caller.
const (
	CodeIncorrectCredentials Code = "INCORRECT_CREDENTIALS" // Login: no such user, other role, or wrong password (then counted)
	CodeLocked               Code = "LOCKED"                // Login: five wrong passwords on this HSM; even the right one is refused
	CodeUserLoggedIn         Code = "USER_LOGGED_IN"        // ChangePassword, DeleteUser, exclusive Login: the user has a session of another client
	CodeUserExclusive        Code = "USER_EXCLUSIVE"        // Login, ChangePassword: another client holds the user exclusively
	CodeNotLoggedIn          Code = "NOT_LOGGED_IN"         // the connection has no session (any longer)
	CodePermission           Code = "PERMISSION"            // the session's role may not do this
	CodeUserExists           Code = "USER_EXISTS"
	CodeUserNotFound         Code = "USER_NOT_FOUND"
	CodeUserOwnsKeys         Code = "USER_OWNS_KEYS"
	CodeLastAdmin            Code = "LAST_ADMIN"
	CodeTooManyUsers         Code = "TOO_MANY_USERS"
	CodeBadName              Code = "BAD_NAME"     // Detail is the sentence of cloudhsm-cli.md 2.1
	CodeBadPassword          Code = "BAD_PASSWORD" // Detail is the sentence of cloudhsm-cli.md 2.1
	CodeActivated            Code = "ALREADY_ACTIVATED"
	CodeNotActivated         Code = "NOT_ACTIVATED" // only activation, Info and ListUsers are open to a fresh cluster
	CodeKeyNotFound          Code = "KEY_NOT_FOUND" // absent, or not visible to the session
	CodeKeyAccess            Code = "KEY_ACCESS"    // visible, but only its owner may do this
	CodeKeyExists            Code = "KEY_ID_EXISTS"
	CodeKeyAttribute         Code = "KEY_ATTRIBUTE"    // an attribute of the key forbids this use, or cannot be set so
	CodeKeyAvailability      Code = "KEY_AVAILABILITY" // fewer HSMs than MinHsms
	CodeCapacity             Code = "CAPACITY"
	CodeBadCiphertext        Code = "BAD_CIPHERTEXT" // Decrypt: not made under this key with this AAD
	CodeBadRequest           Code = "BAD_REQUEST"    // malformed or out of limits
	CodeNoSession            Code = "NO_SESSION"     // all sessions are in use; may be tried again
	// CodeUnavailable: the HSM cannot reach agreement with its cluster just now (no leader, fewer HSMs than needed).
	// Nothing was done, or it cannot be known whether it was. Reads and cryptography do not need agreement, once the
	// HSM has joined and, after a start, replayed its log.
	CodeUnavailable Code = "UNAVAILABLE"
	CodeInternal    Code = "INTERNAL"
)

// Error is a refusal by an HSM.
type Error struct {
	Code   Code   `cbor:"1,keyasint"`
	Detail string `cbor:"2,keyasint,omitempty"`
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return "hsm: " + string(e.Code)
	}
	return "hsm: " + string(e.Code) + ": " + e.Detail
}

// Is makes errors.Is compare codes: errors.Is(err, &Error{Code: CodeLocked}).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}
