package nodefile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// A host that tells something else each time, or asks for contents without end, is
// told to wait; others are not, and its questions are answered all the same.
func TestPace_OneHostIsHeldBack(t *testing.T) {
	both(t, func(x *site) {
		f := x.give("/etc/a", "a")
		tell := func(host string, n int) error {
			_, err := x.f.Ask(x.Context(), host, nodefile.Request{Report: &nodefile.Report{Files: []nodefile.Status{
				{Path: "/etc/a", SHA256: f.SHA256, State: nodefile.Failed, Problem: fmt.Sprint("problem ", n), Since: time.Unix(int64(n), 0)}}}})
			return err
		}
		var last error
		began := time.Now()
		for n := range 4 * tellBurst {
			last = tell(pc, n)
		}
		if fleet.CodeOf(last) != fleet.Unavailable || fleet.HintOf(last) == "" {
			x.Errorf("a host tells without end: %v", last)
		}
		if n := strings.Count(fmt.Sprint(x.call("journal_getEntries", pc)), "problem "); n > tellBurst+1+int(time.Since(began)/tellEvery) {
			x.Errorf("%d notes in the host's history", n)
		}
		if a := x.ask(pc, nodefile.Request{}); a.NodeType != "vnode" {
			x.Errorf("it is not answered any more: %+v", a)
		}
		if err := tell("pc2.grid.test", 1); err != nil {
			x.Errorf("another host: %v", err)
		}
		var held error
		for range 2 * blobBurst {
			if _, held = x.f.Blob(x.Context(), pc, f.SHA256); held != nil {
				break
			}
		}
		if fleet.CodeOf(held) != fleet.Unavailable {
			x.Errorf("a host asks for contents without end: %v", held)
		}
	})
}

// A host's history is a summary: the report has the rest.
func TestReport_ANoteIsShort(t *testing.T) {
	both(t, func(x *site) {
		all := []nodefile.Status{}
		for n := range 4 * nodefile.MaxFiles {
			all = append(all, nodefile.Status{Path: fmt.Sprintf("/etc/%04d%s", n, strings.Repeat("x", 150)), SHA256: nodefile.Sum(nil), State: nodefile.Failed, Problem: strings.Repeat("p", 400)})
		}
		x.ask(pc, nodefile.Request{Report: &nodefile.Report{Files: all}})
		if text := fmt.Sprint(x.call("journal_getEntries", pc)); len(text) > 32<<10 || !strings.Contains(text, fmt.Sprintf("and %d more", len(all)-mostNoted)) {
			x.Errorf("the history has %d bytes", len(text))
		}
	})
}
