package wallet_test

import (
	"errors"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/did"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/registry/trustlist"
	"akashi/wallet"
)

// asOrg signs as an organization of the trust list, known by its key alone.
func (f *fakeVerifier) asOrg(actor string) {
	f.t.Helper()
	signer, err := keys.ParsePrivate(f.Orgs[actor].Signing)
	f.check(err)
	identifier := did.FromKeyJWK(signer.Public())
	f.signer, f.header = signer, keys.Header{"kid": oid4vc.DIDVerificationMethod(identifier)}
	f.linkID = oid4vc.PrefixDID + ":" + identifier
	f.request.ClientID = f.linkID
}

// relist changes an organization's entry in a new version of the trust list.
func relist(s *setup, actor string, change func(*trustlist.Entity)) {
	for i, e := range s.Entities {
		if e.ID == s.Orgs[actor].ID {
			next := *e
			change(&next)
			s.Entities[i] = &next
		}
	}
	s.Publish()
}

// An employer or a bank is on the trust list, and may not ask for what reviewers ask. The role counts as the newest list has it today.
func TestOnlyVerifiersAsk(t *testing.T) {
	asVerifier := func(e *trustlist.Entity) { e.Roles = append(e.Roles[:1:1], attestation.Verifier) }
	stolen := func(e *trustlist.Entity) {
		key, err := keys.ParsePublic(e.Keys[0])
		if err != nil {
			t.Fatal(err)
		}
		e.Compromised = []trustlist.Compromise{{Kid: key.Thumbprint(), Since: time.Unix(1, 0).UTC()}}
	}
	for _, c := range []struct {
		name   string
		actor  string
		list   []func(*trustlist.Entity) // versions of the trust list, one after the other
		rooted bool
		entity bool // the list says who it is
		want   error
	}{
		{name: "an employer", actor: "employer-A", entity: true, want: wallet.ErrNotVerifier},
		{name: "a bank", actor: "bank", entity: true, want: wallet.ErrNotVerifier},
		{name: "an authority without a desk", actor: "authority", entity: true, want: wallet.ErrNotVerifier},
		{name: "an authority with one", actor: "authority", list: []func(*trustlist.Entity){asVerifier}, entity: true},
		{name: "an employer with a certificate", actor: "employer-A", rooted: true, entity: true, want: wallet.ErrNotVerifier},
		{name: "a verifier with a certificate", actor: "authority", list: []func(*trustlist.Entity){asVerifier}, rooted: true, entity: true},
		{name: "no verifier any more", actor: "bank", list: []func(*trustlist.Entity){asVerifier, func(e *trustlist.Entity) { e.Roles = e.Roles[:1] }}, entity: true, want: wallet.ErrNotVerifier},
		{name: "not yet", actor: "bank", list: []func(*trustlist.Entity){asVerifier, func(e *trustlist.Entity) { e.From = attestation.NewDate(2100, 1, 1) }}, want: wallet.ErrUnknownVerifier},
		{name: "not any more", actor: "bank", list: []func(*trustlist.Entity){asVerifier, func(e *trustlist.Entity) { e.Until = e.From }}, want: wallet.ErrUnknownVerifier},
		{name: "by a key that was stolen", actor: "bank", list: []func(*trustlist.Entity){asVerifier, stolen}, want: wallet.ErrUnknownVerifier},
		{name: "by a certified key that was stolen", actor: "bank", list: []func(*trustlist.Entity){asVerifier, stolen}, rooted: true, want: wallet.ErrUnknownVerifier},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := received(t)
			for _, change := range c.list {
				relist(s, c.actor, change)
			}
			f := newFakeVerifier(t, s)
			f.asOrg(c.actor)
			if c.rooted {
				f.leaf, f.root = f.certify(f.signer.Public())
				s.wallet.VerifierRoots = append(s.wallet.VerifierRoots[:0:0], f.root)
				f.linkID, f.header = oid4vc.X509HashClientID(f.leaf), keys.Header{"x5c": keys.FormatChain(f.leaf)}
				f.request.ClientID = f.linkID
			}
			a, err := s.wallet.OpenRequest(ctx, f.link())
			f.check(err)
			if a.Known != (c.want == nil) || (a.Entity == s.Orgs[c.actor].ID) != c.entity || (len(a.Names) > 0) != c.entity {
				t.Errorf("who asks: %+v", a)
			}
			answer, err := s.wallet.Answer(ctx, a, wallet.AnswerOptions{})
			var told *wallet.Rejection
			if !errors.Is(err, c.want) || errors.As(err, &told) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if c.want == nil {
				if _, _, err := s.wallet.Send(ctx, a, answer); err != nil || f.got == nil {
					t.Errorf("sending: %v", err)
				}
				return
			}
			if _, _, err := s.wallet.Refuse(ctx, a); !errors.Is(err, c.want) || f.got != nil {
				t.Errorf("refusing tells who asks: %v", err)
			}
			if _, err := s.wallet.Answer(ctx, a, wallet.AnswerOptions{TrustAny: true}); err != nil {
				t.Errorf("trusted all the same: %v", err)
			}
			page, err := s.wallet.OpenCredentialRequest(ctx, pageOrigin, oid4vc.ProtocolMultisigned, f.dcRequest(oid4vc.ProtocolMultisigned, oid4vc.ModeDCAPI).Data)
			if err != nil || page.Known {
				t.Errorf("over the Digital Credentials API: %+v, %v", page, err)
			}
			// What is wrong with its request it is not told either.
			f.ask([]any{"slots"})
			if _, err := s.wallet.OpenRequest(ctx, f.link()); !errors.Is(err, wallet.ErrWidePath) || errors.As(err, &told) {
				t.Errorf("a request that cannot be answered: %v", err)
			}
		})
	}
}
