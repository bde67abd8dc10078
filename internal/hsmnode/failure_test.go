package hsmnode

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"keyward/internal/hsmproto"
)

// With one HSM of three killed under load, the others go on encrypting; the dead one comes back with everything.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 3, "cu")
	id := []byte("key")
	var users []*user
	for _, p := range f.hsms {
		users = append(users, p.client().login("cu", hsmproto.RoleCryptoUser, userPassword))
	}
	users[0].generate("", id, 0)
	victim := rand.IntN(3)
	var failures, successes atomic.Int64
	var stops []func()
	for i, u := range users {
		if i == victim {
			continue
		}
		stops = append(stops, loop(4, func() {
			sealed, err := u.encrypt(id, "text")
			if err == nil {
				_, err = u.decrypt(id, sealed)
			}
			if err != nil {
				failures.Add(1)
			}
			successes.Add(1)
		}))
	}
	f.hsms[victim].kill()
	survivor := f.hsms[(victim+1)%3]
	survivor.until("led by a survivor", func(s hsmproto.StatusReply) bool {
		return joined(s) && s.Leader != f.hsms[victim].config.Node
	})
	f.hsms[victim].start()
	f.hsms[victim].until("back", voters(3))
	f.hsms[victim].serves()
	for _, stop := range stops {
		stop()
	}
	if failures.Load() > 0 || successes.Load() == 0 {
		t.Errorf("%d of %d failed on the survivors", failures.Load(), successes.Load())
	}
	// Its old session is over; a new one, and a new key, need all three.
	c := f.hsms[victim].client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	c.generate("", []byte("key-2"), 3)
	if _, err := c.encrypt(id, "text"); err != nil {
		t.Error(err)
	}
}

// With the majority lost, cryptography goes on but nothing can change, until the control plane lets the survivor take
// over. Then everything works but making keys, until there is a replacement.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 2, "cu", "kmsuser")
	survivor, dead := f.hsms[0], f.hsms[1]
	if rand.IntN(2) == 0 {
		survivor, dead = dead, survivor
	}
	c := survivor.client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	lost := dead.client().login("kmsuser", hsmproto.RoleCryptoUser, userPassword)
	c.generate("", []byte("key"), 0)
	dead.kill()
	<-lost.conn.Done()
	survivor.until("without a leader", func(s hsmproto.StatusReply) bool { return s.Leader == "" })
	change := hsmproto.UserRequest{User: "cu", Role: hsmproto.RoleCryptoUser, Password: []byte("changedPassword")}
	waiting := make(chan struct{})
	go func() { defer close(waiting); exhaustSessions(t, survivor) }()
	refused(t, c.call(hsmproto.OpChangePassword, change, nil), hsmproto.CodeUnavailable)
	if _, err := c.encrypt([]byte("key"), "text"); err != nil {
		t.Errorf("without a majority: %v", err)
	}
	<-waiting

	f.epoch++
	alone := f.membership(survivor)
	for range 2 { // asking again changes nothing
		if err := survivor.manage(hsmproto.OpTakeOver, alone, nil); err != nil {
			t.Fatal(err)
		}
	}
	survivor.until("alone", voters(1))
	if _, err := c.encrypt([]byte("key"), "text"); err != nil { // the same session
		t.Errorf("after the takeover: %v", err)
	}
	c.must(hsmproto.OpChangePassword, change, nil)
	refused(t, c.call(hsmproto.OpGenerateKey, hsmproto.GenerateKeyRequest{Length: 32}, nil), hsmproto.CodeKeyAvailability)
	// The dead HSM's session is over, so the user is free.
	store := survivor.client()
	survivor.until("rid of the dead one's session", func(s hsmproto.StatusReply) bool { return s.Sessions == 1 })
	if err := store.tryLogin("kmsuser", hsmproto.RoleCryptoUser, userPassword, true); err != nil {
		t.Error(err)
	}

	replacement := f.add(hsmproto.CreateJoin)
	f.tell(survivor, replacement)
	replacement.until("joined", voters(2))
	c.generate("", []byte("key-2"), 0)
	r := replacement.client().login("cu", hsmproto.RoleCryptoUser, "changedPassword")
	for _, id := range []string{"key", "key-2"} {
		if _, err := r.encrypt([]byte(id), "text"); err != nil {
			t.Errorf("%s on the replacement: %v", id, err)
		}
	}
	// The dead one, if it comes back, is nobody's peer.
	dead.start()
	dead.until("alone", func(s hsmproto.StatusReply) bool { return s.Leader == "" })
	if s, err := survivor.status(); err != nil || len(s.Voters) != 2 {
		t.Errorf("survivor: %+v, %v", s, err)
	}
}

