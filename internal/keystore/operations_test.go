package keystore_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/connection"
	"keyward/internal/kms"
)

// Names of tests carry the numbers of the statements in spec key-stores 13 that they hold.

func TestCreate1and14(t *testing.T) {
	w := newWorld(t)
	id, err := w.create(createInput("Store", clusterA, "wrong password!"))
	w.must(err)
	e := w.describe(id)
	if len(id) != 21 || !strings.HasPrefix(id, "cks-") {
		t.Errorf("id %q", id)
	}
	if e.ConnectionState != connection.Disconnected || e.ConnectionErrorCode != "" || *e.CustomKeyStoreName != "Store" ||
		*e.CloudHsmClusterId != clusterA || *e.TrustAnchorCertificate != anchor() || !e.CreationDate.Equal(epoch) ||
		e.CustomKeyStoreType != types.CustomKeyStoreTypeAwsCloudhsm {
		t.Errorf("%+v", e)
	}
	if n := w.plane.hsms(clusterA).failed(); n != 0 {
		t.Errorf("%d logins were tried", n)
	}
}

func TestCreateAgain2and3(t *testing.T) {
	w := newWorld(t)
	first := w.made()
	again := createInput("Store", clusterA, password)
	again.TrustAnchorCertificate = aws.String("a comment\n" + anchor() + "\n") // the same certificate, written otherwise
	if id, err := w.create(again); err != nil || id != first {
		t.Errorf("%s, %v", id, err)
	}
	if all, err := w.gate.KeyStores(t.Context(), scope); err != nil || len(all) != 1 {
		t.Errorf("%d stores, %v", len(all), err)
	}
	_, err := w.create(createInput("Store", clusterA, "another password"))
	w.wants(err, "CustomKeyStoreNameInUseException")
	w.must(w.connect(first))
	w.await(first, connection.Connected)
	_, err = w.create(again)
	w.wants(err, "CustomKeyStoreNameInUseException")
}

