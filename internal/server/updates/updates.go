// Package updates publishes run-once updates: scripts that were signed off line,
// offered by their numbers to a growing part of the fleet.
//
// What can be offered is only what the current targets, signed off line, name
// ([Signed]); this package decides to whom. Hosts ask with a conditional request
// ([Updates.Handler]), answered from memory: a host for which nothing is new costs
// no question to the database. What hosts report is kept by host, number and the
// attempt's own key, so that a report counts once however often it comes.
//
// The rows:
//
//	updatePublication  an update by number, with what its header says of hosts
//	updateRun          an attempt on a host
//	updateRunOutput    what it printed, of the last few
//
// Publishing, withdrawing and deciding are noted in the journal.
package updates

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

// Publication is an update that is, or was, offered.
type Publication struct {
	Number      string `col:"number,ident"`
	ID          string `col:"id"`
	Digest      string `col:"digest"` // SHA-256 of the file, hexadecimal
	Header      string `col:"header"` // as it stands in the file
	Share       int64  `col:"share"`  // hundredths of a per cent of the fleet
	Published   bool   `col:"published"`
	PublishedAt string `col:"publishedAt,time"`
	PublishedBy string `col:"publishedBy"`
	WithdrawnAt string `col:"withdrawnAt,time"`
	WithdrawnBy string `col:"withdrawnBy"`
}

// Run is an attempt of a host.
type Run struct {
	HostID   string `col:"hostId,ident,lower,owner=host.id"`
	Number   string `col:"number,ident"`
	Attempt  string `col:"attempt,ident"` // the attempt's own key
	N        int64  `col:"n"`
	Digest   string `col:"digest"`
	State    string `col:"state"`
	Exit     int64  `col:"exit"`
	Reason   string `col:"reason"`
	Policy   string `col:"policy"`
	Decision string `col:"decision"` // a person's, until the host says that it followed
	Started  string `col:"started,time"`
	Ended    string `col:"ended,time"`
	Revision int64  `col:"revision"`
}

// output is what an attempt printed.
type output struct {
	HostID  string `col:"hostId,ident,lower,owner=host.id"`
	Number  string `col:"number,ident"`
	Attempt string `col:"attempt,ident"`
	Text    string `col:"text"`
}

var (
	publications = fleet.LocalClass[Publication]("updatePublication")
	runs         = fleet.LocalClass[Run]("updateRun")
	outputs      = fleet.LocalClass[output]("updateRunOutput")
)

// Classes are the classes of the package, for [store.Open].
func Classes() []*fleet.Class { return []*fleet.Class{publications, runs, outputs} }

// What is kept of one update on one host.
const (
	keepRuns    = 20
	keepOutputs = 3
)

// Topic wakes those who offer updates.
const Topic = "updates"

// Config is what Updates work with.
type Config struct {
	Store *store.Store
	// Signed is the content that the targets, signed off line, name now.
	Signed func(tx *store.Tx, name string) ([]byte, error)
	// NodeTypes are the types of the hosts that have one; nil for none.
	NodeTypes func(tx *store.Tx) (map[string]string, error)
	Log       *slog.Logger
}

// Updates is the part.
type Updates struct {
	cfg     Config
	view    atomic.Pointer[view] // nil before the first look
	reading sync.Mutex           // held by who reads it for somebody who asks
}

// New makes Updates; [Updates.Serve] keeps what is offered up to date.
func New(cfg Config) *Updates { return &Updates{cfg: cfg} }

func all(tx *store.Tx) ([]Publication, error) { return store.All[Publication](tx, publications, nil) }

// read is the header of a publication, which was checked when it was published.
func (p Publication) read() (update.Header, error) {
	f, err := update.Parse([]byte(p.Header + "script\n"))
	if err != nil {
		return update.Header{}, err
	}
	return f.Header, nil
}

