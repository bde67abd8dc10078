package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/connection"
	"keyward/internal/hsmclient"
	"keyward/internal/keystore"
)

// vpc is a Network that remembers who is attached.
type vpc struct {
	mu       sync.Mutex // guards what follows
	attached map[string]string
	broken   error // of Detach
	full     error // of Attach
	dialled  []string
}

func (v *vpc) Attach(_ context.Context, s arn.Scope, storeID, clusterID string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s != scope || v.full != nil {
		return v.full
	}
	v.attached[storeID] = clusterID
	return nil
}

func (v *vpc) Detach(_ context.Context, s arn.Scope, storeID string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s != scope || v.broken != nil {
		return v.broken
	}
	delete(v.attached, storeID)
	return nil
}

func (v *vpc) Dial(_ context.Context, s arn.Scope, storeID, address string) (net.Conn, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dialled = append(v.dialled, fmt.Sprint(s.Region, " ", storeID, " ", address))
	return nil, errors.New("nothing there")
}

func (v *vpc) set(f func(*vpc)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(v)
}

// of is the cluster in whose network a store is.
func (v *vpc) of(storeID string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.attached[storeID]
}

func newNetworkedWorld(t *testing.T) (*world, *vpc) {
	w, v := newWorld(t), &vpc{attached: make(map[string]string)}
	w.vpc = v
	w.restart()
	return w, v
}

// A store has its place in the network from the attempt to connect to the disconnect, and none after a failure.
func TestPresenceFollowsTheState(t *testing.T) {
	w, v := newNetworkedWorld(t)
	id := w.made()
	arrived, release := w.plane.hsms(clusterA).hold("Connect")
	w.must(w.connect(id))
	<-arrived
	if v.of(id) != clusterA {
		t.Error("the store connects without a place in the network")
	}
	w.kill() // while CONNECTING
	release()
	w.start()
	w.await(id, connection.Connected)
	if v.of(id) != clusterA {
		t.Error("the connected store has no place in the network")
	}
	w.must(w.disconnect(id))
	w.await(id, connection.Disconnected)
	if v.of(id) != "" {
		t.Error("the disconnected store keeps its place in the network")
	}
	w.plane.hsms(clusterA).set(func(h *hsms) { h.down = true })
	w.must(w.connect(id))
	w.await(id, connection.Failed)
	if v.of(id) != "" {
		t.Error("the failed store keeps its place in the network")
	}
}

// What could not be removed when it was time is removed by the next start.
func TestPresenceIsRemovedLate(t *testing.T) {
	w, v := newNetworkedWorld(t)
	id := w.made()
	w.must(w.connect(id))
	w.await(id, connection.Connected)
	v.set(func(v *vpc) { v.broken = errors.New("the database is full") })
	w.must(w.disconnect(id))
	w.await(id, connection.Disconnected)
	if v.of(id) == "" {
		t.Fatal("it was removed nevertheless")
	}
	v.set(func(v *vpc) { v.broken = nil })
	w.restart()
	if v.of(id) != "" {
		t.Error("the start left it")
	}
}

func TestPresenceRefused(t *testing.T) {
	w, v := newNetworkedWorld(t)
	id := w.made()
	for cause, want := range map[error]types.ConnectionErrorCodeType{
		keystore.ErrSubnetFull:     types.ConnectionErrorCodeTypeInsufficientFreeAddressesInSubnet,
		keystore.ErrSubnetNotFound: types.ConnectionErrorCodeTypeSubnetNotFound,
		errors.New("anything"):     types.ConnectionErrorCodeTypeInternalError,
	} {
		v.set(func(v *vpc) { v.full = fmt.Errorf("refused: %w", cause) })
		w.must(w.connect(id))
		if e := w.await(id, connection.Failed); e.ConnectionErrorCode != want {
			t.Errorf("%v: %s", cause, e.ConnectionErrorCode)
		}
		w.must(w.disconnect(id))
		w.await(id, connection.Disconnected)
	}
}

// HSMs are dialled through the network.
func TestDialThroughTheNetwork(t *testing.T) {
	w, v := newNetworkedWorld(t)
	w.hsms = func(c hsmclient.Config) (keystore.Pool, error) { return hsmclient.New(c) }
	w.restart()
	id := w.made()
	w.must(w.connect(id))
	if e := w.await(id, connection.Failed); e.ConnectionErrorCode != types.ConnectionErrorCodeTypeNetworkErrors {
		t.Errorf("%+v", e)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, want := range []string{"127.9.0.1:2223", "127.9.0.2:2223"} {
		if !slices.Contains(v.dialled, "us-east-1 "+id+" "+want) {
			t.Errorf("%s is not among %v", want, v.dialled)
		}
	}
}
