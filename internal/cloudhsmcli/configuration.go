package cloudhsmcli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"keyward/internal/durable"
)

// Configuration is what the command line remembers about one cluster.
type Configuration struct {
	ClusterID string `json:"clusterId"`
	// Addresses of HSMs, IP or host:port. Without any the control plane is asked each time.
	Addresses []string `json:"addresses,omitempty"`
	Region    string   `json:"region,omitempty"`   // of the control plane; empty: as the AWS environment says
	Endpoint  string   `json:"endpoint,omitempty"` // URL of the control plane, unless the AWS environment names one
	// DisableKeyAvailabilityCheck allows keys that are on one HSM only.
	DisableKeyAvailabilityCheck bool `json:"disableKeyAvailabilityCheck,omitempty"`
	// TrustAnchor is the customer's CA in PEM. It lies in a file of its own beside the rest.
	TrustAnchor string `json:"-"`
}

var clusterIDs = regexp.MustCompile(`^cluster-[2-7a-zA-Z]{11,16}$`)

const (
	configurationSuffix = ".json"
	anchorSuffix        = ".crt"
	maxConfiguration    = 1 << 20 // bytes of a file that is read
)

// ConfigurationDir is where configurations are kept: in the installation's data folder if KEYWARD_DATA names one, else
// in the user's own configuration folder.
func ConfigurationDir(getenv func(string) string) (string, error) {
	if data := getenv("KEYWARD_DATA"); data != "" {
		return filepath.Join(data, "cloudhsm-cli"), nil
	}
	if config := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(config) {
		return filepath.Join(config, "keyward", "cloudhsm-cli"), nil
	}
	home := getenv("HOME")
	if home == "" {
		return "", errors.New("neither KEYWARD_DATA nor HOME says where to keep configurations")
	}
	return filepath.Join(home, ".config", "keyward", "cloudhsm-cli"), nil
}

// SaveConfiguration keeps c in dir, which it makes if need be, in place of what was kept for the cluster. The trust
// anchor is written first, so that no configuration is without one.
func SaveConfiguration(dir string, c Configuration) error {
	if !clusterIDs.MatchString(c.ClusterID) {
		return fmt.Errorf("%q is not a cluster id", c.ClusterID)
	}
	if err := checkAnchor(c.TrustAnchor); err != nil {
		return err
	}
	encoded, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the configuration of %s: %w", c.ClusterID, err)
	}
	if err := durable.Mkdir(dir); err != nil {
		return fmt.Errorf("making the folder of configurations: %w", err)
	}
	path := filepath.Join(dir, c.ClusterID)
	if err := durable.WriteFile(path+anchorSuffix, []byte(c.TrustAnchor)); err != nil {
		return err
	}
	return durable.WriteFile(path+configurationSuffix, append(encoded, '\n'))
}

// loadConfiguration reads what is kept for a cluster; fs.ErrNotExist if nothing is.
func loadConfiguration(dir, clusterID string) (Configuration, error) {
	if !clusterIDs.MatchString(clusterID) {
		return Configuration{}, fmt.Errorf("%q is not a cluster id", clusterID)
	}
	path := filepath.Join(dir, clusterID)
	encoded, err := readSmall(path + configurationSuffix)
	if err != nil {
		return Configuration{}, err
	}
	var c Configuration
	if err := json.Unmarshal(encoded, &c); err != nil {
		return Configuration{}, fmt.Errorf("reading the configuration of %s: %w", clusterID, err)
	}
	c.ClusterID = clusterID
	anchor, err := readSmall(path + anchorSuffix)
	c.TrustAnchor = string(anchor)
	return c, err
}

// readSmall reads a file that should be small.
func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxConfiguration {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), maxConfiguration)
	}
	return os.ReadFile(path)
}

// configured lists the ids of the clusters that are remembered.
func configured(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing configurations: %w", err)
	}
	var ids []string
	for _, entry := range entries {
		id, ok := strings.CutSuffix(entry.Name(), configurationSuffix)
		if ok && clusterIDs.MatchString(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}
