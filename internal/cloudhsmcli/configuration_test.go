package cloudhsmcli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	clusterA = "cluster-aaaaaaaaaaa"
	clusterB = "cluster-bbbbbbbbbbb"
)

// anchor makes a CA certificate.
func anchor(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestConfigurationIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	want := Configuration{
		ClusterID: clusterA, Addresses: []string{"127.0.0.1"}, Region: "eu-west-1", Endpoint: "http://127.0.0.1:4766",
		DisableKeyAvailabilityCheck: true, TrustAnchor: anchor(t),
	}
	if err := SaveConfiguration(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := loadConfiguration(dir, clusterA)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	ids, err := configured(dir)
	if err != nil || !slices.Equal(ids, []string{clusterA}) {
		t.Errorf("%v, %v", ids, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	if _, err := loadConfiguration(dir, clusterB); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a cluster that is not configured: %v", err)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	for name, c := range map[string]Configuration{
		"a path as id":     {ClusterID: "../cluster-aaaaaaaaaaa", TrustAnchor: anchor(t)},
		"no id":            {TrustAnchor: anchor(t)},
		"no trust anchor":  {ClusterID: clusterA},
		"a broken anchor":  {ClusterID: clusterA, TrustAnchor: "-----BEGIN CERTIFICATE-----"},
		"digits not in id": {ClusterID: "cluster-11111111111", TrustAnchor: anchor(t)},
	} {
		dir := t.TempDir()
		if err := SaveConfiguration(dir, c); err == nil {
			t.Errorf("%s was accepted", name)
		}
		if ids, _ := configured(dir); len(ids) != 0 {
			t.Errorf("%s was kept", name)
		}
	}
}

func TestConfigurationDir(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"KEYWARD_DATA": "/data", "HOME": "/home/x"}, "/data/cloudhsm-cli"},
		{map[string]string{"XDG_CONFIG_HOME": "/config", "HOME": "/home/x"}, "/config/keyward/cloudhsm-cli"},
		{map[string]string{"XDG_CONFIG_HOME": "relative", "HOME": "/home/x"}, "/home/x/.config/keyward/cloudhsm-cli"},
	} {
		got, err := ConfigurationDir(func(name string) string { return test.env[name] })
		if err != nil || got != test.want {
			t.Errorf("%v: %s, %v", test.env, got, err)
		}
	}
	if _, err := ConfigurationDir(func(string) string { return "" }); err == nil {
		t.Error("a folder was found in an empty environment")
	}
}

// controlPlane answers DescribeClusters with these clusters.
func controlPlane(t *testing.T, clusters ...map[string]any) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request struct{ Filters map[string][]string }
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DescribeClusters") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		var found []map[string]any
		for _, cluster := range clusters {
			ids, ok := request.Filters["clusterIds"]
			if !ok || slices.Contains(ids, cluster["ClusterId"].(string)) {
				found = append(found, cluster)
			}
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(map[string]any{"Clusters": found})
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	return server.URL
}

func hsm(address, state string) map[string]any {
	return map[string]any{"HsmId": "hsm-" + address, "EniIp": address, "State": state}
}

func describedCluster(id, state string, hsms ...map[string]any) map[string]any {
	return map[string]any{"ClusterId": id, "State": state, "Hsms": hsms}
}

func TestActiveHsms(t *testing.T) {
	controlPlane(t,
		describedCluster(clusterA, "ACTIVE", hsm("127.9.0.1", "ACTIVE"), hsm("127.9.0.2", "DEGRADED"), hsm("127.9.0.3", "ACTIVE")),
		describedCluster(clusterB, "ACTIVE"))
	got, err := activeHsms(t.Context(), Configuration{ClusterID: clusterA})
	if err != nil || !slices.Equal(got, []string{"127.9.0.1", "127.9.0.3"}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := activeHsms(t.Context(), Configuration{ClusterID: clusterB}); err == nil || text(err) != textUnreachable.Error() {
		t.Errorf("a cluster without HSMs: %v", err)
	}
	if _, err := activeHsms(t.Context(), Configuration{ClusterID: "cluster-ccccccccccc"}); err == nil {
		t.Error("a cluster that does not exist has HSMs")
	}
}

func TestEndpointOfTheConfiguration(t *testing.T) {
	url := controlPlane(t, describedCluster(clusterA, "ACTIVE", hsm("127.9.0.1", "ACTIVE")))
	t.Setenv("AWS_ENDPOINT_URL", "")
	t.Setenv("AWS_REGION", "")
	got, err := activeHsms(t.Context(), Configuration{ClusterID: clusterA, Region: "eu-west-1", Endpoint: url})
	if err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	t.Setenv("AWS_ENDPOINT_URL", url)
	got, err = activeHsms(t.Context(), Configuration{ClusterID: clusterA, Region: "eu-west-1", Endpoint: "http://127.0.0.1:1"})
	if err != nil || len(got) != 1 {
		t.Errorf("the environment does not outweigh what is remembered: %v, %v", got, err)
	}
}

func TestOnlyCluster(t *testing.T) {
	for name, test := range map[string]struct {
		clusters []map[string]any
		want     string
	}{
		"one":         {[]map[string]any{describedCluster(clusterA, "ACTIVE")}, clusterA},
		"one deleted": {[]map[string]any{describedCluster(clusterA, "INITIALIZED"), describedCluster(clusterB, "DELETED")}, clusterA},
		"two":         {[]map[string]any{describedCluster(clusterA, "ACTIVE"), describedCluster(clusterB, "ACTIVE")}, ""},
		"none":        {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			controlPlane(t, test.clusters...)
			got, err := onlyCluster(t.Context(), Configuration{})
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
