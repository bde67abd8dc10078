package mldsamu

import (
	"crypto/rand"
	"crypto/sha3"
	"fmt"
	mathrand "math/rand/v2"
	"testing"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"
)

var libraries = []mldsa.Parameters{mldsa.MLDSA44(), mldsa.MLDSA65(), mldsa.MLDSA87()}

// muOf is μ of a message with an empty context (FIPS 204, algorithm 7, line 6, of algorithm 2's M').
func muOf(public, message []byte) []byte {
	tr := sha3.SumSHAKE256(public, 64)
	return sha3.SumSHAKE256(append(append(tr, 0, 0), message...), MuSize)
}

// What the library says of a whole message must be said of its μ here: signatures of both kinds, and what has been
// changed a little.
func TestAgreesWithTheLibraryOnMessages(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for _, p := range libraries {
		t.Run(p.String(), func(t *testing.T) {
			for range 10 {
				private, err := mldsa.GenerateKey(p)
				if err != nil {
					t.Fatal(err)
				}
				public := private.PublicKey().Bytes()
				message := make([]byte, random.IntN(4096))
				_, _ = rand.Read(message)
				agree(t, random, private, public, message)
			}
		})
	}
}

func agree(t *testing.T, random *mathrand.Rand, private *mldsa.PrivateKey, public, message []byte) {
	t.Helper()
	mu := muOf(public, message)
	whole, err := private.Sign(nil, message, nil)
	if err != nil {
		t.Fatal(err)
	}
	external, err := private.Sign(nil, mu, mldsacrypto.MLDSAMu)
	if err != nil {
		t.Fatal(err)
	}
	for _, signature := range [][]byte{whole, external} {
		if !Verify(public, mu, signature) || mldsa.Verify(private.PublicKey(), message, signature, nil) != nil {
			t.Fatal("a good signature was refused")
		}
		for range 20 {
			changed := append([]byte(nil), signature...)
			changed[random.IntN(len(changed))] ^= 1 << random.IntN(8)
			if library := mldsa.Verify(private.PublicKey(), message, changed, nil) == nil; library || Verify(public, mu, changed) {
				t.Fatal("a changed signature was taken")
			}
		}
		mu[random.IntN(len(mu))] ^= 1
		if Verify(public, mu, signature) {
			t.Fatal("a signature was taken for another μ")
		}
		mu = muOf(public, message)
	}
}

// Every byte of the hint and the last of the rest: the parts in which encodings could be malleable.
func TestHintsHaveOneEncoding(t *testing.T) {
	for i, p := range libraries {
		private, err := mldsa.GenerateKey(p)
		if err != nil {
			t.Fatal(err)
		}
		public := private.PublicKey().Bytes()
		mu := make([]byte, MuSize)
		signature, err := private.Sign(nil, mu, mldsacrypto.MLDSAMu)
		if err != nil || !Verify(public, mu, signature) {
			t.Fatal(p, err)
		}
		for at := len(signature) - sets[i].omega - sets[i].k; at < len(signature); at++ {
			for _, change := range []byte{1, 0x80, 0xff} {
				signature[at] ^= change
				if Verify(public, mu, signature) {
					t.Errorf("%s: byte %d", p, at)
				}
				signature[at] ^= change
			}
		}
	}
}

func TestOtherLengthsAreOfNoSignature(t *testing.T) {
	private, _ := mldsa.GenerateKey(mldsa.MLDSA44())
	public := private.PublicKey().Bytes()
	mu := make([]byte, MuSize)
	signature, _ := private.Sign(nil, mu, mldsacrypto.MLDSAMu)
	for name, valid := range map[string]bool{
		"short signature": Verify(public, mu, signature[:len(signature)-1]),
		"long signature":  Verify(public, mu, append(signature[:len(signature):len(signature)], 0)),
		"no signature":    Verify(public, mu, nil),
		"short key":       Verify(public[1:], mu, signature),
		"no key":          Verify(nil, mu, signature),
		"short mu":        Verify(public, mu[1:], signature),
	} {
		if valid {
			t.Error(name)
		}
	}
}

