package term

import (
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// How often a [Progress] shows itself.
const (
	redrawEvery = 100 * time.Millisecond // on a terminal
	lineEvery   = 5 * time.Second        // elsewhere
)

// rateMemory is the time constant of the shown rate: long enough to be read,
// short enough to follow a line that changes.
const rateMemory = 3 * time.Second

// Mode is how a [Progress] shows itself.
type Mode int

const (
	Silent Mode = iota // for --json and --quiet
	Lines              // a line now and then, for logs
	Bar                // one line, redrawn
)

// ModeFor chooses by what w is.
func ModeFor(w io.Writer) Mode {
	if IsTerminal(w) {
		return Bar
	}
	return Lines
}

// Progress shows how far a transfer has come: label, bytes done and total,
// rate, time left. It has no goroutine: it draws when it is told of a change
// and enough time has passed. Its methods may be called concurrently.
type Progress struct {
	mu    sync.Mutex
	w     io.Writer
	mode  Mode
	label string

	done, total int64
	began       time.Time
	first       int64 // done when it began: what was there already is no rate

	shown    time.Time // last drawing
	shownLen int       // columns of the bar on the screen

	rate     float64 // bytes a second, smoothed
	rateAt   time.Time
	rateDone int64
}

// NewProgress starts a display that has done of total bytes behind it; total 0
// means that nobody knows yet.
func NewProgress(w io.Writer, mode Mode, label string, done, total int64) *Progress {
	now := time.Now()
	return &Progress{
		w: w, mode: mode, label: Clean(label), done: done, total: total, began: now, first: done,
		shown: now.Add(-redrawEvery), rateAt: now, rateDone: done,
	}
}

// Add counts n more bytes.
func (p *Progress) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	p.draw()
}

// Set says how many bytes are done and how many there are.
func (p *Progress) Set(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.total = done, total
	p.draw()
}

// Println writes a line of text above the bar.
func (p *Progress) Println(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == Silent {
		return
	}
	p.wipe()
	fmt.Fprintln(p.w, Clean(text))
}

// Close writes the summary in place of the bar.
func (p *Progress) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == Silent {
		return
	}
	p.wipe()
	took := time.Since(p.began)
	line := fmt.Sprintf("%s: %s in %s", p.label, p.amount(), Duration(took))
	if took > 0 && p.done > p.first {
		line += fmt.Sprintf(", %s/s", Bytes(int64(float64(p.done-p.first)/took.Seconds())))
	}
	fmt.Fprintln(p.w, line)
	p.mode = Silent
}

// draw shows the present state if it is time to.
func (p *Progress) draw() {
	if p.mode == Silent {
		return
	}
	now := time.Now()
	p.measure(now)
	if p.mode == Lines {
		if now.Sub(p.shown) < lineEvery || now.Sub(p.began) < lineEvery {
			return
		}
		p.shown = now
		fmt.Fprintln(p.w, p.line())
		return
	}
	if now.Sub(p.shown) < redrawEvery {
		return
	}
	p.shown = now
	line := p.line()
	if room := width(p.w) - 1; utf8.RuneCountInString(line) > room {
		line = string([]rune(line)[:room])
	}
	columns := utf8.RuneCountInString(line)
	fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", max(0, p.shownLen-columns)))
	p.shownLen = columns
}

// wipe takes the bar off the screen.
func (p *Progress) wipe() {
	if p.shownLen > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.shownLen))
		p.shownLen = 0
	}
}

// measure updates the rate, an average that forgets with rateMemory.
func (p *Progress) measure(now time.Time) {
	span := now.Sub(p.rateAt)
	if span < redrawEvery {
		return
	}
	newest := float64(p.done-p.rateDone) / span.Seconds()
	weight := 1 - math.Exp(-span.Seconds()/rateMemory.Seconds())
	if age := now.Sub(p.began); age < rateMemory {
		// A plain mean at first, else it would start from 0.
		weight = max(weight, span.Seconds()/age.Seconds())
	}
	p.rate += weight * (newest - p.rate)
	p.rateAt, p.rateDone = now, p.done
}

// line is the state in words.
func (p *Progress) line() string {
	line := p.label + ": " + p.amount()
	if p.total > 0 {
		const cells = 20
		share := min(max(float64(p.done)/float64(p.total), 0), 1)
		if p.mode == Bar {
			full := int(share * cells)
			line = fmt.Sprintf("%s [%s%s] %s", p.label, strings.Repeat("#", full), strings.Repeat("-", cells-full), p.amount())
		}
		line += fmt.Sprintf(", %d %%", int(share*100))
	}
	if p.rate < 1 {
		return line
	}
	line += fmt.Sprintf(", %s/s", Bytes(int64(p.rate)))
	if left := p.total - p.done; left > 0 {
		if seconds := float64(left) / p.rate; seconds < 1e6 {
			line += ", " + Duration(time.Duration(seconds*float64(time.Second))) + " left"
		}
	}
	return line
}

func (p *Progress) amount() string {
	if p.total <= 0 || p.done == p.total {
		return Bytes(p.done)
	}
	return Bytes(p.done) + " of " + Bytes(p.total)
}