func TestCreateRefusals4to13(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(*world)
		change  func(*awskms.CreateCustomKeyStoreInput)
		want    string
	}{
		{"4 name in use", func(w *world) { w.made() },
			func(in *awskms.CreateCustomKeyStoreInput) { in.CloudHsmClusterId = aws.String(clusterB) },
			"CustomKeyStoreNameInUseException"},
		{"4 name in use, whatever the cluster", func(w *world) { w.made() },
			func(in *awskms.CreateCustomKeyStoreInput) { in.CloudHsmClusterId = aws.String("cluster-ccccccccccc") },
			"CustomKeyStoreNameInUseException"},
		{"5 cluster in use", func(w *world) { w.made() },
			func(in *awskms.CreateCustomKeyStoreInput) { in.CustomKeyStoreName = aws.String("Other") },
			"CloudHsmClusterInUseException"},
		{"5 cluster restored from one in use", func(w *world) {
			w.made()
			w.plane.add("cluster-restored234", "family A", w.plane.hsms(clusterA).restored())
		}, func(in *awskms.CreateCustomKeyStoreInput) {
			in.CustomKeyStoreName, in.CloudHsmClusterId = aws.String("Other"), aws.String("cluster-restored234")
		}, "CloudHsmClusterInUseException"},
		{"6 no such cluster", func(w *world) { w.plane.alter(clusterA, nil) }, nil, "CloudHsmClusterNotFoundException"},
		{"7 not active", func(w *world) {
			w.plane.alter(clusterA, func(c *planeCluster) { c.Active, c.Serving = false, false })
		}, nil, "CloudHsmClusterNotActiveException"},
		{"7 not initialised", func(w *world) {
			w.plane.alter(clusterA, func(c *planeCluster) { c.Active, c.Certificate = false, nil })
		}, nil, "CloudHsmClusterNotActiveException"},
		{"7 degraded", func(w *world) { w.plane.alter(clusterA, func(c *planeCluster) { c.Active = false }) }, nil,
			"CloudHsmClusterNotActiveException"},
		{"8 one HSM", func(w *world) { w.plane.alter(clusterA, func(c *planeCluster) { c.Hsms = c.Hsms[:1] }) }, nil,
			"CloudHsmClusterInvalidConfigurationException"},
		{"9 one zone", func(w *world) { w.plane.alter(clusterA, func(c *planeCluster) { c.Hsms[1].Zone = c.Hsms[0].Zone }) }, nil,
			"CloudHsmClusterInvalidConfigurationException"},
		{"9 subnets in one zone", func(w *world) { w.plane.alter(clusterA, func(c *planeCluster) { c.Zones = c.Zones[:1] }) }, nil,
			"CloudHsmClusterInvalidConfigurationException"},
		{"10 rules missing", func(w *world) { w.plane.alter(clusterA, func(c *planeCluster) { c.open = false }) }, nil,
			"CloudHsmClusterInvalidConfigurationException"},
		{"11 foreign CA", nil, func(in *awskms.CreateCustomKeyStoreInput) { in.TrustAnchorCertificate = aws.String(foreign()) },
			"IncorrectTrustAnchorException"},
		{"11 the cluster's own certificate", nil, func(in *awskms.CreateCustomKeyStoreInput) {
			in.TrustAnchorCertificate = aws.String(string(certificate("family A")))
		}, "IncorrectTrustAnchorException"},
		{"11 no certificate", nil, func(in *awskms.CreateCustomKeyStoreInput) { in.TrustAnchorCertificate = aws.String("x") },
			"IncorrectTrustAnchorException"},
		{"missing password", nil, func(in *awskms.CreateCustomKeyStoreInput) { in.KeyStorePassword = nil }, "ValidationException"},
		{"missing all", nil, func(in *awskms.CreateCustomKeyStoreInput) {
			in.KeyStorePassword, in.TrustAnchorCertificate, in.CloudHsmClusterId = nil, nil, nil
		}, "ValidationException"},
		{"external store", nil, func(in *awskms.CreateCustomKeyStoreInput) {
			in.CustomKeyStoreType = types.CustomKeyStoreTypeExternalKeyStore
		}, "UnsupportedOperationException"},
		{"parameters of an external store", nil, func(in *awskms.CreateCustomKeyStoreInput) {
			in.XksProxyUriPath = aws.String("/kms/xks/v1")
		}, "ValidationException"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			if test.prepare != nil {
				test.prepare(w)
			}
			in := createInput("Store", clusterA, "a password of 13") // not that of a repeated request
			if test.change != nil {
				test.change(in)
			}
			_, err := w.create(in)
			w.wants(err, test.want)
			if strings.Contains(fmt.Sprint(err), "a password of 13") {
				t.Errorf("the password shows: %v", err)
			}
		})
	}
}

func TestQuota12(t *testing.T) {
	w := newWorld(t)
	for i := range 11 {
		cluster := fmt.Sprintf("cluster-quota%06d", i)
		w.plane.add(cluster, cluster, newHSMs(password))
		_, err := w.create(createInput(fmt.Sprint("Store ", i), cluster, password))
		if i < 10 {
			w.must(err)
		} else {
			w.wants(err, "LimitExceededException")
		}
	}
	// A repeated request is still answered.
	if _, err := w.create(createInput("Store 3", "cluster-quota000003", password)); err != nil {
		t.Error(err)
	}
}

