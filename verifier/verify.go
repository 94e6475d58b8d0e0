package verifier

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry/fraud"
	"akashi/registry/trustlist"
)

// Kinds of files, besides [evidence.Kind].
const (
	KindPresentation = "presentation"
	KindSDJWT        = "sd-jwt"
	KindUnknown      = "unknown"
)

// Codes of the checks of files that are no evidence files.
const (
	CodeForm      = "file.form"         // the file is of a kind that can be verified
	CodeList      = "trust_list.anchor" // the pinned trust anchor signed the trust list at hand
	CodeIssuer    = "issuer.listed"     // the trust list at hand names the signer; unknown without a list
	CodeSignature = "sdjwt.signature"   // signature, type, digests and form of the credential
	CodeClaims    = "sdjwt.claims"      // the claims are those of the type
	CodeBinding   = "kb.signature"      // the holder signed the presentation; audience and nonce are not known offline
	CodeRegistry  = "registry.lookup"   // unknown: whether a credential stands in the registry, and so counts, is not seen offline
)

// Options of [Verify].
type Options struct {
	At        time.Time // reported, and the time at which certificates are judged where a file shows no logging time; zero means not at all
	TrustList string    // trust list JWT to find issuers with, for files that bring none; "" leaves issuers unknown
}

// Verify checks a file offline and says what kind it is. Only an evidence file shows what stands in the registry; of the other kinds
// the signatures are checked, as far as the trust list at hand names the signers.
func Verify(data []byte, trust evidence.Trust, o Options) *evidence.Result {
	text := bytes.TrimSpace(data)
	switch {
	case bytes.HasPrefix(text, []byte("{")):
		return verifyJSON(data, trust, o)
	case bytes.ContainsRune(text, '~'):
		v := newOffline(KindSDJWT, trust, o)
		v.credential(string(text), "", false)
		return v.finish()
	}
	return refuse(KindUnknown, errors.New("neither an evidence file, a presentation, an SD-JWT nor an auditor's report"))
}

func refuse(kind string, err error) *evidence.Result {
	return &evidence.Result{
		Result: compliance.Fail, Kind: kind,
		Checks: []compliance.Check{{Code: CodeForm, Result: compliance.Fail, Detail: err.Error()}},
	}
}

func verifyJSON(data []byte, trust evidence.Trust, o Options) *evidence.Result {
	var members map[string]any
	if err := keys.DecodeJSONMax(data, &members, evidence.MaxFile); err != nil {
		return refuse(KindUnknown, err)
	}
	if members["format"] == fraud.Format {
		return verifyFraud(data, trust, o)
	}
	if _, ok := members["engagement"]; !ok {
		return evidence.VerifyBytes(data, trust, evidence.Options{At: o.At})
	}
	p, err := evidence.ParsePresentation(data)
	if err != nil {
		return refuse(KindPresentation, err)
	}
	return verifyPresentation(p, trust, o)
}

// verifyPresentation checks every credential of a presentation file, and the statements with the key that the engagement confirms.
func verifyPresentation(p *evidence.Presentation, trust evidence.Trust, o Options) *evidence.Result {
	v := newOffline(KindPresentation, trust, o)
	engagement := v.credential(p.Engagement, "engagement: ", true)
	for i, compact := range p.Attestations {
		label := fmt.Sprintf("attestation %d: ", i)
		a := v.credential(compact, label, true)
		switch {
		case a == nil || engagement == nil:
		case !a.Holder.Equal(engagement.Holder):
			v.note(CodeBinding, compliance.Fail, label+"it is bound to another key than the engagement")
		case a.KB.Aud != engagement.KB.Aud || a.KB.Nonce != engagement.KB.Nonce:
			v.note(CodeBinding, compliance.Fail, label+"it was presented for another audience or nonce than the engagement")
		}
	}
	for i, compact := range p.Statements {
		v.statement(compact, engagement, fmt.Sprintf("statement %d: ", i))
	}
	return v.finish()
}

// offline is the verification of credentials without the registry.
type offline struct {
	result *evidence.Result
	list   *trustlist.List // nil for none at hand
	at     time.Time
}