// exhaustSessions has more calls wait on one connection, of an HSM without a leader, than there are sessions for one
// application: those above are refused at once, the others when nobody has come to lead.
func exhaustSessions(t *testing.T, p *process) {
	const more = 50
	c := p.client()
	answers := make(chan error, hsmproto.MaxSessionsPerConnection+more)
	for range cap(answers) {
		go func() { answers <- c.call(hsmproto.OpDeleteUser, hsmproto.UserRequest{User: "cu"}, nil) }()
	}
	for i := range cap(answers) {
		if code := hsmproto.CodeNoSession; i < more {
			refused(t, <-answers, code)
		} else {
			refused(t, <-answers, hsmproto.CodeUnavailable)
		}
	}
}

// A survivor takes over although it was restarted too and never saw a leader since, wherever it is killed again. A
// member that was away meanwhile forgets its state and joins anew.
func TestTakeOverRejoinsOthers(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 3, "cu")
	c := f.hsms[0].client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	c.generate("", []byte("key"), 0)
	survivor, back := f.hsms[0], f.hsms[1]
	for _, p := range f.hsms {
		p.kill()
	}
	survivor.start()
	if s, err := survivor.status(); err != nil || !s.Joined || s.Leader != "" || len(s.Voters) != 3 {
		t.Errorf("a survivor that could not replay says %+v, %v", s, err)
	}
	f.epoch++
	q := f.membership(survivor, back)
	for range 4 {
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			_ = survivor.manage(hsmproto.OpTakeOver, q, nil) // the HSM may die before it answers
		}()
		select {
		case <-answered:
		case <-time.After(time.Duration(rand.IntN(100)) * time.Millisecond):
		}
		survivor.kill()
		<-answered
		survivor.start()
	}
	if err := survivor.manage(hsmproto.OpTakeOver, q, nil); err != nil {
		t.Fatal(err)
	}
	survivor.until("alone", joined)
	back.start()
	if err := back.manage(hsmproto.OpSetMembers, q, nil); err != nil {
		t.Fatal(err)
	}
	back.until("taken in anew", voters(2))
	c = back.client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	if _, err := c.encrypt([]byte("key"), "text"); err != nil {
		t.Error(err)
	}
	c.generate("", []byte("key-2"), 0)
}

// A fenced HSM loses its vote and its sessions though it still runs.
func TestFence(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 3, "kmsuser")
	fenced := f.hsms[rand.IntN(3)]
	var rest []*process
	for _, p := range f.hsms {
		if p != fenced {
			rest = append(rest, p)
		}
	}
	held := fenced.client()
	if err := held.tryLogin("kmsuser", hsmproto.RoleCryptoUser, userPassword, true); err != nil {
		t.Fatal(err)
	}
	f.tell(rest...)
	for _, p := range rest {
		p.until("rid of it", func(s hsmproto.StatusReply) bool { return voters(2)(s) && s.Sessions == 0 })
	}
	c := rest[0].client()
	if err := c.tryLogin("kmsuser", hsmproto.RoleCryptoUser, userPassword, true); err != nil {
		t.Fatal(err)
	}
	c.generate("", nil, 2)
	fenced.until("cut off", func(s hsmproto.StatusReply) bool { return s.Leader == "" })
	refused(t, held.call(hsmproto.OpChangePassword, hsmproto.UserRequest{
		User: "kmsuser", Role: hsmproto.RoleCryptoUser, Password: []byte("anotherPassword"),
	}, nil), hsmproto.CodeUnavailable)
}

