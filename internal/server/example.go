package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	hsmtypes "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/cloudhsmcli"
	"keyward/internal/durable"
	"keyward/internal/fault"
	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// ExampleStoreName is the key store that the first start makes, and the folder with its papers.
const ExampleStoreName = "ExampleKeyStore"

// Files in the example's folder.
const (
	ExampleCA       = "customerCA.crt"
	ExamplePassword = "admin-password"
)

const (
	exampleSetting = "example store"
	exampleTag     = "keyward:example"
	kmsuser        = "kmsuser"
	// pollEvery is how often the example looks whether a step has come to its end; stepTime is how long it may take.
	pollEvery = 50 * time.Millisecond
	stepTime  = 60 * time.Second
)

// example builds the ready-made cluster and key store the way a customer would: through the API and over the HSMs'
// own protocol. It may be interrupted at any point and goes on where it stopped.
type example struct {
	kms      *kms.Client
	hsm      *cloudhsmv2.Client
	subnets  func(context.Context) ([]string, error)
	keep     exampleKeeper
	sealer   sealer
	dir      string // the example's folder
	cliDir   string // where the operator's shell remembers clusters
	endpoint string
	progress func(string)
	log      *slog.Logger

	state exampleState
}

// exampleState is what an interrupted start must find again. It is kept sealed.
type exampleState struct {
	CAKey         []byte `json:"caKey,omitempty"` // PKCS #8; dropped once the cluster is initialised
	CACert        []byte `json:"caCert"`          // PEM
	AdminPassword []byte `json:"adminPassword,omitempty"`
	UserPassword  []byte `json:"userPassword,omitempty"`
	Done          bool   `json:"done"`
}

type exampleKeeper interface {
	settings
	Setting(ctx context.Context, name string) ([]byte, error)
}

type sealer interface {
	Seal(purpose string, plaintext []byte) ([]byte, error)
	Open(purpose string, sealed []byte) ([]byte, error)
}

// build brings the example to CONNECTED, or does nothing when an earlier start has done so.
func (e *example) build(ctx context.Context) error {
	if err := e.load(ctx); err != nil || e.state.Done {
		return err
	}
	defer e.progress("")
	cluster := ""
	for _, step := range []struct {
		what string
		do   func(context.Context, *string) error
	}{
		{"making a customer CA", e.makePapers},
		{"creating a cluster", e.createCluster},
		{"starting the first HSM", e.firstHsm},
		{"initialising the cluster", e.initialize},
		{"activating the cluster", e.activate},
		{"starting the second HSM", e.secondHsm},
		{"creating kmsuser", e.createUser},
		{"creating and connecting the key store", e.connectStore},
	} {
		e.progress(step.what)
		limited, cancel := context.WithTimeout(ctx, stepTime)
		err := step.do(limited, &cluster)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	e.state = exampleState{CACert: e.state.CACert, Done: true}
	return e.save(ctx)
}

func (e *example) load(ctx context.Context) error {
	sealed, err := e.keep.Setting(ctx, exampleSetting)
	if errors.Is(err, fault.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	plain, err := e.sealer.Open(exampleSetting, sealed)
	if err != nil {
		return fmt.Errorf("opening what is known of the example store: %w", err)
	}
	defer clear(plain)
	return json.Unmarshal(plain, &e.state)
}

func (e *example) save(ctx context.Context) error {
	plain, err := json.Marshal(e.state)
	if err != nil {
		return err
	}
	defer clear(plain)
	sealed, err := e.sealer.Seal(exampleSetting, plain)
	if err != nil {
		return err
	}
	return e.keep.PutSetting(ctx, exampleSetting, sealed)
}

// makePapers makes the CA and the passwords, and writes what the operator needs into the example's folder.
func (e *example) makePapers(ctx context.Context, _ *string) error {
	if e.state.CACert == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		if e.state.CAKey, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			return err
		}
		if e.state.CACert, err = exampleAuthority(key); err != nil {
			return err
		}
		e.state.AdminPassword, e.state.UserPassword = password(), password()
		if err := e.save(ctx); err != nil {
			return err
		}
	}
	if err := durable.Mkdir(e.dir); err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(e.dir, ExamplePassword), append(e.state.AdminPassword, '\n')); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(e.dir, ExampleCA), e.state.CACert)
}

// password makes one that the HSM and the key store both take: 20 letters and digits.
func password() []byte { return []byte(rand.Text()[:20]) }

