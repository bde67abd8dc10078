package cloudtrail

import "bytes"

// splitLines takes text apart into its lines, without line feeds. They are copies.
func splitLines(text []byte) [][]byte {
	all := bytes.Split(bytes.TrimSuffix(bytes.Clone(text), []byte{'\n'}), []byte{'\n'})
	return all
}
