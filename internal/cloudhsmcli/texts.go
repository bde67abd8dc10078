package cloudhsmcli

import (
	"context"
	"errors"
	"fmt"

	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
)

// failure is an error whose text is meant for the operator as it stands.
type failure string

func (f failure) Error() string { return string(f) }

func failf(format string, args ...any) error { return failure(fmt.Sprintf(format, args...)) }

// Texts that AWS documents or the field reports, or that scripts may rely on (cloudhsm-cli.md section 2.1).
const (
	textNotLoggedIn    = failure("User is not logged in")
	textMismatch       = failure("Passwords do not match")
	textUnreachable    = failure("Unable to connect to the cluster")
	textUntrusted      = failure("The HSM certificate could not be verified against the configured CA")
	textAmbiguous      = failure("The cluster did not confirm the request, which may or may not have been carried out")
	textUnavailable    = failure("The cluster cannot carry out the request at the moment")
	textInterrupted    = failure("Interrupted")
	textNotDestroyable = failure("The key is not destroyable")
)

func matched(n int) error {
	return failf("Key selection criteria matched %d keys. Refine selection criteria to select a single key.", n)
}

// loginFailed prefixes what Login refuses.
type loginFailed struct{ error }

func (l loginFailed) Unwrap() error { return l.error }

// text is what stands under "data" for err.
func text(err error) string {
	var (
		own     failure
		login   loginFailed
		refusal *hsmproto.Error
	)
	switch {
	case errors.As(err, &own):
		return own.Error()
	case errors.Is(err, hsmclient.ErrUntrusted):
		return textUntrusted.Error()
	case errors.Is(err, hsmclient.ErrAmbiguous):
		return textAmbiguous.Error()
	case errors.Is(err, context.Canceled):
		return textInterrupted.Error()
	case errors.Is(err, hsmclient.ErrUnreachable):
		return textUnreachable.Error()
	case errors.As(err, &login) && errors.As(err, &refusal):
		return loginText(refusal)
	case errors.As(err, &refusal):
		return refusalText(refusal)
	default:
		return err.Error()
	}
}

func loginText(refusal *hsmproto.Error) string {
	switch refusal.Code {
	case hsmproto.CodeIncorrectCredentials, hsmproto.CodeUserNotFound:
		return "Login failed: Incorrect authentication credentials"
	case hsmproto.CodeLocked:
		return "Login failed: User account is locked"
	default:
		return refusalText(refusal)
	}
}

var refusalTexts = map[hsmproto.Code]string{
	hsmproto.CodeIncorrectCredentials: "Login failed: Incorrect authentication credentials",
	hsmproto.CodeLocked:               "Login failed: User account is locked",
	hsmproto.CodeUserLoggedIn:         "User is currently logged in",
	hsmproto.CodeUserExclusive:        "User is in exclusive use",
	hsmproto.CodeNotLoggedIn:          textNotLoggedIn.Error(),
	hsmproto.CodePermission:           "Operation not permitted for the current user role",
	hsmproto.CodeUserExists:           "User already exists",
	hsmproto.CodeUserNotFound:         "User does not exist",
	hsmproto.CodeUserOwnsKeys:         "User owns keys and cannot be deleted",
	hsmproto.CodeLastAdmin:            "The last admin cannot be deleted",
	hsmproto.CodeTooManyUsers:         "The maximum number of users is reached",
	hsmproto.CodeActivated:            "Cluster is already activated",
	hsmproto.CodeNotActivated:         "Cluster is not activated",
	hsmproto.CodeKeyNotFound:          matched(0).Error(),
	hsmproto.CodeKeyAccess:            "Key access is denied",
	hsmproto.CodeKeyExists:            "A key with this id already exists",
	hsmproto.CodeKeyAvailability:      "Cannot perform the requested key operation as the key must be available on at least 2 HSMs",
	hsmproto.CodeCapacity:             "The HSM key capacity is exhausted",
	hsmproto.CodeNoSession:            "All sessions are in use, try again later",
	hsmproto.CodeUnavailable:          textUnavailable.Error(),
	hsmproto.CodeInternal:             "The HSM failed to carry out the request",
}

// refusalText prefers the sentence of the HSM where that names what was wrong.
func refusalText(refusal *hsmproto.Error) string {
	switch refusal.Code {
	case hsmproto.CodeBadName, hsmproto.CodeBadPassword, hsmproto.CodeKeyAttribute, hsmproto.CodeBadRequest:
		if refusal.Detail != "" {
			return refusal.Detail
		}
	}
	if text, ok := refusalTexts[refusal.Code]; ok {
		return text
	}
	return "The HSM refused the request: " + string(refusal.Code)
}
