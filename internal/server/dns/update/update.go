// Package update takes the names of nodes to a DNS server that is there already,
// by dynamic updates (RFC 2136) signed with a shared key (TSIG, RFC 8945).
//
// It reads the zones by transfer, with the same key, and changes only what
// differs: the address record of a node's name, and the pointer back in the
// reverse zones that it was told of. Each change is one message a zone and happens
// whole or not at all. A name that is an alias there is somebody else's, and is
// refused.
//
// For bind: `allow-transfer { key NAME; };` and `update-policy { grant NAME
// zonesub any; };` in both zones.
package update

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

const (
	ttl     = 30 // seconds
	fudge   = 300
	answers = 10 * time.Second
	// most records of a zone that are read.
	most = 1_000_000
)

// Driver is one DNS server; see presence.Driver.
type Driver struct {
	Server    string   // HOST:PORT
	Zone      string   // without a dot at the end
	Reverse   []string // reverse zones of it
	KeyName   string
	Algorithm string // such as hmac-sha256
	Secret    string // base64
}

// Name is the driver's.
func (d *Driver) Name() string { return "dns " + d.Server }

const pointer = "pointer" // property of a state: where the reverse name points to

// Read transfers the zones.
func (d *Driver) Read(ctx context.Context) (map[string]node.State, error) {
	all := map[string]node.State{}
	alias := map[string]bool{}
	err := d.transfer(ctx, d.Zone, func(rr dns.RR) {
		name := plain(rr.Header().Name)
		state := all[name]
		var a netip.Addr
		switch rr := rr.(type) {
		case *dns.A:
			a, _ = netip.AddrFromSlice(rr.A.To4())
		case *dns.AAAA:
			a, _ = netip.AddrFromSlice(rr.AAAA)
		case *dns.CNAME:
			alias[name] = true
		}
		switch {
		case !a.IsValid():
			return
		case state.Address.IsValid():
			state.Word = "several addresses"
		}
		state.Up, state.Address = true, a
		all[name] = state
	})
	if err != nil {
		return nil, err
	}
	for name := range alias {
		all[name] = node.State{Word: "alias"}
	}
	for _, zone := range d.Reverse {
		err := d.transfer(ctx, zone, func(rr dns.RR) {
			ptr, ok := rr.(*dns.PTR)
			a, valid := node.ReverseAddress(plain(rr.Header().Name))
			if !ok || !valid {
				return
			}
			to := plain(ptr.Ptr)
			if state, known := all[to]; known && state.Address == a {
				state.Properties = map[string]string{pointer: a.String()}
				all[to] = state
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Wants the nodes of the zone.
func (d *Driver) Wants(n node.Node) bool {
	return strings.HasSuffix(n.Name, "."+d.Zone)
}

// Differs compares records, which say nothing of sessions.
func (d *Driver) Differs(want node.Node, is node.State, found bool) string {
	switch {
	case !want.Resolves && found && is.Up:
		return "shall not resolve"
	case !want.Resolves:
		return ""
	case !found || !is.Up:
		return "does not resolve"
	case is.Word != "" || is.Address != want.Address:
		return "resolves to another address"
	case d.reverse(want.Address) != "" && is.Properties[pointer] == "":
		return "its address does not point back"
	}
	return ""
}

// Apply makes the name and its pointer what they shall be.
func (d *Driver) Apply(ctx context.Context, c node.Change) error {
	n := c.Node
	if c.Was.Word == "alias" {
		return fleet.WithHint(fleet.Errorf(fleet.Conflict, "%s is an alias at %s, made by somebody else", n.Name, d.Server), "remove it there, or give the node type another name pattern")
	}
	resolves := n.Resolves && !c.Gone
	m := d.message(d.Zone)
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		m.RemoveRRset([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: n.Name + ".", Rrtype: kind}}})
	}
	if resolves {
		m.RRsetNotUsed([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: n.Name + ".", Rrtype: dns.TypeCNAME}}})
		m.Insert([]dns.RR{record(n)})
	}
	if err := d.send(ctx, m); err != nil {
		return err
	}
	for _, a := range []netip.Addr{c.Was.Address, n.Address} {
		zone := d.reverse(a)
		if zone == "" || a == c.Was.Address && a == n.Address && resolves {
			continue // the same, once
		}
		if err := d.send(ctx, d.back(zone, a, n, resolves && a == n.Address)); err != nil {
			return err
		}
	}
	if zone := d.reverse(n.Address); zone != "" && c.Was.Address == n.Address && resolves {
		return d.send(ctx, d.back(zone, n.Address, n, true))
	}
	return nil
}

