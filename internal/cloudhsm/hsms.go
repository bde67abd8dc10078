package cloudhsm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
)

// requester marks the network interfaces made here.
const requester = "cloudhsm"

// eniDescription is what the interface of an HSM says about itself.
const eniDescription = "CloudHSM Managed Interface"

func (s *Service) createHsm(ctx context.Context, call *operation.Call, in *api.CreateHsmInput) (*api.CreateHsmOutput, error) {
	read := func(scope arn.Scope, id string) (*Cluster, error) { return s.store.Cluster(ctx, scope, id) }
	c, err := current(read, call.Scope, aws.ToString(in.ClusterId))
	if err != nil {
		return nil, err
	}
	zone := aws.ToString(in.AvailabilityZone)
	if err := admitHsm(c, zone); err != nil {
		return nil, err
	}
	h := Hsm{ID: newID("hsm-"), Zone: zone, SubnetID: c.SubnetMapping[zone], State: types.HsmStateCreateInProgress}
	if err := s.admitRestore(ctx, c); err != nil {
		return nil, err
	}
	s.allocation.RLock()
	defer s.allocation.RUnlock()
	if h.EniID, h.EniIP, err = s.allocate(ctx, c, &h, aws.ToString(in.IpAddress)); err != nil {
		return nil, err
	}
	// The interface is there before the HSM is recorded; one that a crash leaves over is released by the next Run.
	c, err = s.change(ctx, call, c.ID, func(tx Tx, c *Cluster) error { return s.addHsm(tx, call, c, h) })
	if err != nil {
		return nil, errors.Join(err, s.network.ReleaseInterface(context.WithoutCancel(ctx), call.Scope, h.EniID))
	}
	out := c.Hsms[len(c.Hsms)-1].wire(c)
	return &api.CreateHsmOutput{Hsm: &out}, nil
}

// allocate takes the HSM's network interface; refusals of the network become the API's own.
func (s *Service) allocate(ctx context.Context, c *Cluster, h *Hsm, address string) (eniID, ip string, err error) {
	eniID, ip, err = s.network.AllocateInterface(ctx, c.Scope, h.SubnetID, c.SecurityGroup, address, requester, eniDescription)
	if errors.Is(err, fault.ErrNotFound) {
		return "", "", invalid("Subnet %s of Availability Zone %s or security group %s no longer exists.", h.SubnetID, h.Zone, c.SecurityGroup)
	}
	if f, ok := fault.As(err); ok {
		return "", "", invalid("%s", f.Message).Because(err)
	}
	if err != nil {
		return "", "", fmt.Errorf("allocating a network interface: %w", err)
	}
	return eniID, ip, nil
}

// admitHsm checks whether the cluster takes another HSM in the zone.
func admitHsm(c *Cluster, zone string) error {
	if c.SubnetMapping[zone] == "" {
		return invalid("Cluster %s has no subnet in Availability Zone %s.", c.ID, zone)
	}
	if err := permit("CreateHsm", c); err != nil {
		return err
	}
	if len(c.Hsms) >= maxHsmsPerCluster {
		return invalid("Cluster %s has reached its limit of %d HSMs.", c.ID, maxHsmsPerCluster)
	}
	if c.State == types.ClusterStateUninitialized && len(c.Hsms) > 0 {
		return invalid("Cluster %s is in state %s and has an HSM already. Initialize the cluster before you add HSMs.", c.ID, c.State)
	}
	return nil
}

// admitRestore makes sure that there is a backup from which an activated cluster without HSMs can go on.
func (s *Service) admitRestore(ctx context.Context, c *Cluster) error {
	if !c.Serving() || len(c.Hsms) > 0 {
		return nil
	}
	all, err := s.store.Backups(ctx, c.Scope)
	if err != nil {
		return err
	}
	b := c.latest(all)
	if b == nil {
		return invalid("Cluster %s has neither an HSM nor a READY backup from which one could be restored.", c.ID)
	}
	return s.checkBackup(b)
}

// addHsm records a new HSM. Where the cluster serves already, a backup is made of what the new HSM is to hold (user
// guide, "AWS CloudHSM cluster backups").
func (s *Service) addHsm(tx Tx, call *operation.Call, c *Cluster, h Hsm) error {
	if err := admitHsm(c, h.Zone); err != nil {
		return err
	}
	if err := s.checkHsmQuota(tx, c.Scope); err != nil {
		return err
	}
	if c.Serving() && len(c.Hsms) > 0 {
		c.BackupDue = true
	}
	c.Hsms = append(c.Hsms, h)
	call.Event.Response.Add("hsm", hsmEvent(c, &h))
	return c.settleState()
}

func (s *Service) checkHsmQuota(tx Tx, scope arn.Scope) error {
	all, err := tx.Clusters(scope)
	if err != nil {
		return err
	}
	existing := 0
	for _, c := range all {
		existing += len(c.Hsms)
	}
	if existing >= s.quotas.Hsms {
		return overQuota("The account has reached its limit of %d HSMs in this Region.", s.quotas.Hsms)
	}
	return nil
}

func (s *Service) deleteHsm(ctx context.Context, call *operation.Call, in *api.DeleteHsmInput) (*api.DeleteHsmOutput, error) {
	var id string
	_, err := s.change(ctx, call, aws.ToString(in.ClusterId), func(_ Tx, c *Cluster) error {
		h, err := selectHsm(c, in)
		if err != nil {
			return err
		}
		if err := permit("DeleteHsm", c); err != nil {
			return err
		}
		id = h.ID
		call.Event.Response.Add("hsmId", id)
		if err := h.enter(types.HsmStateDeleteInProgress, ""); err != nil {
			return err
		}
		c.BackupDue = c.Serving() // before the HSM goes
		return c.settleState()
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteHsmOutput{HsmId: &id}, nil
}

// selectHsm finds the one HSM that all given selectors name.
func selectHsm(c *Cluster, in *api.DeleteHsmInput) (*Hsm, error) {
	selectors := []struct {
		value *string
		of    func(*Hsm) string
	}{
		{in.HsmId, func(h *Hsm) string { return h.ID }},
		{in.EniId, func(h *Hsm) string { return h.EniID }},
		{in.EniIp, func(h *Hsm) string { return h.EniIP }},
	}
	var found *Hsm
	for _, by := range selectors {
		if by.value == nil {
			continue
		}
		at := slices.IndexFunc(c.Hsms, func(h Hsm) bool { return by.of(&h) == *by.value })
		if at < 0 {
			return nil, fault.New(codeNotFound, "No HSM of cluster %s matches %s.", c.ID, *by.value)
		}
		if found != nil && found != &c.Hsms[at] {
			return nil, invalid("HsmId, EniId and EniIp do not name the same HSM.")
		}
		found = &c.Hsms[at]
	}
	if found == nil {
		return nil, invalid("Specify one of HsmId, EniId or EniIp.")
	}
	return found, nil
}
