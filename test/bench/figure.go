package main

import (
	"fmt"
	"math"
	"strconv"

	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// figure is one row of the results.
type figure struct {
	Suite    string  `json:"suite"`
	Name     string  `json:"name"`
	Unit     string  `json:"unit"`
	Ours     float64 `json:"ours"`
	PeerName string  `json:"peer_name"`
	Peer     float64 `json:"peer"`
	Ratio    float64 `json:"ratio"`
	Target   float64 `json:"target"`
	Met      bool    `json:"met"`
}

// less adds a figure of which less is better, more one of which more is.
func (b *bench) less(suite, name, unit string, ours float64, peerName string, peer, target float64) {
	b.add(figure{suite, name, unit, ours, peerName, peer, peer / ours, target, false})
}

func (b *bench) more(suite, name, unit string, ours float64, peerName string, peer, target float64) {
	b.add(figure{suite, name, unit, ours, peerName, peer, ours / peer, target, false})
}

func (b *bench) add(f figure) {
	for _, v := range []*float64{&f.Ours, &f.Peer, &f.Ratio} {
		*v = math.Round(*v*1000) / 1000
	}
	f.Met = f.Ratio >= f.Target
	b.figures = append(b.figures, f)
}

// without notes a peer that is missing here.
func (b *bench) without(peer string, why error) {
	text := fmt.Sprintf("LEFT OUT: %s: %v", peer, why)
	b.leftOut = append(b.leftOut, text)
	b.say("%s", text)
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }

// table prints all figures.
func (b *bench) table() {
	rows := make([][]string, len(b.figures))
	for i, f := range b.figures {
		target, met := "", ""
		if f.Target > 0 {
			target, met = number(f.Target), "met"
			if !f.Met {
				met = "MISSED"
			}
		}
		rows[i] = []string{f.Suite, f.Name, f.Unit, number(f.Ours), f.PeerName, number(f.Peer), number(f.Ratio), target, met}
	}
	fmt.Fprintln(b.out)
	term.Table(b.out, []string{"suite", "what", "unit", "ours", "peer", "peer's", "times better", "target", ""}, rows)
	for _, text := range b.leftOut {
		fmt.Fprintln(b.out, text)
	}
}

func number(v float64) string {
	if v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}
