package issuer_test

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/issuer"
	"akashi/issuer/issuertest"
)

// BenchmarkVCICredential collects credentials over https from a store on disk, each with a fresh nonce, a DPoP proof and a key proof, and
// verifies them; several wallets at the same time. The metric raw is the time of that exchange's signatures and verifications alone.
func BenchmarkVCICredential(b *testing.B) {
	s, err := store.OpenBadger(b.TempDir(), nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	w := &vciWorld{World: issuertest.New(b, s)}
	w.restart()
	signing, err := keys.ParsePrivate(w.Orgs["employer-A"].Signing)
	if err != nil {
		b.Fatal(err)
	}
	raw := rawExchange(b, signing)
	wallets := make(chan *testWallet, 64)
	for range cap(wallets) {
		wallets <- w.wallet(w.Orgs["employer-A"].Issuer).redeem(w.offer("employer-A", issuer.OfferRequest{Type: "staff-card", Example: true}))
	}
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		p := <-wallets
		for pb.Next() {
			credential, _ := p.collect("staff-card")
			u, err := sdjwt.Parse(credential)
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := u.Verify(signing.Public(), sdjwt.Expect{Algs: []keys.Alg{keys.ES256}}); err != nil {
				b.Error(err)
			}
		}
		wallets <- p
	})
	perOp := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	b.ReportMetric(float64(raw.Nanoseconds())/1e3, "raw-us/op")
	b.ReportMetric(float64(raw.Nanoseconds())/perOp, "ratio")
}

// rawExchange measures what one exchange signs and verifies, two proofs and a credential, on all processors.
func rawExchange(b *testing.B, signing *keys.Private) time.Duration {
	b.Helper()
	const rounds = 1000
	holder := issuertest.Key(b)
	payload := make([]byte, 600)
	var g errgroup.Group
	begin := time.Now()
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for range rounds {
				for _, key := range []*keys.Private{holder, holder, signing} {
					compact, err := key.Sign(keys.Header{"typ": oid4vc.TypDPoP}, payload)
					if err == nil {
						_, err = keys.Verify(compact, key.Public(), keys.ES256)
					}
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begin) / time.Duration(rounds*runtime.GOMAXPROCS(0))
}
