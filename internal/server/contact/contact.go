// Package contact answers the check-in of hosts: each proves that there is one
// such machine, and takes along what must reach every host.
//
// # One machine
//
// At each contact a host says the mark that was confirmed at the contact before
// and a new one. A copy of the machine, made at whatever moment, knows the same
// last mark as the original; the first of both to come gets its new mark
// confirmed, and at the latest at its second contact the other one says a mark
// that is not the last any more. It is refused, both are shown to the
// administrator, and one of them becomes another host. Which one is right nobody
// can know here: the one that was refused may stay as well, see [Contacts.Keep].
//
// A new mark that was confirmed already is not a second machine: the answer got
// lost on the way, and the host says the same again.
//
// A server that was restored from a backup knows old marks. Restoring forgets
// them all ([Forget]): the next contact of each host begins anew.
//
// # What is carried
//
// The list of revocations, the authorities, and the word that the certificate is
// due. A host that has a newer list than we do is asked for it: it is ours, and we
// were restored. So it is with the documents of trust in content.
package contact

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"log/slog"
	"regexp"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Row is what is known of a host's contacts.
type Row struct {
	HostID   string `col:"hostId,ident,lower,valid=host,owner=host.id"`
	Mark     string `col:"mark"` // confirmed last; "" accepts any
	Keep     string `col:"keep"` // a mark that was refused and is accepted all the same
	Seen     int64  `col:"seen"` // Unix seconds
	Address  string `col:"address"`
	Hostname string `col:"hostname"`
	UUID     string `col:"uuid"`
	Hardware string `col:"hardware"`
	Policy   string `col:"policy"`
	Serial   string `col:"serial"`
	CRL      int64  `col:"crl"`

	// Of another machine that was refused.
	OtherNext     string `col:"otherNext"`
	OtherSeen     int64  `col:"otherSeen"`
	OtherSince    int64  `col:"otherSince"`
	OtherCount    int64  `col:"otherCount"`
	OtherAddress  string `col:"otherAddress"`
	OtherHostname string `col:"otherHostname"`
	OtherUUID     string `col:"otherUUID"`
	OtherHardware string `col:"otherHardware"`
}

// Rows is the class of Row, for [store.Open].
var Rows = fleet.LocalClass[Row]("contact")

// Config is what Contacts are made from.
type Config struct {
	Store *store.Store
	Roots func() []byte                                 // PEM
	CRL   func(*store.Tx) ([]byte, int64, error)        // DER, and its number
	Known func(*store.Tx, int64) (bool, error)          // whether a list's number is on record here; nil: all up to the newest
	Take  func(*store.Tx, []byte) error                 // a list of ours that is not on record, of a host
	Due   func(*store.Tx, string, string) (bool, error) // whether the host's certificate with this serial is to be renewed
	// Lacks names the documents of trust of which the host has newer ones;
	// TakeDocument takes one of these. Nil: there are none.
	Lacks        func(*store.Tx, enrol.Versions) ([]string, error)
	TakeDocument func(tx *store.Tx, name string, data []byte) error
	Log          *slog.Logger
}

// Contacts answers contacts.
type Contacts struct{ cfg Config }

// New makes Contacts.
func New(cfg Config) *Contacts { return &Contacts{cfg} }

// mark is 128 bits or more, in what rand.Text or base64url gives.
var mark = regexp.MustCompile(`^[A-Za-z0-9_-]{22,64}$`)

// crlName is the name of the list of revocations among what is sent.
const crlName = "crl"

// mostNewer bounds the documents of one contact.
const mostNewer = 8

func check(c enrol.Contact) error {
	switch {
	case !mark.MatchString(c.Next) || c.Last != "" && !mark.MatchString(c.Last):
		return fleet.Errorf(fleet.Invalid, "cannot take the contact: its marks are none")
	case len(c.Newer) > mostNewer || len(c.Trust) > 16 || len(c.Serial) > 64:
		return fleet.Errorf(fleet.TooLarge, "cannot take the contact: it carries too much")
	}
	return enrol.ValidPolicy(enrol.Policy(c.Policy))
}