// back points an address at a node's name, or no longer.
func (d *Driver) back(zone string, a netip.Addr, n node.Node, there bool) *dns.Msg {
	m := d.message(zone)
	header := dns.RR_Header{Name: node.ReverseName(a) + ".", Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: ttl}
	if !there { // it may be another's by now: only what points here goes
		m.Remove([]dns.RR{&dns.PTR{Hdr: header, Ptr: n.Name + "."}})
		return m
	}
	m.RemoveRRset([]dns.RR{&dns.ANY{Hdr: header}})
	m.Insert([]dns.RR{&dns.PTR{Hdr: header, Ptr: n.Name + "."}})
	return m
}

// reverse is the reverse zone of an address, "" if there is none of ours.
func (d *Driver) reverse(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	name := node.ReverseName(a)
	i := slices.IndexFunc(d.Reverse, func(zone string) bool { return strings.HasSuffix(name, "."+zone) })
	if i < 0 {
		return ""
	}
	return d.Reverse[i]
}

func record(n node.Node) dns.RR {
	header := dns.RR_Header{Name: n.Name + ".", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}
	if n.Address.Is4() {
		return &dns.A{Hdr: header, A: n.Address.AsSlice()}
	}
	header.Rrtype = dns.TypeAAAA
	return &dns.AAAA{Hdr: header, AAAA: n.Address.AsSlice()}
}

func (d *Driver) message(zone string) *dns.Msg {
	m := new(dns.Msg)
	return m.SetUpdate(zone + ".")
}

func (d *Driver) sign(m *dns.Msg) map[string]string {
	m.SetTsig(d.KeyName+".", d.Algorithm+".", fudge, time.Now().Unix())
	return map[string]string{d.KeyName + ".": d.Secret}
}

func (d *Driver) send(ctx context.Context, m *dns.Msg) error {
	zone := plain(m.Question[0].Name)
	c := &dns.Client{Net: "tcp", Timeout: answers, TsigSecret: d.sign(m)}
	answer, _, err := c.ExchangeContext(ctx, m, d.Server)
	if err == nil && answer.Rcode != dns.RcodeSuccess {
		err = refusal(answer.Rcode)
	}
	if err == nil && answer.IsTsig() == nil {
		err = errors.New("the answer is not signed")
	}
	if err != nil {
		return fmt.Errorf("cannot update zone %s at %s: %w", zone, d.Server, err)
	}
	return nil
}

// refusal says what a code means here.
func refusal(code int) error {
	err := fmt.Errorf("it says %s", dns.RcodeToString[code])
	switch code {
	case dns.RcodeRefused:
		return fleet.WithHint(err, "let the key update and transfer the zone: update-policy and allow-transfer in bind")
	case dns.RcodeNotAuth:
		return fleet.WithHint(err, "check the zone, and that name, algorithm and secret of the key are the same on both sides")
	}
	return err
}

// transfer reads a zone.
func (d *Driver) transfer(ctx context.Context, zone string, each func(dns.RR)) error {
	fail := func(err error) error { return fmt.Errorf("cannot read zone %s of %s: %w", zone, d.Server, err) }
	dialer := &dns.Client{Net: "tcp", Timeout: answers}
	conn, err := dialer.DialContext(ctx, d.Server)
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	m := new(dns.Msg)
	m.SetAxfr(zone + ".")
	t := &dns.Transfer{Conn: conn, ReadTimeout: answers, WriteTimeout: answers, TsigSecret: d.sign(m)}
	conn.TsigSecret = t.TsigSecret
	envelopes, err := t.In(m, d.Server)
	if err != nil {
		return fail(err)
	}
	n := 0
	for e := range envelopes { // to its end: its sender waits
		if err = errors.Join(err, e.Error); err != nil {
			continue
		}
		if n += len(e.RR); n > most {
			err = fleet.Errorf(fleet.TooLarge, "it has more than %d records", most)
			conn.Close()
			continue
		}
		for _, rr := range e.RR {
			each(rr)
		}
	}
	if err == nil {
		return nil
	}
	return fail(fleet.WithHint(err, "let the key transfer the zone: allow-transfer in bind"))
}

func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
