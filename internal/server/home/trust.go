package home

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// Trust is the config server's authority as this depot server believes it. It was
// pinned once by its fingerprint, and is followed from there as hosts follow it: the
// config server offers authorities, and those count for which one that is believed
// vouches by its signature ([enrol.Vouched]). So a new root needs nobody's hand here,
// also if the depot server was away for several.
//
//	DIR/ca.pem  what is believed now
//	DIR/pinned  the fingerprint that it began with
//
// The configuration goes on naming the root of the beginning. Another fingerprint
// there is somebody's word that counts more: it must be of one that is believed.
type Trust struct {
	// Changed is called after other authorities are believed; nil is nobody.
	Changed func()

	dir    string
	server *url.URL
	log    *slog.Logger
	now    func() time.Time
	client *http.Client
	pem    atomic.Pointer[[]byte]
	seen   chan struct{} // the config server showed a root that is not believed yet
}

// Pin reads what is believed, or takes what the config server shows, if it has the
// fingerprint.
func Pin(ctx context.Context, dir string, server *url.URL, fingerprint string, log *slog.Logger, now func() time.Time) (*Trust, error) {
	t := &Trust{dir: dir, server: server, log: log, now: now, seen: make(chan struct{}, 1)}
	t.client = t.clientWith(pin.Checked(server.Hostname(), t.verify))
	data, err := t.begin(ctx, fingerprint)
	if err != nil {
		return nil, fmt.Errorf("cannot trust the config server %s: %w", server.Host, err)
	}
	t.pem.Store(&data)
	return t, nil
}