// Contact answers one contact of a host.
func (s *Contacts) Contact(ctx context.Context, hostID string, c enrol.Contact, origin store.Origin) (out enrol.Answer, err error) {
	if err := check(c); err != nil {
		return out, err
	}
	c.Machine = c.Machine.Clean()
	var refused error
	err = s.cfg.Store.Update(ctx, origin, func(tx *store.Tx) error {
		out, refused = enrol.Answer{}, nil // another try begins anew
		row, err := get(tx, hostID)
		if err != nil {
			return err
		}
		if !row.knows(c) {
			refused = enrol.Clone(hostID)
			return s.note(tx, row, c, origin)
		}
		if row.Keep != "" && same(row.Keep, c.Next) { // the machine that goes on is the other one now
			row.forgetOther()
		}
		row.Mark, row.Seen, row.Address = c.Next, tx.Now().Unix(), origin.Address
		row.Hostname, row.UUID, row.Hardware = c.Machine.Hostname, c.Machine.SystemUUID, c.Machine.HardwareAddress
		row.Policy, row.Serial, row.CRL = c.Policy, c.Serial, c.CRL
		if err := tx.Put(Rows, Rows.Encode(row)); err != nil {
			return err
		}
		out.Mark = c.Next
		return s.carry(tx, hostID, c, &out)
	})
	if err == nil {
		err = refused
	}
	if refused != nil {
		s.cfg.Log.Warn("Two machines use one identity", "host", hostID, "refused", origin.Address)
	}
	return out, err
}

// knows tells whether a contact is of the machine that came before.
func (r Row) knows(c enrol.Contact) bool {
	return r.Mark == "" || same(r.Mark, c.Last) || same(r.Mark, c.Next) || same(r.Keep, c.Next)
}

