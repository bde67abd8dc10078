package cloudhsmcli

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"
)

// controlPlaneLimit bounds all questions to the control plane together.
const controlPlaneLimit = 15 * time.Second

// describeClusters asks the control plane that c, or else the AWS environment, names. An empty id asks for all.
func describeClusters(ctx context.Context, c Configuration) ([]types.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, controlPlaneLimit)
	defer cancel()
	client, err := newControlPlane(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("preparing to ask the control plane: %w", err)
	}
	input := &cloudhsmv2.DescribeClustersInput{}
	if c.ClusterID != "" {
		input.Filters = map[string][]string{"clusterIds": {c.ClusterID}}
	}
	var clusters []types.Cluster
	for pages := cloudhsmv2.NewDescribeClustersPaginator(client, input); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("asking the control plane: %w", err)
		}
		clusters = append(clusters, page.Clusters...)
	}
	return clusters, nil
}

// newControlPlane prefers the endpoint of the environment, which an installation renews with every start, to the one
// remembered.
func newControlPlane(ctx context.Context, c Configuration) (*cloudhsmv2.Client, error) {
	options := []func(*config.LoadOptions) error{
		config.WithEC2IMDSClientEnableState(imds.ClientDisabled), // it would be waited for where there is none
		config.WithRetryMaxAttempts(2),
	}
	if c.Region != "" {
		options = append(options, config.WithRegion(c.Region))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	return cloudhsmv2.NewFromConfig(loaded, func(o *cloudhsmv2.Options) {
		if o.BaseEndpoint == nil && c.Endpoint != "" {
			o.BaseEndpoint = &c.Endpoint
		}
	}), nil
}

// activeHsms are the addresses of the HSMs that the control plane counts as ACTIVE.
func activeHsms(ctx context.Context, c Configuration) ([]string, error) {
	clusters, err := describeClusters(ctx, c)
	if err != nil {
		return nil, err
	}
	if len(clusters) == 0 {
		return nil, failf("Cluster %s does not exist", c.ClusterID)
	}
	var addresses []string
	for _, hsm := range clusters[0].Hsms {
		if hsm.State == types.HsmStateActive && aws.ToString(hsm.EniIp) != "" {
			addresses = append(addresses, *hsm.EniIp)
		}
	}
	if len(addresses) == 0 {
		return nil, textUnreachable
	}
	return addresses, nil
}

// onlyCluster is the id of the one cluster that exists.
func onlyCluster(ctx context.Context, c Configuration) (string, error) {
	clusters, err := describeClusters(ctx, c)
	if err != nil {
		return "", err
	}
	id := ""
	for _, cluster := range clusters {
		if cluster.State == types.ClusterStateDeleted || cluster.State == types.ClusterStateDeleteInProgress {
			continue
		}
		if id != "" {
			return "", failure("There are several clusters: give --cluster-id ID")
		}
		id = aws.ToString(cluster.ClusterId)
	}
	if id == "" {
		return "", failure("There is no cluster")
	}
	return id, nil
}
