package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// A frame is a record as it stands in a segment: its position (8 bytes), its length (4), the checksum of both and of
// the record (4), all big-endian, the record, and zeros up to the next block.
const headerSize = 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame appends the record of parts as a frame for a position.
func appendFrame(b []byte, at Position, parts ...[]byte) []byte {
	start := len(b)
	b = append(b, make([]byte, headerSize)...)
	for _, p := range parts {
		b = append(b, p...)
	}
	header, record := b[start:start+headerSize], b[start+headerSize:]
	binary.BigEndian.PutUint64(header, uint64(at))
	binary.BigEndian.PutUint32(header[8:], uint32(len(record))) //nolint:gosec // at most MaxRecord
	binary.BigEndian.PutUint32(header[12:], checksum(header, record))
	return append(b, make([]byte, padding(len(b)-start))...)
}

func checksum(header, record []byte) uint32 {
	return crc32.Update(crc32.Checksum(header[:12], castagnoli), castagnoli, record)
}

// padding fills a block that was begun.
func padding(length int) int { return (block - length%block) % block }

// errNoFrame: what stands there is no whole record of that position.
var errNoFrame = errors.New("journal: no record")

// readFrame reads the record at a position, which is offset bytes into a segment, and returns the frame's length too.
func readFrame(r io.ReaderAt, at Position, offset int64) (record []byte, length int64, err error) {
	var header [headerSize]byte
	if _, err := r.ReadAt(header[:], offset); err != nil {
		return nil, 0, orNoFrame(err)
	}
	n := binary.BigEndian.Uint32(header[8:])
	if Position(binary.BigEndian.Uint64(header[:])) != at || n == 0 || n > MaxRecord { //nolint:gosec // compared only
		return nil, 0, errNoFrame
	}
	record = make([]byte, n)
	if _, err := r.ReadAt(record, offset+headerSize); err != nil {
		return nil, 0, orNoFrame(err)
	}
	if checksum(header[:], record) != binary.BigEndian.Uint32(header[12:]) {
		return nil, 0, errNoFrame
	}
	length = headerSize + int64(n)
	return record, length + int64(padding(int(length))), nil
}

// orNoFrame: a file may end anywhere.
func orNoFrame(err error) error {
	if errors.Is(err, io.EOF) {
		return errNoFrame
	}
	return err
}
