package sqlite

import "bytes"

// eachLine calls yield with each line of text, without its line feed.
func eachLine(text []byte, yield func([]byte) error) error {
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		if err := yield(line); err != nil {
			return err
		}
		text = rest
	}
	return nil
}
