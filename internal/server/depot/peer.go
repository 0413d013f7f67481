package depot

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// PeerAs is the way to the trees of other depots for the server that self names;
// they show a certificate of the authority, PEM. certificate is what is shown to
// them beside the password, to those that ask for one; nil is none.
func PeerAs(authority func() []byte, certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error), self func(context.Context) (user, password string, err error)) Peer {
	return func(_ context.Context, other fleet.Host, product string) (*transfer.HTTP, error) {
		u, err := url.Parse(other.DepotWebdavURL)
		if err != nil || u.Hostname() == "" {
			return nil, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "nobody knows where depot %s is", other.ID), "set its depotWebdavUrl")
		}
		trust, err := pin.Config(u.Hostname(), authority(), "")
		if err != nil {
			return nil, err
		}
		trust.GetClientCertificate = certificate
		transport := &http.Transport{Proxy: pin.Direct(nil), TLSClientConfig: trust, TLSHandshakeTimeout: 15 * time.Second,
			ResponseHeaderTimeout: 5 * time.Minute, IdleConnTimeout: 10 * time.Second, DisableCompression: true}
		return &transfer.HTTP{Base: "https://" + u.Host, Product: product,
			Client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
			Prepare: func(r *http.Request) error {
				user, password, err := self(r.Context())
				r.SetBasicAuth(user, password)
				return err
			}}, nil
	}
}
