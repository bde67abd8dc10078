package cloudtrail

import "bytes"

// splitLines takes text apart into its lines, without line feeds.
func splitLines(text []byte) [][]byte {
	return bytes.Split(bytes.TrimSuffix(text, []byte{'\n'}), []byte{'\n'})
}