func (e *example) createCluster(ctx context.Context, id *string) error {
	page, err := e.hsm.DescribeClusters(ctx, &cloudhsmv2.DescribeClustersInput{})
	if err != nil {
		return err
	}
	for _, c := range page.Clusters {
		tagged := slices.ContainsFunc(c.TagList, func(t hsmtypes.Tag) bool { return aws.ToString(t.Key) == exampleTag })
		if tagged && c.State != hsmtypes.ClusterStateDeleted {
			*id = aws.ToString(c.ClusterId)
		}
	}
	if *id == "" {
		subnets, err := e.subnets(ctx)
		if err != nil {
			return err
		}
		made, err := e.hsm.CreateCluster(ctx, &cloudhsmv2.CreateClusterInput{
			HsmType: aws.String("hsm2m.medium"), Mode: hsmtypes.ClusterModeFips, SubnetIds: subnets,
			TagList: []hsmtypes.Tag{{Key: aws.String(exampleTag), Value: aws.String(ExampleStoreName)}},
		})
		if err != nil {
			return err
		}
		*id = aws.ToString(made.Cluster.ClusterId)
	}
	_, err = e.await(ctx, *id, func(c hsmtypes.Cluster) bool { return c.State != hsmtypes.ClusterStateCreateInProgress })
	return err
}

func (e *example) firstHsm(ctx context.Context, id *string) error { return e.haveHsms(ctx, *id, 1) }

func (e *example) secondHsm(ctx context.Context, id *string) error { return e.haveHsms(ctx, *id, 2) }

// haveHsms makes the cluster have at least n active HSMs, each in a zone of its own.
func (e *example) haveHsms(ctx context.Context, id string, n int) error {
	cluster, err := e.cluster(ctx, id)
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, h := range cluster.Hsms {
		used[aws.ToString(h.AvailabilityZone)] = true
	}
	for _, zone := range slices.Sorted(maps.Keys(cluster.SubnetMapping)) {
		if len(used) >= n {
			break
		}
		if used[zone] {
			continue
		}
		_, err := e.hsm.CreateHsm(ctx, &cloudhsmv2.CreateHsmInput{ClusterId: &id, AvailabilityZone: aws.String(zone)})
		if err != nil {
			return err
		}
		used[zone] = true
	}
	_, err = e.await(ctx, id, func(c hsmtypes.Cluster) bool { return activeHsms(c) >= n })
	return err
}

func activeHsms(c hsmtypes.Cluster) (n int) {
	for _, h := range c.Hsms {
		if h.State == hsmtypes.HsmStateActive {
			n++
		}
	}
	return n
}

func (e *example) initialize(ctx context.Context, id *string) error {
	cluster, err := e.cluster(ctx, *id)
	if err != nil {
		return err
	}
	if cluster.State == hsmtypes.ClusterStateUninitialized {
		signed, err := signExample(e.state.CACert, e.state.CAKey, aws.ToString(cluster.Certificates.ClusterCsr))
		if err != nil {
			return err
		}
		_, err = e.hsm.InitializeCluster(ctx, &cloudhsmv2.InitializeClusterInput{
			ClusterId: id, SignedCert: aws.String(string(signed)), TrustAnchor: aws.String(string(e.state.CACert)),
		})
		if err != nil {
			return err
		}
	}
	_, err = e.await(ctx, *id, func(c hsmtypes.Cluster) bool {
		return c.State != hsmtypes.ClusterStateUninitialized && c.State != hsmtypes.ClusterStateInitializeInProgress
	})
	if err != nil || e.state.CAKey == nil {
		return err
	}
	clear(e.state.CAKey)
	e.state.CAKey = nil
	return e.save(ctx)
}

func (e *example) activate(ctx context.Context, id *string) error {
	err := e.withHsms(ctx, *id, func(c *hsmclient.Cluster) error {
		return c.Activate(ctx, secret.New(e.state.AdminPassword))
	})
	if err != nil && !errors.Is(err, &hsmproto.Error{Code: hsmproto.CodeActivated}) {
		return err
	}
	_, err = e.await(ctx, *id, func(c hsmtypes.Cluster) bool { return c.State == hsmtypes.ClusterStateActive })
	if err != nil {
		return err
	}
	return cloudhsmcli.SaveConfiguration(e.cliDir, cloudhsmcli.Configuration{
		ClusterID: *id, Endpoint: e.endpoint, TrustAnchor: string(e.state.CACert),
	})
}

