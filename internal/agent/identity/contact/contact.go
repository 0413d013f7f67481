// Package contact checks in with the server: that there is one such machine, and
// for what the server has for each.
//
// A contact says the mark that the server confirmed last, and a new one, which is
// on the disk before it is sent and is sent again until it is confirmed. So an
// answer that gets lost looks the same again, and a copy of the machine does not:
// see the server's package contact. Of a server that knows nothing of contacts,
// such as opsi's, nothing is asked.
//
// With the answer come the list of revocations and the authorities to believe,
// which are kept if they are signed by whom the machine believes already, and the
// word that the certificate is due.
package contact

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	mrand "math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// Documents are those of trust in content that the machine holds.
type Documents interface {
	Versions() enrol.Versions
	Document(role string) ([]byte, error)
}

// Config is what a Service is made from.
type Config struct {
	DataDir string
	// Transport carries the contacts, over connections that other requests use as
	// well; nil makes one for each.
	Transport http.RoundTripper
	UserAgent string
	Machine   func() enrol.Machine
	Documents Documents                                    // nil: there are none
	Interval  func(context.Context) (time.Duration, error) // between contacts
	Log       *slog.Logger
	Now       func() time.Time
}

// Service makes contacts.
type Service struct {
	cfg Config
	mu  sync.Mutex // one contact at a time
	at  time.Time  // of the last one that was answered
	// new is the number of a certificate that was over when it came, by our clock:
	// then the clock is wrong, and the server says when another is due.
	new string
}

// New makes a Service.
func New(cfg Config) *Service { return &Service{cfg: cfg} }

// state is what must be known at the next contact.
type state struct {
	HostID string `json:"hostId"`
	Last   string `json:"last"`
	Next   string `json:"next"`
	CRL    int64  `json:"crl"`
}

