package server

import (
	"context"
	"errors"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/network"
)

// openNetwork makes the default VPC on a first start and claims the loopback addresses of all VPCs for this process.
func (i *installation) openNetwork(ctx context.Context) error {
	i.network = network.New(network.Config{
		Store: i.db.Network(), Now: i.clock.Now, Claim: network.ClaimBlock, Log: i.config.Log,
	})
	i.onClose(i.network.Close)
	_, err := i.network.DefaultBlock(ctx, i.scope)
	if errors.Is(err, fault.ErrNotFound) {
		err = i.makeDefaultVPC(ctx)
	}
	if err != nil {
		return err
	}
	return i.network.ClaimAll(ctx)
}

func (i *installation) makeDefaultVPC(ctx context.Context) error {
	block, err := network.FreeLoopbackBlock()
	if err != nil {
		return err
	}
	return i.network.CreateDefaultVPC(ctx, i.scope, block)
}

// sites is the network as clusters see it: HSMs are processes of this machine and listen on the addresses of their
// interfaces, so a cluster can only stand in subnets whose addresses the machine has.
type sites struct{ *network.Service }

// Subnet says in which VPC and Availability Zone a subnet lies, if a cluster can have it.
func (s sites) Subnet(ctx context.Context, scope arn.Scope, id string) (vpcID, zone string, err error) {
	err = s.Hostable(ctx, scope, id)
	if f, ok := fault.As(err); ok {
		return "", "", fault.New("CloudHsmInvalidRequestException", "%s", f.Message)
	}
	if err != nil {
		return "", "", err
	}
	return s.Service.Subnet(ctx, scope, id)
}