// clientWith makes a client for single questions.
func (t *Trust) clientWith(cfg *tls.Config) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{Proxy: pin.Direct(nil), TLSClientConfig: cfg, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (t *Trust) path(name string) string { return filepath.Join(t.dir, name) }

func (t *Trust) begin(ctx context.Context, fingerprint string) ([]byte, error) {
	print := digits(fingerprint)
	data, err := os.ReadFile(t.path("ca.pem"))
	if errors.Is(err, fs.ErrNotExist) {
		if data, err = fetch(ctx, t.server, fingerprint); err != nil {
			return nil, err
		}
		if err = os.MkdirAll(t.dir, 0o700); err == nil {
			err = t.note(print)
		}
		if err == nil {
			err = atomicfile.WriteFile(t.path("ca.pem"), data, 0o644)
		}
		return data, err
	}
	if err != nil {
		return nil, err
	}
	certs, err := pin.Certificates(data)
	if err != nil {
		return nil, fleet.WithHint(err, "delete %s: it is fetched again, by its fingerprint", t.path("ca.pem"))
	}
	pinned, err := os.ReadFile(t.path("pinned"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if strings.TrimSpace(string(pinned)) == print {
		return data, nil
	}
	for _, c := range certs { // of a release before, or somebody named a newer root since
		if hash(c) == print {
			return data, t.note(print)
		}
	}
	return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "no authority that is believed here has the fingerprint %.100s", fingerprint),
		"compare ca_fingerprint with fernwerkd ca status at the config server; if that has an authority that is not the former one's successor, delete %s", t.path("ca.pem"))
}

func (t *Trust) note(print string) error {
	return atomicfile.WriteFile(t.path("pinned"), []byte(print+"\n"), 0o644)
}

// digits are a fingerprint as we write it.
func digits(fingerprint string) string {
	text := strings.ToLower(strings.ReplaceAll(fingerprint, ":", ""))
	return strings.TrimPrefix(text, "sha256")
}

func hash(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// PEM is what is believed now.
func (t *Trust) PEM() []byte { return *t.pem.Load() }

// TLS is the trust in the config server by what is believed at the handshake.
func (t *Trust) TLS() *tls.Config {
	return pin.Checked(t.server.Hostname(), func(cs tls.ConnectionState) error {
		err := t.verify(cs)
		if err == nil && t.news(cs.PeerCertificates) {
			select {
			case t.seen <- struct{}{}:
			default: // it is looked at already
			}
		}
		return err
	})
}

func (t *Trust) verify(cs tls.ConnectionState) error {
	err := pin.Verify(cs.PeerCertificates, t.server.Hostname(), t.PEM(), t.now)
	if failed, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		failed.Err = fleet.WithHint(failed.Err, "compare ca_fingerprint with fernwerkd ca status at the config server; if that has an authority that none of before vouches for, write its fingerprint there and delete %s; if not, somebody answers in its place", t.path("ca.pem"))
	}
	return err
}

// news tells whether a server that is believed shows a root that is not.
func (t *Trust) news(shown []*x509.Certificate) bool {
	have, err := pin.Certificates(t.PEM())
	return err == nil && slices.ContainsFunc(shown[1:], func(c *x509.Certificate) bool {
		return bytes.Equal(c.RawSubject, c.RawIssuer) && !slices.ContainsFunc(have, c.Equal)
	})
}

// Follow asks the config server for its authorities, and believes those that are
// vouched for.
func (t *Trust) Follow(ctx context.Context) error {
	offered, err := ask(ctx, t.client, t.server)
	if err != nil {
		return fmt.Errorf("cannot ask the config server for its authorities: %w", err)
	}
	good, err := enrol.Vouched(t.PEM(), offered, t.now())
	if err != nil || bytes.Equal(good, t.PEM()) {
		return err
	}
	if err := atomicfile.WriteFile(t.path("ca.pem"), good, 0o644); err != nil {
		return fmt.Errorf("cannot keep the authorities: %w", err)
	}
	t.pem.Store(&good)
	newest := ""
	if certs, err := pin.Certificates(good); err == nil {
		newest = hash(certs[0])
	}
	t.log.Info("Other authorities are believed, for which those of before vouch", "config server", t.server.Host, "newest", newest)
	if t.Changed != nil {
		t.Changed()
	}
	return nil
}

// followEvery is between two questions; hosts ask about as often. pause is the least
// time between those that a root which was seen asks for: it may be one for which
// nobody vouches.
const (
	followEvery = 15 * time.Minute
	pause       = time.Minute
)

// Serve follows until ctx ends: at intervals, and when another root is seen.
func (t *Trust) Serve(ctx context.Context) error {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	paused := time.NewTimer(0)
	defer paused.Stop()
	for {
		if err := t.Follow(ctx); err != nil && ctx.Err() == nil {
			t.log.Warn("The config server's authorities are not followed now", "error", err, "hint", fleet.HintOf(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-t.seen:
			select {
			case <-ctx.Done():
				return nil
			case <-paused.C:
				paused.Reset(pause)
			}
		}
	}
}

// fetch gets the authority with a fingerprint, of whoever answers.
func fetch(ctx context.Context, server *url.URL, fingerprint string) ([]byte, error) {
	trust, err := pin.Config(server.Hostname(), nil, fingerprint)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{Proxy: pin.Direct(nil), TLSClientConfig: trust, DisableKeepAlives: true}}
	data, err := ask(ctx, client, server)
	if err != nil {
		return nil, fleet.WithHint(err, "%s", cmp.Or(fleet.HintOf(err), "the first start needs the config server; compare config_server and ca_fingerprint with what fernwerk depot create printed"))
	}
	certs, err := pin.Certificates(data)
	if err != nil {
		return nil, err
	}
	for _, c := range certs { // of several only the pinned one counts
		if hash(c) == digits(fingerprint) {
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), nil
		}
	}
	return nil, errors.New("it does not show the authority with that fingerprint")
}

// ask gets the certificates that a server shows.
func ask(ctx context.Context, client *http.Client, server *url.URL) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+server.Host+"/ssl/ca-certs.pem", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, unreached(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return data, err
}

// unreached makes an error of a failed exchange: waiting does not help where the
// server is another one.
func unreached(err error) error {
	code := fleet.Unavailable
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted || errors.Is(err, pin.ErrUntrusted) {
		code = fleet.Unauthenticated
	}
	return fleet.Errorf(code, "%w", err)
}
