package main

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"akashi/attestation"
)

// TestOrgsAtOnce: organizations that are added at the same time all stand in the newest version of the trust list, the folder's and the log's.
func TestOrgsAtOnce(t *testing.T) {
	p := startStory(t)
	a := p.in.admin()
	var all sync.WaitGroup
	ids := make([]string, 4)
	for n := range ids {
		ids[n] = fmt.Sprintf("19登-99990%d", n)
		all.Go(func() {
			req := orgRequest{Role: attestation.SupportOrganization, ID: ids[n], Name: map[string]string{"ja": "見本"}, From: attestation.NewDate(2025, time.October, 1)}
			if _, err := a.AddOrg(t.Context(), req); err != nil {
				t.Errorf("%s: %v", ids[n], err)
			}
		})
	}
	all.Wait()
	kept := must(p.in.cfg.latestTrustList())(t)
	for _, id := range ids {
		if _, ok := kept.EntityByID(id); !ok {
			t.Errorf("%s is not on the trust list", id)
		}
	}
	if logged := must(p.client().TrustList(t.Context(), 0))(t); logged.JWT != kept.JWT {
		t.Error("the newest version in the log is not the one in the folder")
	}
}
