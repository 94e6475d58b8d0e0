package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/web"
	"akashi/wallet"
)

// clientFlags say how the wallet shows issuers what program it is.
type clientFlags struct {
	id, key, provider string
}

func (c *clientFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.id, "client-id", "", "client_id at issuers; default "+wallet.DefaultClientID)
	f.StringVar(&c.key, "client-key", "", "file of the private JWK of a client that the issuer has registered")
	f.StringVar(&c.provider, "wallet-provider", "", "file of the private JWK, with x5c where it has a certificate, of a wallet provider to attest this wallet: for tests")
}

// client makes what the flags say.
func (c *clientFlags) client() (out wallet.Client, err error) {
	out.ID = c.id
	if c.key != "" {
		if out.Key, _, err = readPrivate(c.key); err != nil {
			return out, err
		}
	}
	if c.provider == "" {
		return out, nil
	}
	key, header, err := readPrivate(c.provider)
	if err != nil {
		return out, err
	}
	id := c.id
	if id == "" {
		id = wallet.DefaultClientID
	}
	out.Attest = func(_ context.Context, instance keys.Public) (string, error) {
		now := time.Now()
		return oid4vc.MakeClientAttestation(key, header, oid4vc.ClientAttestationOptions{ClientID: id, Key: instance, Issued: now, Expires: now.Add(time.Hour), WalletName: "Akashi"})
	}
	out.AttestKeys = func(_ context.Context, bound []keys.Public, nonce string) (string, error) {
		now := time.Now()
		return oid4vc.MakeKeyAttestation(key, header, oid4vc.KeyAttestationOptions{Keys: bound, Nonce: nonce, Issued: now, Expires: now.Add(time.Hour)})
	}
	return out, nil
}

