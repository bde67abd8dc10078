package cloudtrail

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/policy"
)

// renderer makes CloudTrail's records out of kept events. Calls come in rows of the same caller and key, so it keeps
// what it found out for the event before.
type renderer struct {
	decoder jsontext.Decoder
	event   stored
	caller  caller
	about   about
	region  same
	source  same
	name    same
	out     []byte
}

// Render turns an event's stored form, as audit.Event.AppendJSON wrote it, into CloudTrail's record of version 1.11: that
// of the caller's account.
func Render(line []byte) ([]byte, error) {
	var own []byte
	err := new(renderer).render(line, func(r *rendered) {
		if own == nil {
			own = bytes.Clone(r.json)
		}
	})
	return own, err
}

// render yields all records of an event: first the caller's account's, then those of the accounts that share it. What is
// yielded is overwritten by the next one.
func (r *renderer) render(line []byte, yield func(*rendered)) error {
	s := &r.event
	if err := s.read(&r.decoder, line); err != nil {
		return err
	}
	at, err := s.time()
	if err != nil {
		return err
	}
	if err := r.caller.read(s.userIdentity); err != nil {
		return err
	}
	if err := r.about.read(s); err != nil {
		return err
	}
	copies, err := readCopies(s.copies)
	if err != nil {
		return err
	}
	own := record{
		stored: s, time: at, account: r.caller.AccountID, who: &r.caller.own, resources: r.about.text, eventID: s.eventID,
		// SynchronizeMultiRegionKey has a request's id, and counts as a call.
		serviceCall: r.caller.Type == audit.ServiceCaller && s.requestID == nil,
	}
	yield(r.finish(&own))
	for _, c := range copies {
		theirs := own
		theirs.account, theirs.who, theirs.eventID = c.AccountID, &r.caller.shared, quoted(c.EventID)
		yield(r.finish(&theirs))
	}
	return nil
}

// finish writes a record down.
func (r *renderer) finish(of *record) *rendered {
	r.out = of.append(r.out[:0])
	return &rendered{
		scope: arn.Scope{Account: of.account, Region: r.region.text(of.awsRegion)}, time: of.time, json: r.out,
		facts: facts{
			eventID: text(of.eventID), eventName: r.name.text(of.eventName), eventSource: r.source.text(of.eventSource),
			userName: of.who.userName, accessKeyID: of.who.accessKeyID,
			readOnly: string(of.readOnly) == "true", resources: r.about.resources,
		},
	}
}

// same is a text that is often that of the event before.
type same struct {
	raw  []byte
	said string
}

func (s *same) text(raw []byte) string {
	if !bytes.Equal(s.raw, raw) {
		s.raw, s.said = append(s.raw[:0], raw...), text(raw)
	}
	return s.said
}

// caller is who called.
type caller struct {
	raw []byte
	userIdentity
	own    identity // as the caller's account has it
	shared identity // as others do: the account and the unique id (CloudTrail User Guide, "CloudTrail userIdentity element")
}

// identity is what a record tells of the caller.
type identity struct {
	text                  []byte
	userName, accessKeyID string
}

func (u *userIdentity) written() (identity, error) {
	text, err := json.Marshal(u)
	return identity{text, u.userName(), u.AccessKeyID}, err
}

func (c *caller) read(raw jsontext.Value) (err error) {
	if c.raw != nil && bytes.Equal(c.raw, raw) {
		return nil
	}
	*c = caller{}
	if err := json.Unmarshal(raw, &c.userIdentity, jsontext.AllowDuplicateNames(true)); err != nil {
		return fmt.Errorf("cloudtrail: reading who called: %w", err)
	}
	own := c.userIdentity
	switch c.Type {
	case audit.ServiceCaller:
		own = userIdentity{AccountID: c.AccountID, InvokedBy: "AWS Internal"}
	case policy.TypeWebIdentity:
		own.AccountID = ""
	}
	if c.own, err = own.written(); err != nil {
		return err
	}
	shared := userIdentity{Type: "AWSAccount", PrincipalID: own.PrincipalID, AccountID: own.AccountID, InvokedBy: own.InvokedBy}
	if c.shared, err = shared.written(); err != nil {
		return err
	}
	c.raw = bytes.Clone(raw)
	return nil
}

// about is what a call was about.
type about struct {
	raw       []byte
	always    bool
	resources []resource
	text      []byte // nil where records have no such member
}

// read takes over an event's resources. Records of KMS's operations have the member even if it is empty, but for those on
// custom key stores; those and other services' records leave an empty one out.
func (a *about) read(s *stored) error {
	always := string(s.eventSource) == `"kms.amazonaws.com"` && !strings.Contains(string(s.eventName), "CustomKeyStore")
	if a.raw != nil && a.always == always && bytes.Equal(a.raw, s.resources) {
		return nil
	}
	*a = about{always: always}
	var err error
	if a.resources, err = readResources(s.resources); err != nil {
		return err
	}
	if a.resources == nil && always {
		a.text = []byte("[]")
	}
	if a.resources != nil {
		if a.text, err = json.Marshal(a.resources); err != nil {
			return err
		}
	}
	a.raw = bytes.Clone(s.resources)
	return nil
}