// A leader that was told less than an earlier one neither throws out whom it does not know nor acknowledges without it.
func TestStaleLeader(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 2, "cu")
	leader := f.hsms[0]
	if s, err := leader.status(); err != nil || s.Leader != leader.config.Node {
		leader = f.hsms[1]
	}
	stale := f.hsms[0]
	if stale == leader {
		stale = f.hsms[1]
	}
	added := f.add(hsmproto.CreateJoin)
	f.epoch++
	q := f.membership(f.hsms...)
	for _, p := range []*process{leader, added} { // not the other one
		if err := p.manage(hsmproto.OpSetMembers, q, nil); err != nil {
			t.Fatal(err)
		}
	}
	added.until("joined", voters(3))
	c := stale.client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	leader.kill()
	leader.start() // it may lead again: then there is nothing to see, but never anything wrong
	stale.until("led, or left behind by the new one, which it does not know", func(s hsmproto.StatusReply) bool {
		of, err := added.status()
		return joined(s) || err == nil && of.Leader == added.config.Node
	})
	err := c.call(hsmproto.OpGenerateKey, hsmproto.GenerateKeyRequest{Length: 32, ID: []byte("key"), MinHsms: 1}, nil)
	if s, statusErr := added.status(); statusErr != nil || len(s.Voters) != 3 {
		t.Errorf("the new HSM sees %+v, %v", s, statusErr)
	}
	if err != nil {
		refused(t, err, hsmproto.CodeUnavailable)
	}
	if err := stale.manage(hsmproto.OpSetMembers, q, nil); err != nil {
		t.Fatal(err)
	}
	whole := added.until("complete", voters(3))
	for _, p := range f.hsms { // one that is still being told of the rest confirms nothing new
		p.until("complete", func(s hsmproto.StatusReply) bool { return voters(3)(s) && s.LastIndex >= whole.LastIndex })
	}
	c = added.client().login("cu", hsmproto.RoleCryptoUser, userPassword)
	c.generate("", []byte("key-2"), 3)
}

// Whatever was answered is there after every process was killed at once, again and again.
func TestKillEverything(t *testing.T) {
	t.Parallel()
	f := newCluster(t, 2, "cu")
	answered := 0
	for round := range 4 {
		c := f.hsms[round%2].client().login("cu", hsmproto.RoleCryptoUser, userPassword)
		stop := loop(1, func() {
			id := []byte{byte(answered)}
			err := c.call(hsmproto.OpGenerateKey, hsmproto.GenerateKeyRequest{Label: "k", ID: append([]byte("id-"), id...), Length: 32}, nil)
			if err == nil {
				answered++
			}
		})
		<-time.After(time.Duration(50+rand.IntN(200)) * time.Millisecond)
		for _, p := range f.hsms {
			_ = p.cmd.Process.Kill()
		}
		for _, p := range f.hsms {
			<-p.gone
		}
		stop()
		for _, p := range f.hsms {
			p.start()
		}
		for _, p := range f.hsms {
			p.until("back", voters(2))
			p.serves()
		}
		check := f.hsms[(round+1)%2].client().login("cu", hsmproto.RoleCryptoUser, userPassword)
		var found hsmproto.FindKeysReply
		check.must(hsmproto.OpFindKeys, hsmproto.FindKeysRequest{}, &found)
		if found.Total < answered {
			t.Fatalf("round %d: %d keys answered, %d there", round, answered, found.Total)
		}
		answered = found.Total // the last one may be there without its answer
	}
	if answered == 0 {
		t.Error("no key was made")
	}
}
