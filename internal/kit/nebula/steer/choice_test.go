package steer

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var (
	one, two = netip.MustParseAddr("10.134.0.2"), netip.MustParseAddr("10.134.0.3")
	begin    = time.Unix(1_700_000_000, 0)
)

// look is what is seen of one peer at a time, and what follows.
type look struct {
	at                 time.Duration
	up, known, pending bool
	heard, sent        time.Duration // since begin; 0 for never
	by, away           bool
	try, ask, drop     bool
}

func (c *Choice) tell(t *testing.T, l look) {
	t.Helper()
	v := View{Now: begin.Add(l.at), Up: map[netip.Addr]bool{}, Pending: map[netip.Addr]bool{}, Heard: map[netip.Addr]time.Time{}, Sent: map[netip.Addr]time.Time{}}
	if l.up {
		v.Up[one] = true
	}
	if l.pending {
		v.Pending[one] = true
	}
	if l.known {
		v.Known = []netip.Addr{one}
	}
	if l.heard != 0 {
		v.Heard[one] = begin.Add(l.heard)
	}
	if l.sent != 0 {
		v.Sent[one] = begin.Add(l.sent)
	}
	w := c.Look(v)
	got := look{at: l.at, up: l.up, known: l.known, pending: l.pending, heard: l.heard, sent: l.sent, by: slices.Contains(w.By, one), away: slices.Contains(w.Away, one),
		try: slices.Contains(w.Try, one), ask: slices.Contains(w.Ask, one), drop: slices.Contains(w.Drop, one)}
	if got != l {
		t.Errorf("at %v: %s", l.at, cmp.Diff(l, got, cmp.AllowUnexported(look{})))
	}
}

func TestChoice(t *testing.T) {
	const s = time.Second
	for name, story := range map[string][]look{
		"nobody is known": {{at: s}},
		"it is in the mesh, a tunnel is made, it is asked, it answers": {
			{at: s, known: true, away: true, try: true},
			{at: 1500 * time.Millisecond, known: true, pending: true, away: true},
			{at: 2 * s, known: true, up: true, away: true, ask: true},
			{at: 2500 * time.Millisecond, known: true, up: true, heard: 2100 * time.Millisecond, by: true},
		},
		"it is known by its tunnel alone, as nodes are to a hub": {
			{at: s, up: true, away: true, ask: true},
			{at: 2 * s, up: true, heard: 1100 * time.Millisecond, by: true},
			{at: 3 * s},
		},
		"what was heard before the tunnel does not count": {
			{at: 5 * s, known: true, up: true, heard: 4 * s, away: true, ask: true},
			{at: 6 * s, known: true, up: true, heard: 4 * s, away: true, ask: true},
		},
		"nothing is said: it is asked now and then": {
			{at: s, up: true, away: true, ask: true},
			{at: 2 * s, up: true, heard: 1100 * time.Millisecond, by: true},
			{at: 5 * s, up: true, heard: 1100 * time.Millisecond, by: true},
			{at: 6200 * time.Millisecond, up: true, heard: 1100 * time.Millisecond, by: true, ask: true},
			{at: 6700 * time.Millisecond, up: true, heard: 6300 * time.Millisecond, by: true},
		},
		"it is said something and says nothing: asked soon, and given up after the silence": {
			{at: s, up: true, known: true, away: true, ask: true},
			{at: 2 * s, up: true, known: true, heard: 1100 * time.Millisecond, by: true},
			{at: 2500 * time.Millisecond, up: true, known: true, heard: 1100 * time.Millisecond, sent: 2400 * time.Millisecond, by: true, ask: true},
			{at: 3500 * time.Millisecond, up: true, known: true, heard: 1100 * time.Millisecond, sent: 3 * s, by: true, ask: true},
			{at: 4 * s, up: true, known: true, heard: 1100 * time.Millisecond, sent: 3900 * time.Millisecond, away: true},
			{at: 5500 * time.Millisecond, up: true, known: true, heard: 1100 * time.Millisecond, sent: 3900 * time.Millisecond, away: true, ask: true},
			{at: 6 * s, up: true, known: true, heard: 5600 * time.Millisecond, sent: 3900 * time.Millisecond, by: true},
		},
		"its tunnel is gone: away at once, tried at once, then with growing pauses": {
			{at: s, up: true, known: true, away: true, ask: true},
			{at: 2 * s, up: true, known: true, heard: 1100 * time.Millisecond, by: true},
			{at: 3 * s, known: true, away: true, try: true},
			{at: 7 * s, known: true, away: true},
			{at: 8 * s, known: true, away: true, try: true},
			{at: 17 * s, known: true, away: true},
			{at: 18 * s, known: true, away: true, try: true},
		},
		"a tunnel in which nobody ever answers is made anew": {
			{at: s, up: true, known: true, away: true, ask: true},
			{at: 4 * s, up: true, known: true, away: true, ask: true},
			{at: 5500 * time.Millisecond, up: true, known: true, away: true, drop: true},
			{at: 6 * s, up: true, known: true, away: true, ask: true},
		},
		"it is in the mesh no more": {
			{at: s, known: true, away: true, try: true},
			{at: 2 * s},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var c Choice
			for _, l := range story {
				c.tell(t, l)
			}
		})
	}
}

