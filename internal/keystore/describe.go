package keystore

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/connection"
	"keyward/internal/operation"
)

// defaultLimit of DescribeCustomKeyStores (spec kms-operations).
const defaultLimit = 100

// describeCustomKeyStores lists in the order of creation, or shows the one store that is named by id or name.
func (m *Manager) describeCustomKeyStores(ctx context.Context, call *operation.Call, in *kms.DescribeCustomKeyStoresInput) (*kms.DescribeCustomKeyStoresOutput, error) {
	if in.CustomKeyStoreId != nil && in.CustomKeyStoreName != nil {
		return nil, invalid("CustomKeyStoreId and CustomKeyStoreName cannot both be specified.")
	}
	after, err := parseMarker(in.Marker)
	if err != nil {
		return nil, err
	}
	stores, err := m.list(ctx, call.Scope)
	if err != nil {
		return nil, err
	}
	if in.CustomKeyStoreId != nil || in.CustomKeyStoreName != nil {
		return one(stores, in)
	}
	limit := defaultLimit
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	out := &kms.DescribeCustomKeyStoresOutput{CustomKeyStores: []types.CustomKeyStoresListEntry{}}
	var last position
	for _, r := range stores {
		switch {
		case !after.before(r):
		case len(out.CustomKeyStores) == limit:
			marker := last.marker()
			out.NextMarker, out.Truncated = &marker, true
			return out, nil
		default:
			out.CustomKeyStores = append(out.CustomKeyStores, listEntry(r))
			last = position{r.Created.UnixMilli(), r.ID}
		}
	}
	return out, nil
}

// list reads a scope's stores as the hot path knows them: it waits until what is committed is published, so that who
// reads CONNECTED here finds the store's keys usable.
func (m *Manager) list(ctx context.Context, scope arn.Scope) ([]*Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.store.KeyStores(ctx, scope)
}

// one finds a store by id or name.
func one(stores []*Record, in *kms.DescribeCustomKeyStoresInput) (*kms.DescribeCustomKeyStoresOutput, error) {
	for _, r := range stores {
		if r.ID == value(in.CustomKeyStoreId) || r.Name == value(in.CustomKeyStoreName) {
			return &kms.DescribeCustomKeyStoresOutput{CustomKeyStores: []types.CustomKeyStoresListEntry{listEntry(r)}}, nil
		}
	}
	return nil, notFound(value(in.CustomKeyStoreId) + value(in.CustomKeyStoreName))
}

func listEntry(r *Record) types.CustomKeyStoresListEntry {
	e := types.CustomKeyStoresListEntry{
		CustomKeyStoreId:       &r.ID,
		CustomKeyStoreName:     &r.Name,
		CustomKeyStoreType:     types.CustomKeyStoreTypeAwsCloudhsm,
		CloudHsmClusterId:      &r.ClusterID,
		TrustAnchorCertificate: &r.TrustAnchor,
		ConnectionState:        r.State,
		CreationDate:           &r.Created,
	}
	if r.State == connection.Failed {
		e.ConnectionErrorCode = r.ErrorCode
	}
	return e
}

// position is a place in the order of creation. It stays one when the store that stood there is deleted.
type position struct {
	created int64 // milliseconds since 1970
	id      string
}

func (p position) before(r *Record) bool {
	return cmp.Or(cmp.Compare(p.created, r.Created.UnixMilli()), strings.Compare(p.id, r.ID)) < 0
}

func (p position) marker() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "1:%d:%s", p.created, p.id))
}

var markerForm = regexp.MustCompile(`^1:(\d{1,15}):(cks-[0-9a-f]{17})$`)

// parseMarker gives the beginning for no marker.
func parseMarker(marker *string) (position, error) {
	if marker == nil {
		return position{created: time.Time{}.UnixMilli()}, nil
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(*marker)
	if err != nil {
		return position{}, errMarker
	}
	parts := markerForm.FindSubmatch(text)
	if parts == nil {
		return position{}, errMarker
	}
	created, err := strconv.ParseInt(string(parts[1]), 10, 64)
	if err != nil {
		return position{}, errMarker
	}
	return position{created, string(parts[2])}, nil
}