func TestUpdate34to38(t *testing.T) {
	w := newWorld(t)
	id := w.made()
	restored := "cluster-restored234"
	w.plane.add(restored, "family A", w.plane.hsms(clusterA).restored())

	w.wants(w.update(id, awskms.UpdateCustomKeyStoreInput{}), "ValidationException")
	w.wants(w.update(id, awskms.UpdateCustomKeyStoreInput{XksProxyUriPath: aws.String("/x")}), "ValidationException")
	w.wants(w.update("cks-00000000000000000", awskms.UpdateCustomKeyStoreInput{NewCustomKeyStoreName: aws.String("x")}),
		"CustomKeyStoreNotFoundException")
	// 36
	w.wants(w.update(id, awskms.UpdateCustomKeyStoreInput{CloudHsmClusterId: aws.String(clusterB)}), "CloudHsmClusterNotRelatedException")
	w.wants(w.update(id, awskms.UpdateCustomKeyStoreInput{CloudHsmClusterId: aws.String("cluster-ccccccccccc")}),
		"CloudHsmClusterNotFoundException")
	// 37
	w.plane.alter(restored, func(c *planeCluster) { c.Active = false })
	w.wants(w.update(id, awskms.UpdateCustomKeyStoreInput{CloudHsmClusterId: &restored}), "CloudHsmClusterNotActiveException")
	w.plane.alter(restored, func(c *planeCluster) { c.Active, c.Hsms = true, c.Hsms[:1] })
	w.wants(w.update(id, awskms.UpdateCustomKeyStoreInput{CloudHsmClusterId: &restored}), "CloudHsmClusterInvalidConfigurationException")
	w.plane.add(restored, "family A", w.plane.hsms(clusterA).restored())
	w.must(w.update(id, awskms.UpdateCustomKeyStoreInput{CloudHsmClusterId: &restored}))
	if e := w.describe(id); *e.CloudHsmClusterId != restored || w.m.Cluster(id) != restored {
		t.Errorf("%s, %s", *e.CloudHsmClusterId, w.m.Cluster(id))
	}
	w.must(w.update(id, awskms.UpdateCustomKeyStoreInput{CloudHsmClusterId: aws.String(clusterA)})) // and back: it is symmetric
	// 38
	w.must(w.update(id, awskms.UpdateCustomKeyStoreInput{KeyStorePassword: aws.String("SomethingElse")}))
	if got := w.plane.hsms(clusterA).password(); got != password {
		t.Errorf("the cluster's password is %q", got)
	}
	w.must(w.update(id, awskms.UpdateCustomKeyStoreInput{KeyStorePassword: aws.String(password)}))
	w.must(w.connect(id))
	w.await(id, connection.Connected)
	// 34
	w.must(w.update(id, awskms.UpdateCustomKeyStoreInput{NewCustomKeyStoreName: aws.String("Renamed")}))
	if e := w.describe(id); *e.CustomKeyStoreName != "Renamed" || e.ConnectionState != connection.Connected {
		t.Errorf("%+v", e)
	}
	// 35, and a mixed update is refused whole
	w.wants(w.update(id, awskms.UpdateCustomKeyStoreInput{KeyStorePassword: aws.String("x234567")}), "CustomKeyStoreInvalidStateException")
	w.wants(w.update(id, awskms.UpdateCustomKeyStoreInput{
		KeyStorePassword: aws.String("x234567"), NewCustomKeyStoreName: aws.String("Mixed"),
	}), "CustomKeyStoreInvalidStateException")
	if e := w.describe(id); *e.CustomKeyStoreName != "Renamed" {
		t.Errorf("half an update: %s", *e.CustomKeyStoreName)
	}
	other, err := w.create(createInput("Other", clusterB, password))
	w.must(err)
	w.wants(w.update(other, awskms.UpdateCustomKeyStoreInput{NewCustomKeyStoreName: aws.String("Renamed")}),
		"CustomKeyStoreNameInUseException")
}

func TestDelete39to41(t *testing.T) {
	w := newWorld(t)
	id := w.connected()
	w.wants(w.remove(id), "CustomKeyStoreInvalidStateException") // 39
	k := w.key("1234abcd-12ab-34cd-56ef-1234567890ab", id)
	k.State, k.DeletionDate = types.KeyStatePendingDeletion, epoch
	k.Version = 1
	keys := w.db.KMS()
	w.must(keys.Change(t.Context(), nil, func(tx kms.Tx) error { return tx.InsertKey(k) }))
	w.must(w.disconnect(id))
	w.await(id, connection.Disconnected)
	w.wants(w.remove(id), "CustomKeyStoreHasCMKsException") // 40
	w.must(keys.Change(t.Context(), nil, func(tx kms.Tx) error { return tx.DeleteKey(k) }))
	h := w.plane.hsms(clusterA)
	before := len(h.keys)
	w.must(w.remove(id)) // 41
	w.wants(w.remove(id), "CustomKeyStoreNotFoundException")
	if len(h.keys) != before || h.users["kmsuser"] == nil {
		t.Error("the cluster was touched")
	}
	if w.m.Cluster(id) != "" || w.m.Available(k) {
		t.Error("the store is still known")
	}
	again, err := w.create(createInput("Store", clusterA, h.password()))
	w.must(err)
	w.must(w.connect(again))
	w.await(again, connection.Connected)
}

