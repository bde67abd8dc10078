package hsm

// EachKey calls f for every key, in ascending order of references. id belongs to the machine.
func (m *Machine) EachKey(f func(reference uint64, id []byte)) {
	for _, reference := range m.order {
		f(reference, m.keys[reference].ID)
	}
}
