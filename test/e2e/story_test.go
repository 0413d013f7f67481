package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// make lab shows stories; other runs keep them in the log of their test.
var (
	storyShown = flag.Bool("story", false, "show the steps of newcomers as they end")
	storyJSON  = flag.Bool("json", false, "print the steps and figures of newcomers as JSON when all is over; the rest goes to standard error")
)

var stories struct {
	sync.Mutex
	all []*story
}

// story is what an administrator reads of a test: its steps, with the seconds of each,
// and what was measured.
type story struct {
	Test    string    `json:"test"`
	Title   string    `json:"title"`
	Steps   []chapter `json:"steps"`
	Figures []figure  `json:"figures"`

	tb          testing.TB
	began, last time.Time
}

type chapter struct {
	Seconds float64 `json:"seconds"`
	What    string  `json:"what"`
}

// figure is also an attribute of the test, for test/bench.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

func tell(t testing.TB, title string) *story {
	now := time.Now()
	s := &story{Test: t.Name(), Title: title, Steps: []chapter{}, Figures: []figure{}, tb: t, began: now, last: now}
	stories.Lock()
	stories.all = append(stories.all, s)
	stories.Unlock()
	s.say("\n%s\n\n  seconds   since  what", title)
	t.Cleanup(func() {
		if t.Failed() {
			s.say("  FAILED after %.1f s", time.Since(s.began).Seconds())
		}
		s.say("")
	})
	return s
}

// say shows a line, or lines, at once.
func (s *story) say(format string, args ...any) {
	s.tb.Helper()
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	if *storyShown {
		fmt.Fprintln(os.Stdout, text) // os.Stderr with -json, see TestMain
	} else if strings.TrimSpace(text) != "" {
		s.tb.Log(text)
	}
}

// step ends a step: it took the time since the last one.
func (s *story) step(format string, args ...any) {
	s.tb.Helper()
	now := time.Now()
	one := chapter{math.Round(now.Sub(s.last).Seconds()*1000) / 1000, fmt.Sprintf(format, args...)}
	s.last = now
	s.Steps = append(s.Steps, one)
	s.say("%9.1f %7.1f  %s", one.Seconds, now.Sub(s.began).Seconds(), one.What)
}

// figure keeps what was measured. Its name is one word.
func (s *story) figure(name string, value float64, unit string) {
	value = math.Round(value*1000) / 1000
	s.Figures = append(s.Figures, figure{name, value, unit})
	s.tb.Attr(name, fmt.Sprintf("%g %s", value, unit))
}

// table shows rows between two steps.
func (s *story) table(header []string, rows ...[]string) {
	s.tb.Helper()
	var text strings.Builder
	must(s.tb, term.Table(&text, header, rows))
	s.say("\n%s\n ", "    "+strings.ReplaceAll(strings.TrimSpace(text.String()), "\n", "\n    "))
}

// writeStories writes all of them as one document.
func writeStories(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"stories": stories.all})
}
