// Package cloudtrail is the audit trail: it turns kept events into CloudTrail's records, packs them into searchable
// segments, answers LookupEvents, delivers log and digest files in CloudTrail's folder layout, and verifies them.
//
// An event passes through three stages. Storage keeps it with its call, as a line of JSON (package audit). A packer
// renders waiting lines as records and puts them, compressed, into segments; the lines are removed in the transaction
// that adds the segments, so that an event is always in exactly one of the two. Delivery writes the segments' records
// into files, each once, and lists the files' hashes in signed digests, each holding on to the one before it. Segments
// can be searched for 90 days; files stay until the operator removes them.
//
// Records never change once they are packed. Files never change once they are written.
package cloudtrail
