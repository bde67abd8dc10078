package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/uuid"

	"keyward/internal/keywardtest"
	"keyward/internal/kms"
	"keyward/internal/rootkey"
	"keyward/internal/storage/sqlite"
)

// fill adds keys like the one that is there until there are n, and returns the ids of the new ones. It goes through the
// store, many keys in a transaction, and gives each its own material.
func fill(b *testing.B, store kms.Store, material *kms.DefaultStore, like string, n int) []string {
	b.Helper()
	template, err := store.Key(b.Context(), home, like)
	if err != nil {
		b.Fatal(err)
	}
	const atOnce = 10_000
	ids := make([]string, 0, n-1)
	for len(ids) < n-1 {
		err := store.Change(b.Context(), nil, func(tx kms.Tx) error {
			for range min(atOnce, n-1-len(ids)) {
				k := *template
				k.ID = uuid.NewString()
				if k.Material, err = material.Generate(b.Context(), &k); err != nil {
					return err
				}
				if err := tx.InsertKey(&k); err != nil {
					return err
				}
				ids = append(ids, k.ID)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return ids
}

// BenchmarkManyKeys measures operations, without the wire and the audit log, among a thousand keys and among a million:
// on one key, and on any of them, of which the caches of the service hold a hundred thousand. The budget is 1.2 for one
// key.
func BenchmarkManyKeys(b *testing.B) {
	took := map[string]float64{}
	for _, n := range []int{1000, 1_000_000} {
		s := newStack(b, false)
		ids := fill(b, s.store, s.material, s.key, n)
		one := func() *string { return &s.key }
		anyKey := func() *string { return &ids[rand.IntN(len(ids))] } // not for secrets
		for _, c := range []struct {
			name string
			run  func(*testing.B)
		}{
			{"DescribeKey/one", func(b *testing.B) {
				invoke[awskms.DescribeKeyOutput](b, s, "DescribeKey", &awskms.DescribeKeyInput{KeyId: one()})
			}},
			{"Encrypt/one", func(b *testing.B) {
				invoke[awskms.EncryptOutput](b, s, "Encrypt", &awskms.EncryptInput{KeyId: one(), Plaintext: make([]byte, 64)})
			}},
			{"DescribeKey/any", func(b *testing.B) {
				invoke[awskms.DescribeKeyOutput](b, s, "DescribeKey", &awskms.DescribeKeyInput{KeyId: anyKey()})
			}},
			{"Encrypt/any", func(b *testing.B) {
				invoke[awskms.EncryptOutput](b, s, "Encrypt", &awskms.EncryptInput{KeyId: anyKey(), Plaintext: make([]byte, 64)})
			}},
		} {
			b.Run(fmt.Sprintf("%s/keys=%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				calls, began := 0, spent(b)
				for b.Loop() {
					c.run(b)
					calls++
				}
				cpu := float64((spent(b) - began).Nanoseconds()) / 1000 / float64(calls)
				b.ReportMetric(cpu, "cpu-µs/op")
				if few, ok := took[c.name]; ok && n > 1000 {
					b.ReportMetric(cpu/few, "ratio")
				} else {
					took[c.name] = cpu
				}
			})
		}
	}
}

// BenchmarkStart measures from starting the process to being ready, on existing data with 100,000 keys. The budget is two
// seconds.
func BenchmarkStart(b *testing.B) {
	i := keywardtest.Start(b, keywardtest.Options{Args: []string{"--empty"}})
	key := createKey(b, i, false)
	i.Stop()
	if err := fillFolder(b, i.Data, key, 100_000); err != nil {
		b.Fatal(err)
	}
	var waited time.Duration
	starts := 0
	for b.Loop() {
		began := time.Now()
		i.Up()
		waited += time.Since(began)
		starts++
		b.StopTimer()
		i.Stop()
		b.StartTimer()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(waited.Seconds()/float64(starts), "s/start")
	b.ReportMetric(2, "budget")
}

func fillFolder(b *testing.B, dir, key string, n int) (err error) {
	root, err := rootkey.Open(filepath.Join(dir, "root.key"), rootkey.KeyFile(filepath.Join(dir, "seal.key")))
	if err != nil {
		return err
	}
	db, err := sqlite.Open(b.Context(), filepath.Join(dir, "keyward.db"), sqlite.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	fill(b, db.KMS(), kms.NewDefaultStore(root), key, n)
	return nil
}
