package e2e

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"keyward/internal/keystatetest"
	"keyward/internal/keywardtest"
)

// TestKeyStates holds a running installation to every row of the table of key states: exception and sentence as the AWS
// SDK gets them. Keys come into their states by what brings them there: they are disabled, scheduled for deletion,
// imported into, replicated; the example's key store is disconnected, and the clock is moved past the settle time.
func TestKeyStates(t *testing.T) {
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--dev", "--settle-time", "1h"}})
	a := &installed{i: i, clients: map[string]*kms.Client{}}
	stores, err := a.client("us-east-1").DescribeCustomKeyStores(t.Context(), &kms.DescribeCustomKeyStoresInput{})
	if err != nil {
		t.Fatal(err)
	}
	a.store = *stores.CustomKeyStores[0].CustomKeyStoreId
	keystatetest.Play(t, a, "arn:aws:iam::111122223333:user/admin", "../internal/kms/key-states.csv")
}

// installed is an installation as package keystatetest plays against it.
type installed struct {
	i       *keywardtest.Installation
	store   string
	clients map[string]*kms.Client
	// transient are the keys that have begun to settle, as Region and id.
	transient [][2]string
}

func (a *installed) client(region string) *kms.Client {
	if a.clients[region] == nil {
		config := a.i.Config()
		config.Region = region
		a.clients[region] = kms.NewFromConfig(config)
	}
	return a.clients[region]
}

// Invoke calls the SDK's method of the operation's name.
func (a *installed) Invoke(region, operation string, in any) (any, error) {
	method := reflect.ValueOf(a.client(region)).MethodByName(operation)
	results := method.Call([]reflect.Value{reflect.ValueOf(context.Background()), reflect.ValueOf(in)})
	if err, failed := results[1].Interface().(error); failed {
		return nil, err
	}
	if replicate, ok := in.(*kms.ReplicateKeyInput); ok {
		a.transient = append(a.transient, [2]string{*replicate.ReplicaRegion, *replicate.KeyId})
	}
	return results[0].Interface(), nil
}

func (a *installed) Refusal(err error) (code, message string) {
	var refusal smithy.APIError
	if !errors.As(err, &refusal) {
		return "", err.Error()
	}
	return refusal.ErrorCode(), refusal.ErrorMessage()
}

func (a *installed) Store() string { return a.store }

func (a *installed) Disconnect() {
	a.i.T.Helper()
	east := a.client("us-east-1")
	if _, err := east.DisconnectCustomKeyStore(a.i.T.Context(), &kms.DisconnectCustomKeyStoreInput{CustomKeyStoreId: &a.store}); err != nil {
		a.i.T.Fatal(err)
	}
	a.i.Await("the key store to be disconnected", func() bool {
		out, err := east.DescribeCustomKeyStores(a.i.T.Context(), &kms.DescribeCustomKeyStoresInput{CustomKeyStoreId: &a.store})
		return err == nil && out.CustomKeyStores[0].ConnectionState == types.ConnectionStateTypeDisconnected
	})
}

// Settle moves the clock past the settle time of all that has begun.
func (a *installed) Settle() {
	a.i.T.Helper()
	a.i.Shell(a.i.T.TempDir(), `keyward clock advance 1h --data "$KEYWARD_DATA"`, "")
	for _, key := range a.transient {
		a.i.Await("a replica to settle", func() bool {
			out, err := a.client(key[0]).DescribeKey(a.i.T.Context(), &kms.DescribeKeyInput{KeyId: aws.String(key[1])})
			return err == nil && out.KeyMetadata.KeyState != types.KeyStateCreating
		})
	}
	a.transient = nil
}