func TestDescribe62(t *testing.T) {
	w := newWorld(t)
	a := w.made()
	b, err := w.create(createInput("Other", clusterB, password))
	w.must(err)
	list := func(in awskms.DescribeCustomKeyStoresInput) (*awskms.DescribeCustomKeyStoresOutput, error) {
		out, _, err := w.call("DescribeCustomKeyStores", &in)
		if err != nil {
			return nil, err
		}
		return out.(*awskms.DescribeCustomKeyStoresOutput), nil
	}
	_, err = list(awskms.DescribeCustomKeyStoresInput{CustomKeyStoreId: &a, CustomKeyStoreName: aws.String("Store")})
	w.wants(err, "ValidationException")
	_, err = list(awskms.DescribeCustomKeyStoresInput{CustomKeyStoreName: aws.String("store")})
	w.wants(err, "CustomKeyStoreNotFoundException")
	byName, err := list(awskms.DescribeCustomKeyStoresInput{CustomKeyStoreName: aws.String("Other")})
	w.must(err)
	if *byName.CustomKeyStores[0].CustomKeyStoreId != b || byName.Truncated {
		t.Errorf("%+v", byName)
	}
	first, err := list(awskms.DescribeCustomKeyStoresInput{Limit: aws.Int32(1)})
	w.must(err)
	if !first.Truncated || first.NextMarker == nil || len(first.CustomKeyStores) != 1 {
		t.Fatalf("%+v", first)
	}
	second, err := list(awskms.DescribeCustomKeyStoresInput{Limit: aws.Int32(1), Marker: first.NextMarker})
	w.must(err)
	if second.Truncated || second.NextMarker != nil || len(second.CustomKeyStores) != 1 ||
		*second.CustomKeyStores[0].CustomKeyStoreId == *first.CustomKeyStores[0].CustomKeyStoreId {
		t.Errorf("%+v", second)
	}
	for _, marker := range []string{"x", "!", base64.RawURLEncoding.EncodeToString([]byte("1:x:" + a)), *first.NextMarker + "A"} {
		_, err := list(awskms.DescribeCustomKeyStoresInput{Marker: &marker})
		w.wants(err, "InvalidMarkerException")
	}
}

func TestEvents63(t *testing.T) {
	w := newWorld(t)
	const secretly = "Secretly12345"
	_, event, err := w.call("CreateCustomKeyStore", createInput("Store", clusterA, secretly))
	w.must(err)
	line, err := event.AppendJSON(nil)
	w.must(err)
	contains(t, string(line), `"requestParameters":{"clusterId":"`+clusterA+`"}`)
	contains(t, string(line), `"responseElements":{"customKeyStoreId":"cks-`)
	id := w.describeName("Store")
	update := &awskms.UpdateCustomKeyStoreInput{
		CustomKeyStoreId: &id, KeyStorePassword: aws.String(secretly + "!"), CloudHsmClusterId: aws.String(clusterA),
		NewCustomKeyStoreName: aws.String("Renamed"),
	}
	_, event, err = w.call("UpdateCustomKeyStore", update)
	w.must(err)
	line, err = event.AppendJSON(nil)
	w.must(err)
	contains(t, string(line), `"requestParameters":{"clusterId":"`+clusterA+`"}`)
	contains(t, string(line), `"additionalEventData":{"customKeyStoreName":"Renamed","clusterId":"`+clusterA+`"}`)
	w.failing(id)
	w.must(w.disconnect(id))
	w.must(w.db.Events(t.Context(), func(line []byte) error {
		for _, hidden := range []string{secretly, "BEGIN CERTIFICATE", "MII"} {
			if strings.Contains(string(line), hidden) {
				t.Errorf("the event holds %q: %s", hidden, line)
			}
		}
		return nil
	}))
	for _, row := range w.m.Rows() {
		for _, member := range row.Logged {
			if member == "KeyStorePassword" || member == "TrustAnchorCertificate" {
				t.Errorf("%s logs %s", row.Name, member)
			}
		}
	}
	if strings.Contains(w.log.String(), secretly) {
		t.Error("the password is in the log")
	}
}

func (w *world) describeName(name string) string {
	w.t.Helper()
	out, _, err := w.call("DescribeCustomKeyStores", &awskms.DescribeCustomKeyStoresInput{CustomKeyStoreName: &name})
	w.must(err)
	return *out.(*awskms.DescribeCustomKeyStoresOutput).CustomKeyStores[0].CustomKeyStoreId
}