func (s *Service) load(hostID string) (st state, err error) {
	data, err := os.ReadFile(identity.ContactPath(s.cfg.DataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return state{HostID: hostID}, nil
	}
	if err != nil {
		return st, err
	}
	// A file that is damaged is as good as none: the server takes the machine for a
	// copy then, and an administrator says that it is not.
	if json.Unmarshal(data, &st) != nil || st.HostID != hostID {
		return state{HostID: hostID}, nil
	}
	return st, nil
}

func (s *Service) save(st state) error {
	data, err := json.Marshal(st)
	if err == nil {
		err = atomicfile.WriteFile(identity.ContactPath(s.cfg.DataDir), append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the mark of the contact: %w", err)
	}
	return nil
}

// rounds bounds how often one contact goes there and back: what the server lacks
// is sent in a second one.
const rounds = 2

// Now makes a contact. A server out of reach is Unavailable; that another machine
// uses this identity is a Conflict, whose hint says the ways out.
func (s *Service) Now(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now(ctx)
}

// Recent is Now, unless the last contact is younger than this.
func (s *Service) Recent(ctx context.Context, age time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.cfg.Now(); !s.at.IsZero() && now.Sub(s.at) < age {
		return nil
	}
	return s.now(ctx)
}

func (s *Service) now(ctx context.Context) error {
	id, err := identity.Load(s.cfg.DataDir)
	if err != nil {
		return err
	}
	client, prepare, err := id.HTTP(s.cfg.UserAgent)
	if err != nil {
		return err
	}
	if s.cfg.Transport != nil {
		client.Transport = s.cfg.Transport
	} else {
		defer client.CloseIdleConnections()
	}
	if id.Over(s.cfg.Now()) && id.Serial() != s.new { // it was asleep: first that it is known again
		s.cfg.Log.Info("The certificate is over, it is renewed")
		if id, err = id.Renew(ctx, client, prepare); err != nil {
			return err
		}
		client.CloseIdleConnections() // they show the former one
		if s.new = id.Serial(); id.Over(s.cfg.Now()) {
			s.cfg.Log.Warn("The new certificate is over as well: this machine's clock is ahead")
		}
	}
	st, err := s.load(id.HostID)
	if err != nil {
		return err
	}
	var newer map[string][]byte
	for range rounds {
		answer, shown, err := s.once(ctx, client, prepare, id, &st, newer)
		if err != nil || answer == nil {
			return err
		}
		if err := s.take(&id, &st, *answer, shown); err != nil {
			s.cfg.Log.Error("What the server sent is not taken", "error", err)
		}
		if answer.Renew {
			if id, err = id.Renew(ctx, client, prepare); err != nil {
				return err
			}
			s.cfg.Log.Info("The certificate is renewed", "serial", id.Serial())
			client.CloseIdleConnections() // they show the former one
		}
		s.at = s.cfg.Now()
		if newer = s.documents(answer.Send); len(newer) == 0 {
			return nil
		}
	}
	return nil
}

// once is one request. The answer is nil if the server knows nothing of contacts.
func (s *Service) once(ctx context.Context, client *http.Client, prepare func(*http.Request) error, id identity.Identity, st *state, newer map[string][]byte) (*enrol.Answer, []byte, error) {
	if st.Next == "" {
		st.Next = rand.Text() // 130 bits
		if err := s.save(*st); err != nil {
			return nil, nil, err
		}
	}
	c := enrol.Contact{Last: st.Last, Next: st.Next, Machine: s.cfg.Machine(), Policy: string(id.Policy), CRL: st.CRL, Roots: digest(id.CA), Serial: id.Serial(), Newer: newer}
	if s.cfg.Documents != nil {
		c.Trust = s.cfg.Documents.Versions()
	}
	var answer enrol.Answer
	reply, err := identity.Post(ctx, client, id.Server+"/v1/contact", prepare, c, &answer)
	switch {
	case reply.Status == http.StatusNotFound && fleet.CodeOf(err) == fleet.NotFound, errors.Is(err, identity.ErrNotOurs):
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	case answer.Mark != st.Next:
		return nil, nil, fleet.Errorf(fleet.Invalid, "the server confirmed another mark than ours")
	}
	st.Last, st.Next = answer.Mark, ""
	return &answer, reply.Shown, s.save(*st)
}

// take keeps what came, over a connection on which the server showed these
// certificates.
func (s *Service) take(id *identity.Identity, st *state, a enrol.Answer, shown []byte) error {
	var errs []error
	if len(a.Roots) > 0 {
		now, err := id.Believe(a.Roots, s.cfg.Now())
		if err == nil {
			*id = now
		}
		errs = append(errs, err)
	}
	// Whose list it is says an authority; a machine that goes by first sight knows none.
	if len(a.CRL) > 0 && id.ServerTrust == identity.ByAuthority {
		list, err := enrol.ReadCRL(a.CRL, []byte(id.CA), append([]byte(id.Chain), shown...), s.cfg.Now())
		if err == nil && list.Number > st.CRL {
			if err = atomicfile.WriteFile(identity.CRLPath(s.cfg.DataDir), a.CRL, 0o600); err == nil {
				st.CRL = list.Number
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, s.save(*st))...)
}

// crlName is the name of the list of revocations among what is asked for.
const crlName = "crl"

// digest is how authorities are compared.
func digest(roots string) string {
	sum := sha256.Sum256([]byte(roots))
	return hex.EncodeToString(sum[:])
}

// documents are those that the server asked for, as far as we have them.
func (s *Service) documents(names []string) map[string][]byte {
	out := map[string][]byte{}
	for _, name := range names {
		var data []byte
		var err error
		switch {
		case name == crlName:
			data, err = os.ReadFile(identity.CRLPath(s.cfg.DataDir))
		case s.cfg.Documents != nil:
			data, err = s.cfg.Documents.Document(name)
		}
		if err == nil && len(data) > 0 {
			out[name] = data
		}
	}
	return out
}

// patience is for one contact on the slowest line.
const patience = 5 * time.Minute

// Serve makes a contact at the start and then at intervals, which are drawn so
// that not all come at once, until ctx ends.
func (s *Service) Serve(ctx context.Context) error {
	for {
		within, cancel := context.WithTimeout(ctx, patience)
		err := s.Now(within)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case fleet.CodeOf(err) == fleet.Unavailable:
			s.cfg.Log.Debug("No contact: the server is out of reach", "error", err)
		case err != nil:
			s.cfg.Log.Error("No contact", "error", err, "hint", fleet.HintOf(err))
		}
		every, err := s.cfg.Interval(ctx)
		if err != nil {
			return err
		}
		wait := time.NewTimer(time.Duration(float64(every) * (0.8 + 0.4*mrand.Float64())))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
	}
}