// In a large mesh the first packet makes a tunnel, for so long as it may take.
func TestChoice_Large(t *testing.T) {
	known := []netip.Addr{}
	for a := one; len(known) <= Eager; a = a.Next() {
		known = append(known, a)
	}
	var c Choice
	w := c.Look(View{Now: begin, Known: known})
	if len(w.By) != len(known) || len(w.Try) != 0 {
		t.Fatalf("%d go by the mesh, %d are tried", len(w.By), len(w.Try))
	}
	pending := map[netip.Addr]bool{one: true}
	c.Look(View{Now: begin.Add(time.Second), Known: known, Pending: pending})
	w = c.Look(View{Now: begin.Add(4 * time.Second), Known: known, Pending: pending})
	if slices.Contains(w.By, one) || !slices.Contains(w.By, two) || len(w.Away) != 1 {
		t.Errorf("away: %v", w.Away)
	}
	w = c.Look(View{Now: begin.Add(10 * time.Second), Known: known})
	if !slices.Equal(w.Try, []netip.Addr{one}) {
		t.Errorf("tried: %v", w.Try)
	}
}

// Whatever is seen: nobody is both by the mesh and away, who has no tunnel is not by it
// in a small mesh, and who answered within the last second in a tunnel is.
func TestChoice_Property(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Choice
		now, heard, upSince := begin, map[netip.Addr]time.Time{}, map[netip.Addr]time.Time{}
		for range rapid.IntRange(1, 40).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(100, 3000).Draw(t, "step")) * time.Millisecond)
			v := View{Now: now, Up: map[netip.Addr]bool{}, Pending: map[netip.Addr]bool{}, Heard: heard, Sent: map[netip.Addr]time.Time{}}
			for _, a := range []netip.Addr{one, two} {
				if rapid.Bool().Draw(t, "known") {
					v.Known = append(v.Known, a)
				}
				if v.Up[a] = rapid.IntRange(0, 4).Draw(t, "up") > 0; !v.Up[a] {
					delete(v.Up, a)
					delete(upSince, a)
				} else if upSince[a].IsZero() {
					upSince[a] = now
				}
				if v.Up[a] && rapid.Bool().Draw(t, "heard") {
					heard[a] = now
				}
			}
			w := c.Look(v)
			for _, a := range []netip.Addr{one, two} {
				by, away := slices.Contains(w.By, a), slices.Contains(w.Away, a)
				if by && away || by && !v.Up[a] || slices.Contains(w.Ask, a) && !v.Up[a] || slices.Contains(w.Try, a) && v.Up[a] {
					t.Fatalf("%v up=%v: %+v", a, v.Up[a], w)
				}
				if heard[a].Equal(now) && heard[a].After(upSince[a]) && v.Up[a] && !by {
					t.Fatalf("%v answers and is away", a)
				}
			}
		}
	})
}

func TestRoutes(t *testing.T) {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	for name, c := range map[string]struct {
		own, through []netip.Prefix
		by           []netip.Addr
		want         []Route
	}{
		"alone":             {own: []netip.Prefix{p("10.134.0.9/16")}, want: []Route{{To: p("10.134.0.0/16"), Other: true}}},
		"with peers":        {own: []netip.Prefix{p("10.134.0.9/16")}, by: []netip.Addr{a("10.134.0.2")}, want: []Route{{To: p("10.134.0.0/16"), Other: true}, {To: p("10.134.0.2/32")}}},
		"itself is no peer": {own: []netip.Prefix{p("10.134.0.9/16")}, by: []netip.Addr{a("10.134.0.9"), a("10.135.0.1")}, want: []Route{{To: p("10.134.0.0/16"), Other: true}}},
		"with what is behind": {own: []netip.Prefix{p("10.134.0.9/16")}, through: []netip.Prefix{p("10.134.0.0/16"), p("129.88.70.0/26")},
			want: []Route{{To: p("10.134.0.0/16"), Other: true}, {To: p("129.88.70.0/26"), Other: true}}},
		"of no family here": {own: []netip.Prefix{p("fd00:7::9/112")}, through: []netip.Prefix{p("129.88.70.0/26")}, want: []Route{{To: p("fd00:7::/112"), Other: true}}},
		"a hub of two networks names the address": {own: []netip.Prefix{p("10.134.0.1/16"), p("10.135.0.1/16")}, by: []netip.Addr{a("10.135.0.2")},
			want: []Route{{To: p("10.134.0.0/16"), From: a("10.134.0.1"), Other: true}, {To: p("10.135.0.0/16"), From: a("10.135.0.1"), Other: true}, {To: p("10.135.0.2/32"), From: a("10.135.0.1")}}},
	} {
		if got := Routes(c.own, c.through, c.by); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, not %v", name, got, c.want)
		}
	}
}