func (e *example) createUser(ctx context.Context, id *string) error {
	return e.withHsms(ctx, *id, func(c *hsmclient.Cluster) error {
		_, err := c.Login(ctx, hsmclient.Credentials{
			User: "admin", Role: hsmproto.RoleAdmin, Password: secret.New(e.state.AdminPassword),
		})
		if err != nil {
			return err
		}
		_, err = c.CreateUser(ctx, kmsuser, hsmproto.RoleCryptoUser, secret.New(e.state.UserPassword))
		if errors.Is(err, &hsmproto.Error{Code: hsmproto.CodeUserExists}) {
			err = nil // by an interrupted start, with the same password
		}
		return errors.Join(err, c.Logout(ctx))
	})
}

func (e *example) connectStore(ctx context.Context, id *string) error {
	made, err := e.kms.CreateCustomKeyStore(ctx, &kms.CreateCustomKeyStoreInput{
		CustomKeyStoreName: aws.String(ExampleStoreName), CloudHsmClusterId: id,
		KeyStorePassword:       aws.String(string(e.state.UserPassword)),
		TrustAnchorCertificate: aws.String(string(e.state.CACert)),
	})
	var taken *kmstypes.CustomKeyStoreNameInUseException
	if err != nil && !errors.As(err, &taken) { // taken: connected by an interrupted start
		return err
	}
	if err == nil {
		if _, err := e.kms.ConnectCustomKeyStore(ctx, &kms.ConnectCustomKeyStoreInput{CustomKeyStoreId: made.CustomKeyStoreId}); err != nil {
			return err
		}
	}
	return e.awaitConnected(ctx)
}

func (e *example) awaitConnected(ctx context.Context) error {
	for {
		page, err := e.kms.DescribeCustomKeyStores(ctx, &kms.DescribeCustomKeyStoresInput{CustomKeyStoreName: aws.String(ExampleStoreName)})
		if err != nil {
			return err
		}
		store := page.CustomKeyStores[0]
		switch store.ConnectionState {
		case kmstypes.ConnectionStateTypeConnected:
			return nil
		case kmstypes.ConnectionStateTypeFailed:
			return fmt.Errorf("the key store's connection failed: %s", store.ConnectionErrorCode)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// withHsms calls f with a client of the cluster's HSMs that trusts the example's CA.
func (e *example) withHsms(ctx context.Context, id string, f func(*hsmclient.Cluster) error) (err error) {
	client, err := hsmclient.New(hsmclient.Config{
		TrustAnchor: e.state.CACert,
		Log:         e.log,
		Addresses: func(ctx context.Context) ([]string, error) {
			cluster, err := e.cluster(ctx, id)
			var ips []string
			for _, h := range cluster.Hsms {
				ips = append(ips, aws.ToString(h.EniIp))
			}
			return ips, err
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if err := client.Connect(ctx); err != nil {
		return err
	}
	return f(client)
}

func (e *example) cluster(ctx context.Context, id string) (hsmtypes.Cluster, error) {
	page, err := e.hsm.DescribeClusters(ctx, &cloudhsmv2.DescribeClustersInput{Filters: map[string][]string{"clusterIds": {id}}})
	if err != nil {
		return hsmtypes.Cluster{}, err
	}
	if len(page.Clusters) == 0 {
		return hsmtypes.Cluster{}, fmt.Errorf("cluster %s is gone", id)
	}
	return page.Clusters[0], nil
}

// await polls as a customer does.
func (e *example) await(ctx context.Context, id string, reached func(hsmtypes.Cluster) bool) (hsmtypes.Cluster, error) {
	for {
		cluster, err := e.cluster(ctx, id)
		if err != nil || reached(cluster) {
			return cluster, err
		}
		if err := pause(ctx); err != nil {
			return cluster, fmt.Errorf("cluster %s stays in state %s (%s): %w", id, cluster.State, aws.ToString(cluster.StateMessage), err)
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(pollEvery):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ReadExamplePassword gives the administrator's password of the example cluster, as the first start wrote it.
func ReadExamplePassword(data string) (secret.Bytes, error) {
	text, err := os.ReadFile(filepath.Join(data, ExampleStoreName, ExamplePassword))
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("reading the example cluster's admin password: %w", err)
	}
	return secret.New(bytes.TrimSuffix(text, []byte{'\n'})), nil
}
