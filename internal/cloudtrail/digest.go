package cloudtrail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// digestFile is a digest's text (CloudTrail User Guide, "CloudTrail digest file structure"). The hashes of compressed
// files are keyward's addition: the others are over the text, and some bits of a compressed file may change without
// changing the text.
type digestFile struct {
	AccountID             string    `json:"awsAccountId"`
	Start                 string    `json:"digestStartTime"`
	End                   string    `json:"digestEndTime"`
	Bucket                string    `json:"digestS3Bucket"`
	Object                string    `json:"digestS3Object"`
	PublicKeyFingerprint  string    `json:"digestPublicKeyFingerprint"`
	SignatureAlgorithm    string    `json:"digestSignatureAlgorithm"`
	NewestEventTime       *string   `json:"newestEventTime"`
	OldestEventTime       *string   `json:"oldestEventTime"`
	PreviousBucket        *string   `json:"previousDigestS3Bucket"`
	PreviousObject        *string   `json:"previousDigestS3Object"`
	PreviousHashValue     *string   `json:"previousDigestHashValue"`
	PreviousHashAlgorithm *string   `json:"previousDigestHashAlgorithm"`
	PreviousSignature     *string   `json:"previousDigestSignature"`
	PreviousFileHash      *string   `json:"previousDigestCompressedHashValue"`
	LogFiles              []logFile `json:"logFiles"`
}

type logFile struct {
	Bucket          string `json:"s3Bucket"`
	Object          string `json:"s3Object"`
	HashValue       string `json:"hashValue"`
	HashAlgorithm   string `json:"hashAlgorithm"`
	NewestEventTime string `json:"newestEventTime"`
	OldestEventTime string `json:"oldestEventTime"`
	FileHash        string `json:"compressedHashValue"`
}

// newDigest writes down a planned digest; previous is nil at the beginning of a chain.
func newDigest(f *File, fingerprint string, previous *File, logs []*File) digestFile {
	d := digestFile{
		AccountID: f.Scope.Account, Start: instant(f.Start), End: instant(f.End), Bucket: Bucket, Object: f.Path,
		PublicKeyFingerprint: fingerprint, SignatureAlgorithm: signatureName, LogFiles: []logFile{},
	}
	if previous != nil {
		bucket, algorithm := Bucket, hashName
		d.PreviousBucket, d.PreviousObject = &bucket, &previous.Path
		d.PreviousHashValue, d.PreviousHashAlgorithm = &previous.Hash, &algorithm
		d.PreviousSignature, d.PreviousFileHash = &previous.Signature, &previous.FileHash
	}
	for _, l := range logs {
		d.LogFiles = append(d.LogFiles, logFile{
			Bucket: Bucket, Object: l.Path, HashValue: l.Hash, HashAlgorithm: hashName,
			NewestEventTime: instant(l.Newest), OldestEventTime: instant(l.Oldest), FileHash: l.FileHash,
		})
		widen(f, l.Oldest, l.Newest)
	}
	if len(logs) > 0 {
		newest, oldest := instant(f.Newest), instant(f.Oldest)
		d.NewestEventTime, d.OldestEventTime = &newest, &oldest
	}
	return d
}

// widen makes the span of f's events hold another one.
func widen(f *File, oldest, newest time.Time) {
	if f.Oldest.IsZero() || oldest.Before(f.Oldest) {
		f.Oldest = oldest
	}
	if newest.After(f.Newest) {
		f.Newest = newest
	}
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// toSign is what a digest's signature is over.
func (d *digestFile) toSign(hash string) string {
	previous := "null"
	if d.PreviousSignature != nil {
		previous = *d.PreviousSignature
	}
	return fmt.Sprintf("%s\n%s/%s\n%s\n%s", d.End, d.Bucket, d.Object, hash, previous)
}

// readDigest accepts exactly what newDigest makes: no member twice, none unknown, nothing before or after.
func readDigest(text []byte) (*digestFile, error) {
	var d digestFile
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	again, err := json.Marshal(&d)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, text) {
		return nil, fmt.Errorf("not written as digests are")
	}
	return &d, nil
}

// metadata is a digest's sidecar: what S3 would keep beside the object, and the hash of the compressed file.
type metadata struct {
	Signature string `json:"x-amz-meta-signature"`
	Algorithm string `json:"x-amz-meta-signature-algorithm"`
	FileHash  string `json:"x-amz-meta-compressed-sha256"`
}

func (m metadata) text() []byte {
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings do not fail
	}
	return append(text, '\n')
}

func readMetadata(text []byte) (metadata, error) {
	var m metadata
	if err := json.Unmarshal(text, &m); err != nil {
		return m, err
	}
	if !bytes.Equal(m.text(), text) {
		return m, fmt.Errorf("not written as sidecars are")
	}
	return m, nil
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