// readPrivate reads a private JWK, and the header by which others find its public half.
func readPrivate(path string) (*keys.Private, keys.Header, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	var certified struct {
		X5C []string `json:"x5c"`
	}
	if err := json.Unmarshal(data, &certified); err != nil {
		return nil, nil, fmt.Errorf("%s: not a JWK", path)
	}
	key, err := keys.ParsePrivate(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	header := keys.Header{"kid": key.Public().Thumbprint()}
	if len(certified.X5C) > 0 {
		header["x5c"] = certified.X5C
	}
	return key, header, nil
}

// fetcher makes the wallet's way to issuers. Only a wallet whose registry is on this machine meets services of this machine.
func fetcher(registryURL, ca string) (*web.Fetcher, error) {
	client, err := httpClient(ca)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(registryURL)
	if err != nil {
		return nil, err
	}
	addr, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
	return web.NewFetcher(web.FetchOptions{RootCAs: client.Transport.(*http.Transport).TLSClientConfig.RootCAs, DangerouslyAllowLoopback: local}), nil
}

// receiveFlags are the flags of `akashi wallet receive`.
type receiveFlags struct {
	clientFlags
	txCode, authorize string
	trustAny, yes     bool
	batch             int
	wait              time.Duration
}

func (f *walletFlags) newReceive(s streams) *cobra.Command {
	var o receiveFlags
	cmd := &cobra.Command{
		Use:   "receive LINK|FILE",
		Short: "Take credentials that an issuer offers by a link or QR code, or one from a file",
		Long: "Take what an issuer offers (OpenID4VCI): the text of its QR code, openid-credential-offer://, haip-vci:// or https. You are asked before\n" +
			"anything is taken. An issuer that is not on the trust list is refused, unless --trust-any is given: what such an issuer says counts for nothing.",
		Args: exactArgs("LINK|FILE"),
		RunE: f.with(s, func(ctx context.Context, w *wallet.Wallet, args []string) error {
			if strings.Contains(args[0], "://") {
				return f.receiveLink(ctx, s, w, args[0], &o)
			}
			data, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			it, err := receiveFile(ctx, w, strings.TrimSpace(string(data)), o.wait)
			if err != nil {
				return err
			}
			return f.printItem(s, it)
		}),
	}
	c := cmd.Flags()
	c.StringVar(&o.txCode, "tx-code", "", "transaction code that the issuer gave you by another way")
	c.StringVar(&o.authorize, "authorize", "", "approve or deny: answer the issuer's consent form instead of opening it in a browser; for scripts")
	c.BoolVar(&o.trustAny, "trust-any", false, "take credentials of an issuer that nobody has registered")
	c.BoolVar(&o.yes, "yes", false, "do not ask")
	c.IntVar(&o.batch, "batch", wallet.DefaultBatch, "copies to ask for where the issuer gives several")
	c.DurationVar(&o.wait, "wait", 15*time.Second, "how long to wait until the registry shows what was issued")
	o.add(cmd)
	return cmd
}

// receiveFile takes a document, and waits for the registry to show what was recorded just now.
func receiveFile(ctx context.Context, w *wallet.Wallet, compact string, wait time.Duration) (*wallet.Item, error) {
	for end := time.Now().Add(wait); ; {
		it, err := w.Receive(ctx, compact)
		if !errors.Is(err, wallet.ErrNotLogged) || time.Now().After(end) {
			return it, err
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// pause waits for the next epoch of the registry.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(500 * time.Millisecond):
		return nil
	}
}

func (f *walletFlags) receiveLink(ctx context.Context, s streams, w *wallet.Wallet, link string, o *receiveFlags) (err error) {
	if w.Client, err = o.client(); err != nil {
		return err
	}
	offer, err := w.OpenOffer(ctx, link)
	if err != nil {
		return err
	}
	if err := o.ask(s, offer); err != nil {
		return err
	}
	opt := wallet.CollectOptions{TxCode: o.txCode, TrustAny: o.trustAny, Batch: o.batch}
	if offer.Grant == oid4vc.GrantAuthorizationCode {
		b, err := f.openBrowser(s, o.authorize)
		if err != nil {
			return err
		}
		defer b.close()
		opt.Authorize, opt.Redirect = b.authorize, b.redirect
	}
	got, err := w.Collect(ctx, offer, opt)
	return errors.Join(err, settle(ctx, w, got, o.wait), f.printCollected(s, got))
}

// ask says who gives what, and asks whether to take it.
func (o *receiveFlags) ask(s streams, offer *wallet.Offer) error {
	from := offer.Issuer
	if name := inWords(offer.Names); name != "" {
		from = name + ", " + offer.Issuer
	}
	switch {
	case offer.Entity != "":
		s.say("from: %s (registered as %s)", from, offer.Entity)
	case !o.trustAny:
		s.say("from: %s", from)
		return wallet.ErrUnknownIssuer
	default:
		s.say("from: %s", from)
		s.say("WARNING: NOBODY HAS REGISTERED THIS ISSUER. The name is only what it says of itself. It may be a swindle.")
	}
	for _, c := range offer.Credentials {
		s.say("gives: %s (%s)", inWords(c.Names), c.VCT)
	}
	if !o.yes {
		if err := confirm(s, "Take it?", "nothing was taken"); err != nil {
			return err
		}
	}
	if offer.TxCode != nil && o.txCode == "" && !o.yes {
		fmt.Fprintf(s.err, "Transaction code (%s): ", offer.TxCode.Description)
		code, err := readLine(s.in)
		if code == "" {
			return errors.Join(wallet.ErrTxCode, err)
		}
		o.txCode = code
	}
	return nil
}

// inWords picks a name: English, Japanese, or any.
func inWords(names map[string]string) string {
	for _, locale := range []string{"en", "ja"} {
		if n := names[locale]; n != "" {
			return n
		}
	}
	for _, n := range names {
		return n
	}
	return ""
}

// settle waits until the registry shows what was issued just now.
func settle(ctx context.Context, w *wallet.Wallet, got *wallet.Collected, wait time.Duration) error {
	for end := time.Now().Add(wait); len(got.Waiting) > 0 && time.Now().Before(end); {
		if err := pause(ctx); err != nil {
			return err
		}
		if err := w.Settle(ctx, got); err != nil {
			return err
		}
	}
	return nil
}

func (f *walletFlags) printCollected(s streams, got *wallet.Collected) error {
	if f.json {
		return s.json(got)
	}
	printStatuses(s, got.Statuses)
	for _, it := range got.Items {
		fmt.Fprintf(s.out, "received: %s %s from %s (%s)\n", it.Type, it.Period, it.Issuer, it.ID)
	}
	var groups []string
	for _, c := range got.Credentials {
		if slices.Contains(groups, c.Group) {
			continue
		}
		groups = append(groups, c.Group)
		n := 0
		for _, other := range got.Credentials {
			if other.Group == c.Group {
				n++
			}
		}
		fmt.Fprintf(s.out, "received: %d of %s from %s, status %s (%s)\n", n, inWords(c.Names), c.Issuer, orNone(c.Status), c.ID)
	}
	for _, id := range got.Waiting {
		fmt.Fprintf(s.out, "waits for the registry: %s; akashi wallet sync tries again\n", id)
	}
	if got.Deferred > 0 {
		fmt.Fprintf(s.out, "not ready at the issuer yet: %d; akashi wallet refresh asks again\n", got.Deferred)
	}
	for _, why := range got.Refused {
		fmt.Fprintf(s.out, "refused: %s\n", why)
	}
	return nil
}

func orNone(status string) string {
	if status == "" {
		return "none"
	}
	return status
}

func (f *walletFlags) newRefresh(s streams) *cobra.Command {
	var o clientFlags
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "refresh",
		Short: "Ask the issuers for what is new; unlike sync it shows them that you look",
		Args:  exactArgs(),
		RunE: f.with(s, func(ctx context.Context, w *wallet.Wallet, _ []string) (err error) {
			if w.Client, err = o.client(); err != nil {
				return err
			}
			got, err := w.Refresh(ctx)
			return errors.Join(err, settle(ctx, w, got, wait), f.printCollected(s, got))
		}),
	}
	cmd.Flags().DurationVar(&wait, "wait", 15*time.Second, "how long to wait until the registry shows what was issued")
	o.add(cmd)
	return cmd
}

// browser lets the person decide on the issuer's page, and gets what the page sends back to a port of this machine (RFC 8252, Section 7.3).
type browser struct {
	redirect string
	s        streams
	client   *http.Client // of a script that answers the form
	decision string
	listener net.Listener
	answers  chan string
}

func (f *walletFlags) openBrowser(s streams, decision string) (*browser, error) {
	b := &browser{s: s, decision: decision, answers: make(chan string, 1)}
	var err error
	if b.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	b.redirect = "http://" + b.listener.Addr().String() + "/callback"
	if decision == "" {
		server := &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = server.Serve(b.listener) }() // ends when the listener is closed
		return b, nil
	}
	ca := f.ca
	if file, err := f.file(); err == nil && ca == "" {
		ca = file.CA
	}
	if b.client, err = httpClient(ca); err != nil {
		b.close()
		return nil, err
	}
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b, nil
}

func (b *browser) close() { b.listener.Close() }

// ServeHTTP takes the answer.
func (b *browser) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.URL.Path != "/callback" {
		http.NotFound(w, r)
		return
	}
	select {
	case b.answers <- b.redirect + "?" + r.URL.RawQuery:
	default:
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "Go back to the wallet. You can close this page.")
}

func (b *browser) authorize(ctx context.Context, target string) (string, error) {
	if b.decision != "" {
		return b.answerForm(ctx, target)
	}
	b.s.say("open this page in your browser and decide there:\n%s", target)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	select {
	case answer := <-b.answers:
		return answer, nil
	case <-ctx.Done():
		return "", errors.New("no answer came back from the browser")
	}
}

// answerForm sends the form of the consent page.
func (b *browser) answerForm(ctx context.Context, target string) (string, error) {
	u, err := url.Parse(target)
	if err != nil {
		return "", err
	}
	form := u.Query()
	form.Set("decision", b.decision)
	u.RawQuery = ""
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", oid4vc.MediaTypeForm)
	resp, err := b.client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if location := resp.Header.Get("Location"); location != "" {
		return location, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", err
	}
	return "", fmt.Errorf("the consent form: %w", oid4vc.ParseErrorResponse(resp.StatusCode, body))
}
