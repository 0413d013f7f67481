// Package timeline remembers what the agent did, for the person who looks at
// the info page: the last events, syncs, product actions, waits and errors.
//
// It is for people and is no log: one short line for each thing that happened.
// Lines are written in the transaction of what they tell about, so the page
// never shows what was rolled back. At least [Keep] lines stay; older ones are
// forgotten a batch at a time.
//
// The lines are numbered without gaps by a counter in a row of its own. That
// gives one order, also to lines of one transaction and when the clock was set
// back, and finds the newest and the oldest lines without reading the others.
package timeline

import (
	"fmt"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Category sorts the lines, by the names that opsi's timeline has.
type Category string

// The categories.
const (
	EventOccurrence    Category = "event_occurrence"
	EventProcessing    Category = "event_processing"
	ConfigSync         Category = "config_sync"
	ProductCaching     Category = "product_caching"
	RunActions         Category = "run_actions"
	Wait               Category = "wait"
	UserInteraction    Category = "user_interaction"
	BlockLogin         Category = "block_login"
	System             Category = "system"
	Error              Category = "error"
	OpsiclientdRunning Category = "opsiclientd_running" // from the agent's start to its end
)

// Entry is a line. ID and At are set by [Write].
type Entry struct {
	ID       string          `col:"id,ident"` // a number with leading zeros: sorts by age
	At       string          `col:"at,time"`
	Category Category        `col:"category,in=event_occurrence|event_processing|config_sync|product_caching|run_actions|wait|user_interaction|block_login|system|error|opsiclientd_running"`
	Text     string          `col:"text"`
	Change   string          `col:"change"`  // id of the change that it belongs to, or ""
	Product  fleet.ProductID `col:"product"` // the product that it is about, or ""
}

// span is the one row that knows which lines there are.
type span struct {
	Name  string `col:"name,ident"`
	First int64  `col:"first"` // number of the oldest line
	Next  int64  `col:"next"`  // number of the next line
}

var (
	entries = fleet.LocalClass[Entry]("timeline")
	spans   = fleet.LocalClass[span]("timelineSpan")
)

// Classes are the classes of the package, for [store.Open].
func Classes() []*fleet.Class { return []*fleet.Class{entries, spans} }

const (
	// Keep is how many of the newest lines stay at least.
	Keep = 5000
	// batch is how many more there may be before as many are forgotten.
	batch = 250
	// maxText bounds a line, in bytes: texts of other programs get in here.
	maxText = 2000
)

// Write adds a line at the transaction's time.
func Write(tx *store.Tx, e Entry) error {
	s, err := read(tx)
	if err != nil {
		return err
	}
	e.ID, e.At, e.Text = id(s.Next), tx.Stamp(), clip(e.Text)
	if err := tx.Put(entries, entries.Encode(e)); err != nil {
		return fmt.Errorf("cannot write to the timeline: %w", err)
	}
	s.Next++
	if s.Next-s.First > Keep+batch {
		for ; s.Next-s.First > Keep; s.First++ {
			if err := tx.RemoveKey(entries, id(s.First)); err != nil {
				return fmt.Errorf("cannot forget old lines of the timeline: %w", err)
			}
		}
	}
	if err := tx.Put(spans, spans.Encode(s)); err != nil {
		return fmt.Errorf("cannot write to the timeline: %w", err)
	}
	return nil
}

// Read returns the newest lines, newest first: limit of them, or at most
// [Keep] if limit is 0 or less.
func Read(tx *store.Tx, limit int) ([]Entry, error) {
	if limit <= 0 || limit > Keep {
		limit = Keep
	}
	s, err := read(tx)
	if err != nil {
		return nil, err
	}
	var list []Entry
	for n := s.Next - 1; n >= s.First && len(list) < limit; n-- {
		r, err := tx.ByKey(entries, id(n))
		if err != nil {
			return nil, fmt.Errorf("cannot read the timeline: %w", err)
		}
		if r == nil {
			continue
		}
		var e Entry
		entries.Decode(r, &e)
		list = append(list, e)
	}
	return list, nil
}

// read finds the span; an empty timeline has none yet.
func read(tx *store.Tx) (span, error) {
	s := span{Name: "all"}
	r, err := tx.ByKey(spans, s.Name)
	if err != nil {
		return s, fmt.Errorf("cannot read the timeline: %w", err)
	}
	if r != nil {
		spans.Decode(r, &s)
	}
	return s, nil
}

func id(n int64) string { return fmt.Sprintf("%016d", n) }

// clip cuts a text to its bound, at a character's edge.
func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + " ..."
}