func same(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// note keeps who was refused, for the administrator. The journal has the first
// time.
func (s *Contacts) note(tx *store.Tx, row Row, c enrol.Contact, origin store.Origin) error {
	first := row.OtherCount == 0
	if first {
		row.OtherSince = tx.Now().Unix()
	}
	row.OtherNext, row.OtherSeen, row.OtherCount, row.OtherAddress = c.Next, tx.Now().Unix(), row.OtherCount+1, origin.Address
	row.OtherHostname, row.OtherUUID, row.OtherHardware = c.Machine.Hostname, c.Machine.SystemUUID, c.Machine.HardwareAddress
	if err := tx.Put(Rows, Rows.Encode(row)); err != nil || !first {
		return err
	}
	return tx.Note(fleet.Hosts.Name, row.HostID, "clone", fleet.Row{"notes": enrol.CodeClone})
}

func (r *Row) forgetOther() {
	r.Keep, r.OtherNext, r.OtherSeen, r.OtherSince, r.OtherCount = "", "", 0, 0, 0
	r.OtherAddress, r.OtherHostname, r.OtherUUID, r.OtherHardware = "", "", "", ""
}

// carry is what a host takes along.
func (s *Contacts) carry(tx *store.Tx, hostID string, c enrol.Contact, out *enrol.Answer) error {
	for name, data := range c.Newer {
		var err error
		switch {
		case name == crlName:
			err = s.cfg.Take(tx, data)
		case s.cfg.TakeDocument != nil:
			err = s.cfg.TakeDocument(tx, name, data)
		}
		if err != nil {
			s.cfg.Log.Warn("A host's newer document is not taken", "host", hostID, "document", name, "error", err)
		}
	}
	der, number, err := s.cfg.CRL(tx)
	if err != nil {
		return err
	}
	known := c.CRL <= number
	if s.cfg.Known != nil && c.CRL != 0 {
		if known, err = s.cfg.Known(tx, c.CRL); err != nil {
			return err
		}
	}
	switch {
	case !known && c.Newer[crlName] == nil: // else it was not to be believed
		// The server was restored since it signed that list. Numbers go on from the
		// backup's, so they say nothing of who knows more: first the host's is read.
		out.Send = append(out.Send, crlName)
	case c.CRL < number:
		out.CRL = der
	}
	if roots := s.cfg.Roots(); c.Roots != RootsDigest(roots) {
		out.Roots = roots
	}
	if s.cfg.Lacks != nil && len(c.Trust) > 0 {
		names, err := s.cfg.Lacks(tx, c.Trust)
		if err != nil {
			return err
		}
		for _, name := range names {
			if c.Newer[name] == nil {
				out.Send = append(out.Send, name)
			}
		}
	}
	out.Renew, err = s.cfg.Due(tx, hostID, c.Serial)
	return err
}

// RootsDigest is how authorities are compared.
func RootsDigest(pem []byte) string {
	sum := sha256.Sum256(pem)
	return hex.EncodeToString(sum[:])
}

func get(tx *store.Tx, hostID string) (Row, error) {
	row := Row{HostID: hostID}
	r, err := tx.ByKey(Rows, hostID)
	if r != nil {
		Rows.Decode(r, &row)
	}
	return row, err
}

// Clones are the identities that two machines use.
func (s *Contacts) Clones(tx *store.Tx) ([]port.CloneHost, error) {
	rows, err := store.All[Row](tx, Rows, nil)
	if err != nil {
		return nil, err
	}
	out := []port.CloneHost{}
	for _, r := range rows {
		if r.OtherCount == 0 {
			continue
		}
		out = append(out, port.CloneHost{ID: r.HostID, Since: stamp(r.OtherSince), Count: r.OtherCount, Kept: r.Keep != "",
			Goes:    port.CloneMachine{Seen: stamp(r.Seen), Address: r.Address, Hostname: r.Hostname, SystemUUID: r.UUID, HardwareAddress: r.Hardware},
			Refused: port.CloneMachine{Seen: stamp(r.OtherSeen), Address: r.OtherAddress, Hostname: r.OtherHostname, SystemUUID: r.OtherUUID, HardwareAddress: r.OtherHardware}})
	}
	return out, nil
}

func stamp(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.DateTime) }

// Keep lets the machine that was refused last stay what it is: its next contact is
// accepted, and the other one is refused from then on.
func (s *Contacts) Keep(tx *store.Tx, hostID string) error {
	row, err := get(tx, hostID)
	if err != nil {
		return err
	}
	if row.OtherCount == 0 {
		return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot keep the identity of %s: no machine was refused", hostID), "see: fernwerk host clones")
	}
	row.Keep = row.OtherNext
	if err := tx.Put(Rows, Rows.Encode(row)); err != nil {
		return err
	}
	return tx.Note(fleet.Hosts.Name, hostID, "keepIdentity", nil)
}

// Fresh forgets what was known of a host that joins anew.
func Fresh(tx *store.Tx, hostID string) error { return tx.Remove(Rows, fleet.Row{"hostId": hostID}) }

// Forget forgets all marks: the rows are from a backup, and every host knows newer
// ones.
func Forget(ctx context.Context, st *store.Store) error {
	return st.Update(ctx, store.Origin{Actor: "restore"}, func(tx *store.Tx) error {
		rows, err := store.All[Row](tx, Rows, nil)
		for _, r := range rows {
			if err == nil {
				r.Mark = ""
				r.forgetOther()
				err = tx.Put(Rows, Rows.Encode(r))
			}
		}
		return err
	})
}

// Policies are what hosts demand of content, by host; of one that was never in
// contact nothing is known.
func Policies(tx *store.Tx) (map[string]string, error) {
	rows, err := store.All[Row](tx, Rows, nil)
	out := make(map[string]string, len(rows))
	for _, r := range rows {
		out[r.HostID] = r.Policy
	}
	return out, err
}
