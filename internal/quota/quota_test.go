package quota

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// admitted takes single tokens until one is refused.
func admitted(b *Bucket, r Rate, now time.Time) (n int) {
	for b.Take(1, r, now) {
		n++
	}
	return n
}

func TestBucket(t *testing.T) {
	for _, c := range []struct {
		rate       Rate
		atOnce     int
		after      time.Duration
		admitsThen int
	}{
		{Every(5), 5, time.Second, 5},
		{Every(5), 5, 400 * time.Millisecond, 2},
		{Every(5), 5, time.Hour, 5},
		{Every(0.25), 1, 3 * time.Second, 0},
		{Every(0.25), 1, 4 * time.Second, 1},
		{Every(0.1), 1, time.Hour, 1},
		{Every(100_000), 100_000, 10 * time.Microsecond, 1},
		{Rate{2, 10}, 10, time.Second, 2},
		{Every(3), 3, time.Second, 3},
	} {
		var b Bucket
		if n := admitted(&b, c.rate, start); n != c.atOnce {
			t.Errorf("%v: %d at once, want %d", c.rate, n, c.atOnce)
		}
		if n := admitted(&b, c.rate, start.Add(c.after)); n != c.admitsThen {
			t.Errorf("%v: %d after %v, want %d", c.rate, n, c.after, c.admitsThen)
		}
	}
}

func TestTakingMoreThanOne(t *testing.T) {
	var b Bucket
	if b.Take(6, Every(5), start) {
		t.Error("6 tokens of a bucket for 5")
	}
	if !b.Take(2, Every(5), start) || !b.Take(3, Every(5), start) || b.Take(1, Every(5), start) {
		t.Error("2 and 3 tokens are not 5")
	}
}

func TestClockThatIsSetBack(t *testing.T) {
	var b Bucket
	admitted(&b, Every(5), start)
	if b.Take(1, Every(5), start.Add(-time.Millisecond)) {
		t.Error("a request that looked at the clock a little earlier was admitted beyond the rate")
	}
	if n := admitted(&b, Every(5), start.Add(-time.Hour)); n != 5 {
		t.Errorf("%d admitted an hour before the last request, want 5", n)
	}
}

// TestNeverMoreThanTheRate: in any window, at most its share and one burst are admitted; and who stays below the rate is
// always admitted.
func TestNeverMoreThanTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Every(rapid.Float64Range(0.05, 2000).Draw(t, "rate"))
		var b Bucket
		var admissions []time.Duration
		at := time.Duration(0)
		for _, gap := range rapid.SliceOfN(rapid.Int64Range(0, int64(3*time.Second)), 1, 200).Draw(t, "gaps") {
			at += time.Duration(gap) / 50
			if b.Take(1, r, start.Add(at)) {
				admissions = append(admissions, at)
			}
		}
		for i := range admissions {
			for j := i; j < len(admissions); j++ {
				window := (admissions[j] - admissions[i]).Seconds()
				if n := float64(j - i + 1); n > r.Burst+r.PerSecond*window+0.001 {
					t.Fatalf("%v: %v admitted in %v s", r, n, window)
				}
			}
		}
		patient := Bucket{}
		for i := range 20 {
			if at := time.Duration(float64(i) * float64(time.Second) / r.PerSecond * 1.000001); !patient.Take(1, r, start.Add(at)) {
				t.Fatalf("%v: request %d below the rate was refused", r, i)
			}
		}
	})
}

func TestLimiter(t *testing.T) {
	if !NewLimiter(0).Admit(start) || !NewLimiter(-1).Admit(start) {
		t.Error("no bound refuses")
	}
	l := NewLimiter(1)
	if !l.Admit(start) || l.Admit(start) || !l.Admit(start.Add(time.Second)) {
		t.Error("one a second is not one a second")
	}
}

func TestBucketsAreApartAndBounded(t *testing.T) {
	s := NewBuckets[int](100)
	for name := range 10_000 {
		if !s.Take(name, 1, Every(1), start) {
			t.Fatalf("%d is throttled by others", name)
		}
		if s.Take(name, 1, Every(1), start) {
			t.Fatalf("%d is not throttled", name)
		}
		if s.Take(max(0, name-20), 1, Every(1), start) {
			t.Fatalf("a bucket of 20 names ago is forgotten at %d", name)
		}
		if kept := len(s.young) + len(s.old); kept > 100 {
			t.Fatalf("%d buckets kept", kept)
		}
	}
}

func BenchmarkBuckets(b *testing.B) {
	s := NewBuckets[string](100)
	b.ReportAllocs()
	for b.Loop() {
		s.Take("111122223333", 1, Every(100_000), start)
	}
}
