package cloudhsm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"
)

// transitions of a cluster: from each state, the states it may enter next (API reference, ClusterState, and the user
// guide's page on cluster states).
var transitions = map[types.ClusterState][]types.ClusterState{
	// A cluster created from a backup was initialised and activated before.
	types.ClusterStateCreateInProgress: {types.ClusterStateUninitialized, types.ClusterStateActive},
	types.ClusterStateUninitialized:    {types.ClusterStateInitializeInProgress, types.ClusterStateDeleteInProgress},
	// An HSM that is lost while it is being initialised leaves nothing behind.
	types.ClusterStateInitializeInProgress: {types.ClusterStateInitialized, types.ClusterStateUninitialized},
	// Nor does the last HSM of a cluster that nobody activated.
	types.ClusterStateInitialized: {types.ClusterStateActive, types.ClusterStateUpdateInProgress, types.ClusterStateDegraded,
		types.ClusterStateUninitialized, types.ClusterStateDeleteInProgress},
	types.ClusterStateActive:           {types.ClusterStateUpdateInProgress, types.ClusterStateDegraded, types.ClusterStateDeleteInProgress},
	types.ClusterStateUpdateInProgress: {types.ClusterStateActive, types.ClusterStateDegraded},
	types.ClusterStateDegraded:         {types.ClusterStateActive, types.ClusterStateUpdateInProgress, types.ClusterStateDeleteInProgress},
	types.ClusterStateDeleteInProgress: {types.ClusterStateDeleted},
	types.ClusterStateDeleted:          {},
}

// hsmTransitions of an HSM. A DELETED HSM is no longer in its cluster's list.
var hsmTransitions = map[types.HsmState][]types.HsmState{
	types.HsmStateCreateInProgress: {types.HsmStateActive, types.HsmStateDegraded, types.HsmStateDeleteInProgress},
	types.HsmStateActive:           {types.HsmStateDegraded, types.HsmStateDeleteInProgress},
	types.HsmStateDegraded:         {types.HsmStateActive, types.HsmStateDeleteInProgress},
	types.HsmStateDeleteInProgress: {types.HsmStateDeleted},
}

// serving are the states of an activated cluster.
var serving = []types.ClusterState{types.ClusterStateActive, types.ClusterStateUpdateInProgress, types.ClusterStateDegraded}

// permitted lists, for the operations that depend on it, the cluster's states in which they are accepted.
var permitted = map[string][]types.ClusterState{
	"CreateHsm": append([]types.ClusterState{types.ClusterStateUninitialized, types.ClusterStateInitialized}, serving...),
	"DeleteHsm": append([]types.ClusterState{types.ClusterStateUninitialized, types.ClusterStateInitializeInProgress,
		types.ClusterStateInitialized}, serving...),
	"InitializeCluster": {types.ClusterStateUninitialized},
	"DeleteCluster": {types.ClusterStateUninitialized, types.ClusterStateInitialized, types.ClusterStateActive,
		types.ClusterStateDegraded},
}

// permit refuses an operation that the cluster's state does not allow.
func permit(operation string, c *Cluster) error {
	allowed := permitted[operation]
	if slices.Contains(allowed, c.State) {
		return nil
	}
	names := make([]string, len(allowed))
	for i, s := range allowed {
		names[i] = string(s)
	}
	return invalid("Cluster %s is in state %s. %s requires state %s.", c.ID, c.State, operation, strings.Join(names, ", "))
}

// enter moves the cluster to a state; staying is always possible. An error is a mistake in this package.
func (c *Cluster) enter(to types.ClusterState, message string) error {
	if c.State != to && !slices.Contains(transitions[c.State], to) {
		return fmt.Errorf("cloudhsm: cluster %s cannot go from %s to %s", c.ID, c.State, to)
	}
	c.State, c.StateMessage = to, message
	return nil
}

// enter moves the HSM to a state, like Cluster.enter.
func (h *Hsm) enter(to types.HsmState, message string) error {
	if h.State != to && !slices.Contains(hsmTransitions[h.State], to) {
		return fmt.Errorf("cloudhsm: HSM %s cannot go from %s to %s", h.ID, h.State, to)
	}
	h.State, h.StateMessage = to, message
	return nil
}

// settleState gives an activated cluster the state that its HSMs amount to.
func (c *Cluster) settleState() error {
	if !c.Serving() {
		return nil
	}
	state, message := types.ClusterStateActive, ""
	if len(c.Hsms) > 0 && len(c.ActiveHsms()) == 0 {
		state, message = types.ClusterStateDegraded, "No HSM of the cluster is healthy."
	}
	for _, h := range c.Hsms {
		if h.State == types.HsmStateCreateInProgress || h.State == types.HsmStateDeleteInProgress {
			state, message = types.ClusterStateUpdateInProgress, "HSMs are being added or removed."
		}
	}
	return c.enter(state, message)
}
