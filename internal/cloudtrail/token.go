package cloudtrail

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"

	"keyward/internal/fault"
)

var errToken = fault.New("InvalidNextTokenException", "A token that is not valid, or a token that was previously used in a request "+
	"with different parameters. This exception is thrown if the token is not valid.")

// A token is the position of the last record of the page before and a mark of the question, which must be the same on
// the next page: version, three numbers, mark.
const (
	tokenVersion = 1
	markSize     = 8
	tokenSize    = 1 + 3*8 + markSize
)

func writeToken(in *cloudtrail.LookupEventsInput, at position) string {
	b := make([]byte, 0, tokenSize)
	b = append(b, tokenVersion)
	for _, n := range []int64{at.ms, at.segment, int64(at.index)} {
		b = binary.BigEndian.AppendUint64(b, uint64(n)) //nolint:gosec // read back the same way
	}
	return base64.StdEncoding.EncodeToString(append(b, mark(in)...))
}

// readToken returns nil if the input has no token.
func readToken(in *cloudtrail.LookupEventsInput) (*position, error) {
	if in.NextToken == nil {
		return nil, nil
	}
	b, err := base64.StdEncoding.DecodeString(*in.NextToken)
	if err != nil || len(b) != tokenSize || b[0] != tokenVersion || string(b[tokenSize-markSize:]) != string(mark(in)) {
		return nil, errToken
	}
	number := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[1+8*i:])) } //nolint:gosec // as written
	return &position{number(0), number(1), int(number(2))}, nil
}

// mark tells questions apart. The number of results may differ from page to page.
func mark(in *cloudtrail.LookupEventsInput) []byte {
	h := sha256.New()
	for _, a := range in.LookupAttributes {
		_, _ = fmt.Fprintf(h, "%q=%q\n", a.AttributeKey, aws.ToString(a.AttributeValue)) // a hash does not fail
	}
	if in.StartTime != nil {
		_, _ = fmt.Fprintf(h, "from %d\n", in.StartTime.Unix())
	}
	if in.EndTime != nil {
		_, _ = fmt.Fprintf(h, "to %d\n", in.EndTime.Unix())
	}
	return h.Sum(nil)[:markSize]
}
