package cloudhsmcli

import (
	"bufio"
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// session is one run of the command line: the cluster it works on and who is logged in there.
type session struct {
	env     *Env
	options globals // of the process
	input   *bufio.Reader
	line    *lineEditor // nil: standard input is not a terminal, or there is no shell

	target  *target            // nil until the cluster is first needed
	cluster *hsmclient.Cluster // nil until then
	user    *hsmproto.LoginReply

	others map[string]*session // in a shell, those on other clusters, by cluster id
	last   *session            // the one that the last command of a shell was for
}

// perform runs one operation. The connection comes first, so that nobody types a password for an HSM that cannot be
// trusted.
func (s *session) perform(ctx context.Context, o operation) (any, error) {
	if _, offline := o.(*configureCommand); offline {
		return o.run(ctx, s)
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	if _, ok := o.(loginNeeded); ok && s.user == nil {
		return nil, textNotLoggedIn
	}
	data, err := o.run(ctx, s)
	if errors.Is(err, hsmclient.ErrNotLoggedIn) {
		s.user = nil
	}
	return data, err
}

// connect finds the cluster and connects to its HSMs, once.
func (s *session) connect(ctx context.Context) error {
	if s.cluster != nil {
		return nil
	}
	if s.target == nil {
		t, err := s.resolve(ctx)
		if err != nil {
			return err
		}
		s.target = t
	}
	addresses, err := s.target.addresses(ctx)
	if err != nil {
		return err
	}
	cluster, err := s.dial(ctx, addresses)
	if err != nil {
		return err
	}
	s.cluster = s.widen(ctx, cluster, addresses)
	return nil
}

func (s *session) dial(ctx context.Context, addresses []string) (*hsmclient.Cluster, error) {
	cluster, err := hsmclient.New(hsmclient.Config{
		Addresses:   func(context.Context) ([]string, error) { return addresses, nil },
		TrustAnchor: []byte(s.target.TrustAnchor),
		Refresh:     -1,
		Now:         s.env.Now,
	})
	if err != nil {
		return nil, failf("The CA certificate cannot be used: %v", err)
	}
	if err := cluster.Connect(ctx); err != nil {
		return nil, errors.Join(err, cluster.Close())
	}
	return cluster, nil
}

// widen connects to all HSMs of the cluster where addresses name only some: an HSM knows the others (hsm.md
// section 9). Addresses with a port are left alone, because the others' ports cannot be known.
func (s *session) widen(ctx context.Context, cluster *hsmclient.Cluster, addresses []string) *hsmclient.Cluster {
	infos, err := cluster.Info(ctx)
	if err != nil || len(infos) == 0 || slices.ContainsFunc(addresses, hasPort) {
		return cluster
	}
	members := infos[0].Members
	if !slices.ContainsFunc(members, func(m string) bool { return !slices.Contains(addresses, m) }) {
		return cluster
	}
	wider, err := s.dial(ctx, members)
	if err != nil {
		return cluster
	}
	_ = cluster.Close() // returns nil, always
	return wider
}

func hasPort(address string) bool {
	_, _, err := net.SplitHostPort(address)
	return err == nil
}

// login presents credentials to every HSM.
func (s *session) login(ctx context.Context, user string, role hsmproto.Role, password secret.Bytes) (*hsmproto.LoginReply, error) {
	s.user = nil
	reply, err := s.cluster.Login(ctx, hsmclient.Credentials{User: user, Role: role, Password: password})
	if err != nil {
		return nil, loginFailed{err}
	}
	s.user = &reply
	return s.user, nil
}

// Variables with the credentials of single commands.
const (
	variableRole = "CLOUDHSM_ROLE"
	variablePin  = "CLOUDHSM_PIN"
)

// loginFromEnvironment logs in with CLOUDHSM_ROLE and CLOUDHSM_PIN ("user:password", split at the first colon).
// Without them it does nothing: the command is then refused for want of a login.
func (s *session) loginFromEnvironment(ctx context.Context) error {
	role, pin := s.env.Getenv(variableRole), s.env.Getenv(variablePin)
	if role == "" && pin == "" {
		return nil
	}
	user, password, ok := strings.Cut(pin, ":")
	if !ok || user == "" {
		return failf("%s must have the form <user>:<password>", variablePin)
	}
	if role != string(hsmproto.RoleAdmin) && role != string(hsmproto.RoleCryptoUser) {
		return failf("%s must be admin or crypto-user", variableRole)
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	kept := secret.FromString(password)
	defer kept.Wipe()
	_, err := s.login(ctx, user, hsmproto.Role(role), kept)
	return err
}

// close logs out.
func (s *session) close(ctx context.Context) {
	for _, other := range s.others {
		other.close(ctx)
	}
	if s.cluster == nil {
		return
	}
	if s.user != nil {
		_ = s.cluster.Logout(ctx) // closing the connections ends the login just as well
	}
	_ = s.cluster.Close() // returns nil, always
}