func headers(list []Publication, besides string) (out []update.Header, err error) {
	for _, p := range list {
		if !p.Published || p.Number == besides {
			continue
		}
		h, err := p.read()
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

func find(tx *store.Tx, number int) (p Publication, err error) {
	r, err := tx.Get(publications, fleet.Row{"number": update.Name(number)})
	if fleet.CodeOf(err) == fleet.NotFound {
		return p, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find update %s: it was never published", update.Name(number)), "list all with: fernwerk update status")
	}
	if err == nil {
		publications.Decode(r, &p)
	}
	return p, err
}

// Publish implements [port.Updates].
func (u *Updates) Publish(tx *store.Tx, by store.Origin, number, share int) (port.Update, error) {
	name := update.Name(number)
	if u.cfg.Signed == nil {
		return port.Update{}, fleet.WithHint(fleet.Errorf(fleet.NotHere, "cannot publish update %s: this server has no signed list of contents", name), "begin with: fernwerk trust init")
	}
	data, err := u.cfg.Signed(tx, update.Target(number))
	if err != nil {
		return port.Update{}, fleet.WithHint(fleet.Errorf(fleet.CodeOf(err), "cannot publish update %s: %w", name, err), "sign it with: fernwerk update sign --trust DIR FILE")
	}
	f, err := update.Parse(data)
	if err == nil && f.Number != number {
		err = fleet.Errorf(fleet.Invalid, "its file says that it is %s", update.Name(f.Number))
	}
	if err != nil {
		return port.Update{}, fleet.Errorf(fleet.CodeOf(err), "cannot publish update %s: %w", name, err)
	}
	sum := sha256.Sum256(data)
	next := Publication{Number: name, ID: f.ID, Digest: hex.EncodeToString(sum[:]), Header: f.Text(), Share: int64(share), Published: true,
		PublishedAt: tx.Stamp(), PublishedBy: by.Actor}
	known, err := all(tx)
	if err != nil {
		return port.Update{}, err
	}
	for _, p := range known {
		if p.Number == name && p.Digest != next.Digest {
			return port.Update{}, fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot publish update %s: it was published with other content, and hosts that ran that never run this", name),
				"give the corrected update a new number")
		}
		if p.Number == name {
			next.WithdrawnAt, next.WithdrawnBy = p.WithdrawnAt, p.WithdrawnBy
		}
	}
	others, err := headers(known, name)
	if err == nil {
		err = update.Check(append(others, f.Header))
	}
	if err != nil {
		return port.Update{}, fleet.Errorf(fleet.CodeOf(err), "cannot publish update %s: %w", name, err)
	}
	if err := u.change(tx, next, "publish", fleet.Row{"id": next.ID, "digest": next.Digest, "ring": update.Share(share)}); err != nil {
		return port.Update{}, err
	}
	return u.one(tx, number)
}

// Withdraw implements [port.Updates].
func (u *Updates) Withdraw(tx *store.Tx, by store.Origin, number int) (port.Update, error) {
	p, err := find(tx, number)
	if err != nil {
		return port.Update{}, err
	}
	known, err := all(tx)
	if err != nil {
		return port.Update{}, err
	}
	list, err := headers(known, "")
	if err == nil {
		err = update.Without(list, number)
	}
	if err != nil {
		return port.Update{}, fleet.Errorf(fleet.CodeOf(err), "cannot withdraw: %w", err)
	}
	if p.Published {
		p.Published, p.WithdrawnAt, p.WithdrawnBy = false, tx.Stamp(), by.Actor
		if err := u.change(tx, p, "withdraw", fleet.Row{"id": p.ID}); err != nil {
			return port.Update{}, err
		}
	}
	return u.one(tx, number)
}

func (u *Updates) change(tx *store.Tx, p Publication, what string, details fleet.Row) error {
	if err := tx.Put(publications, publications.Encode(p)); err != nil {
		return err
	}
	tx.Wake(Topic)
	return tx.Note("update", p.Number, what, details)
}

func (u *Updates) one(tx *store.Tx, number int) (port.Update, error) {
	list, err := u.Status(tx, number, func(string) bool { return true })
	if err != nil {
		return port.Update{}, err
	}
	list[0].Hosts = nil
	return list[0], nil
}

// Serve keeps what is offered up to date until ctx ends.
func (u *Updates) Serve(ctx context.Context) error { return u.follow(ctx) }
