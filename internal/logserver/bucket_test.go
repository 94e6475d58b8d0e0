package logserver

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"akashi/registry"
)

// Every bucket, with both map stores, has all members with its prefix and no other, and answers for every key in it as a lookup does. A
// wallet that wants the records of one key has them by looking up the whole bucket.
func TestBuckets(t *testing.T) {
	for _, kind := range mapKinds {
		t.Run(string(kind), func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Map = kind }).start()
			r.checkBuckets(nil)
			var records []registry.Record
			for i := range 300 {
				rec, _ := record(fmt.Sprint(i))
				records = append(records, rec)
			}
			r.submit(records[:1]...)
			r.checkBuckets(records[:1])
			r.submit(records[1:]...)
			r.checkBuckets(records)

			_, head, _ := r.lookupPublished(keyOf(records[5]))
			bits := registry.BucketBits(head.MapSize)
			b, _ := r.bucket(keyOf(records[5]), bits)
			var all []registry.Key
			for _, m := range b.Members {
				all = append(all, m.Key)
			}
			look, head, cp := r.lookup(all...)
			for i, res := range look.Results {
				if res.Key == keyOf(records[5]) {
					r.checkMember(look.Results[i], records[5], head, cp)
				}
			}
			if len(all) < 2 {
				t.Errorf("a wallet hides among %d keys", len(all))
			}
		})
	}
}

// checkBuckets fetches all buckets of one and of four bits.
func (r *rig) checkBuckets(records []registry.Record) {
	r.t.Helper()
	r.waitAudited()
	for _, bits := range []int{1, 4} {
		total := 0
		for n := range 1 << bits {
			prefix := registry.Key{byte(n << (8 - bits))}
			b, head := r.bucket(prefix, bits)
			total += len(b.Members)
			for _, rec := range records {
				k := keyOf(rec)
				if k.PrefixBits(bits) != prefix {
					continue
				}
				i, v, ok, err := b.Find(k)
				if err != nil || !ok || v != registry.ValueOf(rec.A, rec.B) {
					r.t.Errorf("member: %v, %t, %v", v, ok, err)
				}
				if at, _, err := registry.VerifyMember(head.MapRoot, k, must(b.Prove(k))); err != nil || at != i {
					r.t.Errorf("proof out of the bucket: %d, %v", at, err)
				}
			}
			absent := prefix
			absent[31] = 1
			if err := registry.VerifyAbsent(head.MapRoot, absent, must(b.Prove(absent))); err != nil {
				r.t.Errorf("absence out of the bucket: %v", err)
			}
		}
		if total != len(records) {
			r.t.Errorf("buckets of %d bits have %d members, want %d", bits, total, len(records))
		}
	}
}

func (r *rig) bucket(prefix registry.Key, bits int) (*registry.Bucket, registry.HeadEntry) {
	r.t.Helper()
	resp, err := r.client.Bucket(r.t.Context(), prefix, bits)
	if err != nil {
		r.t.Fatal(err)
	}
	cp, head := r.checkHead(resp.Head)
	if !cp.Audited() {
		r.t.Error("bucket under a head that is not audited")
	}
	b, err := registry.VerifyBucket(head.MapRoot, prefix, bits, resp.Bucket)
	if err != nil {
		r.t.Fatal(err)
	}
	return b, head
}

func TestBucketHTTP(t *testing.T) {
	r := newRig(t)
	if resp, _ := r.get("/v1/buckets/0"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("before anything is published: got %d, want 503", resp.StatusCode)
	}
	r.start()
	r.waitAll(t)
	for path, want := range map[string]int{
		"/v1/buckets/": 404, "/v1/buckets/2": 400, "/v1/buckets/0a": 400, "/v1/buckets/" + strings.Repeat("0", 65): 400,
		"/v1/buckets/" + strings.Repeat("0", 64): 200, "/v1/buckets/0/1": 404,
	} {
		if resp, body := r.get(path); resp.StatusCode != want {
			t.Errorf("%s: got %d %s, want %d", path, resp.StatusCode, body, want)
		}
	}
	resp, _ := r.get("/v1/buckets/01")
	tag := resp.Header.Get("ETag")
	if tag == "" || !strings.Contains(resp.Header.Get("Cache-Control"), "public") {
		t.Errorf("not to be cached: %v", resp.Header)
	}
	ask := func() int {
		req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, r.front.URL+"/v1/buckets/01", nil))
		req.Header.Set("If-None-Match", tag)
		resp := must(http.DefaultClient.Do(req))
		resp.Body.Close()
		return resp.StatusCode
	}
	// A cosignature that comes late is news too, once for each cosigner.
	waitFor(t, "the same again", func() bool {
		resp, _ := r.get("/v1/buckets/01")
		tag = resp.Header.Get("ETag")
		return ask() == http.StatusNotModified
	})
	rec, _ := record("x")
	r.submit(rec)
	r.waitAudited()
	if got := ask(); got != http.StatusOK {
		t.Errorf("after a new head: got %d, want 200", got)
	}
}
