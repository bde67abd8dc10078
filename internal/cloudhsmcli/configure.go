package cloudhsmcli

import "context"

// configureCommand is `configure`: what AWS's configure-cli does (cloudhsm-cli.md section 1). What is not given keeps
// its value, except the addresses: without any the control plane is asked each time.
type configureCommand struct {
	Region   string `placeholder:"REGION" help:"Region of the control plane."`
	Endpoint string `placeholder:"URL" help:"Where the control plane is."`
	Enable   bool   `name:"enable-key-availability-check" help:"Allow only keys that are on at least two HSMs again."`
}

func (c *configureCommand) run(_ context.Context, s *session) (any, error) {
	if s.options.ClusterID == "" {
		return nil, failure("Which cluster: give --cluster-id ID")
	}
	dir, err := ConfigurationDir(s.env.Getenv)
	if err != nil {
		return nil, err
	}
	kept, err := remembered(dir, s.options.ClusterID)
	if err != nil {
		return nil, err
	}
	t := target{Configuration: kept}
	t.Addresses = nil
	if err := t.override(s.options); err != nil {
		return nil, err
	}
	c.apply(&t.Configuration)
	if t.TrustAnchor == "" {
		return nil, failure("Which CA signed the cluster certificate: give --hsm-ca-cert FILE")
	}
	if err := SaveConfiguration(dir, t.Configuration); err != nil {
		return nil, err
	}
	return messageAnswer{"Configuration saved"}, nil
}

func (c *configureCommand) apply(to *Configuration) {
	if c.Region != "" {
		to.Region = c.Region
	}
	if c.Endpoint != "" {
		to.Endpoint = c.Endpoint
	}
	if c.Enable {
		to.DisableKeyAvailabilityCheck = false
	}
}
