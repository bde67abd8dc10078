package cloudtrail

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"time"

	"keyward/internal/arn"
)

// Bucket is what stands for the S3 bucket's name in digests: keyward's trail is a folder, and keys of objects are paths
// below it.
const Bucket = "trail"

// TrailName is the trail's name in the names of digest files.
const TrailName = "keyward"

// Formats of instants in paths.
const (
	dayFolder   = "2006/01/02"
	logInstant  = "20060102T1504Z"
	fullInstant = "20060102T150405Z"
)

// logPath names a new log file (CloudTrail User Guide, "Finding your CloudTrail log files").
func logPath(scope arn.Scope, at time.Time) string {
	at = at.UTC()
	return fmt.Sprintf("AWSLogs/%[1]s/CloudTrail/%[2]s/%[3]s/%[1]s_CloudTrail_%[2]s_%[4]s_%[5]s.json.gz",
		scope.Account, scope.Region, at.Format(dayFolder), at.Format(logInstant), unique())
}

// digestPath names the digest file that ends at end. The trail of each Region is at home there.
func digestPath(scope arn.Scope, end time.Time) string {
	end = end.UTC()
	return fmt.Sprintf("AWSLogs/%[1]s/CloudTrail-Digest/%[2]s/%[3]s/%[1]s_CloudTrail-Digest_%[2]s_%[4]s_%[2]s_%[5]s.json.gz",
		scope.Account, scope.Region, end.Format(dayFolder), TrailName, end.Format(fullInstant))
}

// sidecar is where a digest's signature is, which S3 would keep as metadata of the object.
func sidecar(digestPath string) string { return digestPath + ".sig" }

// unique makes the 16 characters that keep names of one minute apart.
func unique() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	out := make([]byte, 0, 16)
	for len(out) < cap(out) {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails; the program would have ended
		for _, c := range b {
			// Values beyond the last whole alphabet would favour its beginning.
			if int(c) < len(alphabet)*(256/len(alphabet)) && len(out) < cap(out) {
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(out)
}

var (
	logForm = regexp.MustCompile(
		`^AWSLogs/([0-9]{12})/CloudTrail/([a-z0-9-]+)/\d{4}/\d\d/\d\d/[0-9]{12}_CloudTrail_[a-z0-9-]+_(\d{8}T\d{4}Z)_[A-Za-z0-9]{16}\.json\.gz$`)
	digestForm = regexp.MustCompile(
		`^AWSLogs/([0-9]{12})/CloudTrail-Digest/([a-z0-9-]+)/\d{4}/\d\d/\d\d/[0-9]{12}_CloudTrail-Digest_[a-z0-9-]+_` + TrailName +
			`_[a-z0-9-]+_(\d{8}T\d{6}Z)\.json\.gz$`)
)

// readPath tells what kind of file a path names, whose it is and its instant. It fails for anything else.
func readPath(path string) (kind Kind, scope arn.Scope, at time.Time, ok bool) {
	kind, layout := Log, logInstant
	m := logForm.FindStringSubmatch(path)
	if m == nil {
		kind, layout = Digest, fullInstant
		m = digestForm.FindStringSubmatch(path)
	}
	if m == nil {
		return "", arn.Scope{}, time.Time{}, false
	}
	at, err := time.Parse(layout, m[3])
	return kind, arn.Scope{Account: m[1], Region: m[2]}, at, err == nil
}