// The encoded hint's rounding has edges that random signatures hardly meet.
func TestUseHintAtItsEdges(t *testing.T) {
	p := &sets[1]
	m := (q - 1) / (2 * p.gamma2)
	for _, c := range []struct{ hint, r, want uint32 }{
		{0, 0, 0}, {1, 0, m - 1}, {1, 1, 1}, {0, q - 1, 0}, {1, q - 1, m - 1},
		{0, p.gamma2, 0}, {1, p.gamma2, 1}, {0, p.gamma2 + 1, 1}, {1, p.gamma2 + 1, 0},
		{1, 2 * p.gamma2, 0}, {1, 2*p.gamma2 + 1, 2}, {0, q - 1 - p.gamma2, m - 1}, {1, q - 1 - p.gamma2, 0}, {0, q - p.gamma2, 0},
	} {
		if got := p.useHint(c.hint, c.r); got != c.want {
			t.Errorf("useHint(%d, %d) = %d, want %d", c.hint, c.r, got, c.want)
		}
	}
}

// What random signatures do not have: rows without hints, hints twice in a row, counts that go back.
func TestHintsAreChecked(t *testing.T) {
	p := &sets[0] // four rows, 80 hints
	for name, c := range map[string]struct {
		positions, ends []byte
		good            bool
	}{
		"none":                     {nil, []byte{0, 0, 0, 0}, true},
		"two in a row":             {[]byte{3, 9}, []byte{0, 2, 2, 2}, true},
		"one place in two rows":    {[]byte{3, 3}, []byte{1, 2, 2, 2}, true},
		"one place twice in a row": {[]byte{3, 3}, []byte{0, 2, 2, 2}, false},
		"out of order":             {[]byte{9, 3}, []byte{0, 2, 2, 2}, false},
		"a count that goes back":   {[]byte{3, 9}, []byte{0, 2, 1, 2}, false},
		"a last count too small":   {[]byte{3, 9}, []byte{0, 2, 2, 1}, false},
		"a count too large":        {[]byte{3, 9}, []byte{0, 2, 2, 81}, false},
		"a place behind the last":  {[]byte{3, 9, 200}, []byte{0, 2, 2, 2}, false},
	} {
		packed := make([]byte, p.omega+p.k)
		copy(packed, c.positions)
		copy(packed[p.omega:], c.ends)
		if _, ok := p.hints(packed); ok != c.good {
			t.Errorf("%s: %t", name, ok)
		}
	}
}

// A response is short up to γ1-β, on either side of 0.
func TestResponsesAreShort(t *testing.T) {
	for i := range sets {
		p := &sets[i]
		bound := int(p.gamma1 - p.beta)
		for z, want := range map[int]bool{0: true, bound - 1: true, 1 - bound: true, bound: false, -bound: false, int(p.gamma1): false} {
			var packed []byte
			for range p.l {
				var row poly
				for j := range row {
					row[j] = p.gamma1
				}
				row[n-1] = uint32(int(p.gamma1) - z)
				packed = pack(packed, &row, p.zBits())
			}
			if _, short := p.response(packed); short != want {
				t.Errorf("%d with γ1 %d and β %d: %t", z, p.gamma1, p.beta, short)
			}
		}
	}
}

func FuzzVerify(f *testing.F) {
	private, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), make([]byte, mldsa.PrivateKeySize))
	if err != nil {
		f.Fatal(err)
	}
	public := private.PublicKey()
	signature, err := private.SignDeterministic([]byte("message"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signature, []byte("message"))
	f.Add(make([]byte, len(signature)), []byte("message"))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, signature, message []byte) {
		library := mldsa.Verify(public, message, signature, nil) == nil
		if mine := Verify(public.Bytes(), muOf(public.Bytes(), message), signature); mine != library {
			t.Errorf("%t here, %t there", mine, library)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, p := range libraries {
		b.Run(fmt.Sprint(p), func(b *testing.B) {
			private, err := mldsa.GenerateKey(p)
			if err != nil {
				b.Fatal(err)
			}
			public, mu := private.PublicKey().Bytes(), make([]byte, MuSize)
			signature, err := private.Sign(nil, mu, mldsacrypto.MLDSAMu)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if !Verify(public, mu, signature) {
					b.Fatal("refused")
				}
			}
		})
	}
}