func newOffline(kind string, trust evidence.Trust, o Options) *offline {
	v := &offline{result: &evidence.Result{Kind: kind}, at: o.At}
	if o.TrustList == "" {
		return v
	}
	list, err := trustlist.Verify(o.TrustList, trust.Anchor)
	if err != nil {
		v.note(CodeList, compliance.Fail, err.Error())
		return v
	}
	v.list = list
	v.note(CodeList, compliance.Pass, fmt.Sprintf("version %d", list.N))
	return v
}

func (v *offline) note(code string, r compliance.Result, detail string) {
	v.result.Checks = append(v.result.Checks, compliance.Check{Code: code, Result: r, Detail: detail})
}

// finish decides: fail if a check failed, unknown if one could not be made, else pass. That the registry was not asked is said, and decides
// nothing.
func (v *offline) finish() *evidence.Result {
	v.result.Result = compliance.Pass
	for _, c := range v.result.Checks {
		if c.Result == compliance.Fail || c.Result == compliance.CannotTell && v.result.Result == compliance.Pass {
			v.result.Result = c.Result
		}
	}
	v.note(CodeRegistry, compliance.CannotTell, "only an evidence file shows what stands in the registry")
	if !v.at.IsZero() {
		v.note(evidence.CodeReverified, compliance.Pass, v.at.UTC().Format(time.RFC3339))
	}
	return v.result
}

// credential checks one SD-JWT VC of an organization, with its key binding if it has one or, as part of a presentation, must have one. It
// returns nil when the signer is unknown or a check failed.
func (v *offline) credential(compact, label string, presented bool) *sdjwt.Verified {
	u, err := sdjwt.Parse(compact)
	if err != nil {
		v.note(CodeSignature, compliance.Fail, label+err.Error())
		return nil
	}
	if v.list == nil {
		v.note(CodeIssuer, compliance.CannotTell, label+"no trust list is at hand to find the signer's key")
		return nil
	}
	entity, key, err := v.list.EntityForHeader(u.Header(), v.at)
	if err != nil {
		v.note(CodeIssuer, compliance.Fail, label+err.Error())
		return nil
	}
	v.note(CodeIssuer, compliance.Pass, label+entity.ID)
	var kb *sdjwt.ExpectKeyBinding
	if presented || u.KeyBinding() != "" {
		kb = &sdjwt.ExpectKeyBinding{AnyAudience: true}
	}
	out, err := u.Verify(key, sdjwt.Expect{Algs: []keys.Alg{keys.ES256, keys.EdDSA}, KeyBinding: kb})
	switch {
	case errors.Is(err, sdjwt.ErrKeyBinding):
		v.note(CodeBinding, compliance.Fail, label+err.Error())
		return nil
	case err == nil && (entity.Issuer == "" || out.Claims["iss"] != entity.Issuer):
		err = errors.New("iss is not the issuer that the trust list gives for the signing key")
		fallthrough
	case err != nil:
		v.note(CodeSignature, compliance.Fail, label+err.Error())
		return nil
	}
	v.note(CodeSignature, compliance.Pass, label+out.ID)
	if kb != nil {
		v.note(CodeBinding, compliance.Pass, strings.TrimSuffix(label, ": "))
	}
	v.claims(out, label)
	return out
}

func (v *offline) claims(out *sdjwt.Verified, label string) {
	vct, _ := out.Claims["vct"].(string)
	if _, err := attestation.Decode(vct, out.Claims); err != nil {
		v.note(CodeClaims, compliance.Fail, label+err.Error())
		return
	}
	v.note(CodeClaims, compliance.Pass, label+vct)
}

// statement checks a worker's statement with the engagement's key.
func (v *offline) statement(compact string, engagement *sdjwt.Verified, label string) {
	if engagement == nil {
		v.note(CodeSignature, compliance.CannotTell, label+"the worker's key is known from a verified engagement only")
		return
	}
	id, err := evidence.CheckStatement(compact, engagement.Holder)
	if err != nil {
		v.note(CodeSignature, compliance.Fail, label+err.Error())
		return
	}
	v.note(CodeSignature, compliance.Pass, label+id)
}
