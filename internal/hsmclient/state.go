package hsmclient

import "time"

// HsmState is how things stand with one HSM, for diagnosis.
type HsmState struct {
	Address   string // host:port
	Connected bool
	LoggedIn  bool
	Since     time.Time // of Connected, by Config.Now
	// Err is why it is not connected or, if it is, why not logged in; nil when all is well or nobody is to be logged
	// in. Compare with ErrUntrusted and codes of *hsmproto.Error.
	Err error
}

// State describes every HSM, in the order of their addresses.
func (c *Cluster) State() []HsmState {
	c.mu.Lock()
	defer c.mu.Unlock()
	members := c.sortedLocked()
	states := make([]HsmState, len(members))
	for i, m := range members {
		states[i] = HsmState{
			Address:   m.address,
			Connected: m.link != nil,
			LoggedIn:  m.loggedIn,
			Since:     m.since,
			Err:       c.troubleLocked(m),
		}
	}
	return states
}

func (c *Cluster) troubleLocked(m *member) error {
	switch {
	case m.link == nil:
		return m.err
	case m.loggedIn || c.login == nil:
		return nil
	case m.loginErr == nil:
		return c.login.refused
	default:
		return m.loginErr
	}
}
