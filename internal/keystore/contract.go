package keystore

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/connection"
	"keyward/internal/hsmclient"
	"keyward/internal/hsmproto"
	"keyward/internal/secret"
)

// Record is a custom key store as it is kept. Values read from a Store are snapshots: change a copy and put it back.
// Nothing in it is secret in clear.
type Record struct {
	Scope arn.Scope
	ID    string // "cks-" and 17 lower-case hex digits
	// Version counts changes; Tx.Update and Tx.Delete compare and swap on it.
	Version int64
	Name    string // unique in its scope
	Created time.Time

	ClusterID string
	// ClusterCertificate, DER, identifies the cluster's backup family (spec key-stores 2.2). It never changes.
	ClusterCertificate []byte
	TrustAnchor        string // PEM as given

	State connection.State
	// ErrorCode says why the last attempt failed; empty unless State is FAILED.
	ErrorCode types.ConnectionErrorCodeType
	// LastErrorCode stays when disconnecting clears ErrorCode, for operators only (spec key-stores 11.3).
	LastErrorCode types.ConnectionErrorCodeType
	// Attempt counts connects and disconnects. Background work carries the number it began with and writes nothing
	// once the record has another one.
	Attempt int64

	// Password of kmsuser, sealed.
	Password []byte
	// Candidate, sealed, is the password that the rotation under way may or may not have set already. It is kept
	// before the change is sent; empty when no rotation is unfinished.
	Candidate []byte
	// Client, sealed, is the identity under which this store logs in, so that the HSMs know their holder again after a
	// restart.
	Client []byte
}

// Store keeps custom key stores. Reads see everything that was acknowledged before. Absent records are
// fault.ErrNotFound.
type Store interface {
	KeyStore(ctx context.Context, scope arn.Scope, id string) (*Record, error)
	// KeyStores lists a scope's stores in the order of their creation, those of one instant by id.
	KeyStores(ctx context.Context, scope arn.Scope) ([]*Record, error)
	// AllKeyStores lists the stores of all scopes.
	AllKeyStores(ctx context.Context) ([]*Record, error)
	// Change runs fn in one transaction together with the call's event (nil for background work): all or nothing is
	// durable when it returns.
	Change(ctx context.Context, event *audit.Event, fn func(Tx) error) error
}

// Tx is the inside of a Change; its reads see its writes.
type Tx interface {
	KeyStore(scope arn.Scope, id string) (*Record, error)
	// KeyStores lists as Store.KeyStores does.
	KeyStores(scope arn.Scope) ([]*Record, error)
	// Insert adds a store and sets its Version: fault.ErrExists if its id, or its name in its scope, is taken.
	Insert(*Record) error
	// Update replaces the store whose Version is the one given and counts it up in the argument, or fails with
	// fault.ErrConflict; fault.ErrExists if the name is another store's.
	Update(*Record) error
	// Delete removes a store of this Version, or fails with fault.ErrConflict.
	Delete(*Record) error
	// HasKeys reports whether any KMS key is in the store, those pending deletion included.
	HasKeys(scope arn.Scope, id string) (bool, error)
}

// Cluster is what a key store must know of its cluster.
type Cluster struct {
	ID string
	// Active is whether the cluster's State is ACTIVE, as creating a store demands.
	Active bool
	// Serving is true also while an activated cluster gains or loses HSMs, or has none that is well. A store can be
	// connected to it: whether there is an HSM to talk to shows then.
	Serving bool
	// Certificate is the cluster certificate in PEM; empty before initialisation.
	Certificate []byte
	// Hsms are the ACTIVE ones.
	Hsms []Hsm
	// Zones are the Availability Zones of the cluster's subnets, each once.
	Zones []string
}

// Hsm is one ACTIVE HSM.
type Hsm struct {
	ID      string
	Address string // IP of its network interface
	Zone    string
}

// What Clusters.Subnets and Network.Attach find.
var (
	ErrSubnetNotFound = errors.New("keystore: a subnet of the cluster does not exist")
	ErrSubnetFull     = errors.New("keystore: a subnet of the cluster has no free address")
)

// Clusters is what key stores need of the CloudHSM control plane and the network.
type Clusters interface {
	// Cluster finds a cluster of the scope: fault.ErrNotFound if there is none, or it is DELETED.
	Cluster(ctx context.Context, scope arn.Scope, id string) (*Cluster, error)
	// SecurityGroupIntact reports whether the cluster's security group has the inbound and the outbound rule for TCP
	// 2223–2225 with itself as source and destination.
	SecurityGroupIntact(ctx context.Context, scope arn.Scope, id string) (bool, error)
	// Subnets checks that the subnets of the cluster's configuration exist: ErrSubnetNotFound. Whether they have free
	// addresses shows in Network.Attach, where what the store holds already counts for it.
	Subnets(ctx context.Context, scope arn.Scope, id string) error
}

// Network gives a store its own presence in the cluster's VPC while it is connected, and its way to the HSMs (spec
// network 2).
type Network interface {
	// Attach makes one network interface in each subnet of the cluster's configuration and the store's security group,
	// all or nothing. What an earlier attempt left is taken over: ErrSubnetNotFound, ErrSubnetFull.
	Attach(ctx context.Context, scope arn.Scope, storeID, clusterID string) error
	// Detach removes them; where there are none it does nothing.
	Detach(ctx context.Context, scope arn.Scope, storeID string) error
	// Dial connects the store's interfaces to an HSM, "IP:port". Where the network does not let it through it fails like
	// a time-out; the connection ends when the network stops letting it through.
	Dial(ctx context.Context, scope arn.Scope, storeID, address string) (net.Conn, error)
}

// Sealer keeps secrets: what was sealed for one purpose opens only for it.
type Sealer interface {
	Seal(purpose string, plaintext []byte) ([]byte, error)
	Open(purpose string, sealed []byte) ([]byte, error)
}

// Pool is one store's connections to its HSMs, as *hsmclient.Cluster provides them; errors are those documented there.
type Pool interface {
	Connect(ctx context.Context) error
	Users(ctx context.Context) (hsmproto.ListUsersReply, error)
	Login(ctx context.Context, c hsmclient.Credentials) (hsmproto.LoginReply, error)
	Logout(ctx context.Context) error
	ChangePassword(ctx context.Context, user string, role hsmproto.Role, password secret.Bytes) (hsmproto.UserReply, error)
	GenerateKey(ctx context.Context, request hsmproto.GenerateKeyRequest) (hsmproto.Key, error)
	FindKeys(ctx context.Context, request hsmproto.FindKeysRequest) (hsmproto.FindKeysReply, error)
	DeleteKey(ctx context.Context, reference uint64) error
	Encrypt(ctx context.Context, request hsmproto.CryptRequest) ([]byte, error)
	Decrypt(ctx context.Context, request hsmproto.CryptRequest) ([]byte, error)
	Random(ctx context.Context, n int) ([]byte, error)
	Close() error
}
