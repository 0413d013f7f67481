// Package infopage shows what the agent does, for a person with a browser: what is
// under way, the last changes with all their steps on a line of time, and the
// timeline. Seed A calls it the infopage of opsiclientd.
//
// It is one HTML document without scripts, forms and anything from elsewhere; its
// policy for browsers forbids all that. Everything that comes from outside, names of
// products and texts of scripts, is escaped by html/template. It only reads, and what
// it shows is bounded: [maxSteps] steps a change, [maxLines] lines, [maxText] characters
// a text.
//
// It stands above the control interface, whose answers it shows and whose login it is
// behind.
package infopage

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // for the page
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// Agent is what is asked.
type Agent interface {
	Status(ctx context.Context) (control.Status, error)
	Change(ctx context.Context, id string) (control.ChangeDetail, error)
	Timeline(ctx context.Context, limit int) ([]control.Line, error)
}

// Bounds of the page.
const (
	maxSteps = 200
	maxLines = 200
	maxText  = 600
)

//go:embed page.html
var pageText string

//go:embed page.css
var style string

var page = template.Must(template.New("page").Funcs(template.FuncMap{"style": func() template.CSS { return template.CSS(style) }}).Parse(pageText))

// policy lets a browser use the page's own style, and nothing else.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// Handler serves the page.
func Handler(a Agent, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this page is only looked at", http.StatusMethodNotAllowed)
			return
		}
		v, err := look(r.Context(), a, now())
		var b bytes.Buffer
		if err == nil {
			err = page.Execute(&b, v)
		}
		if err != nil {
			http.Error(w, "cannot show the page: "+err.Error(), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Length", strconv.Itoa(b.Len()))
		w.Write(b.Bytes())
	})
}

// view is what the page shows.
type view struct {
	control.Status
	At       string
	Set      []string // flags that hold
	Products []product
	Shown    []change
	Lines    []control.Line
}

type product struct {
	control.ProductStatus
	Percent  int64
	Done, Of string
}

type change struct {
	control.ChangeStatus
	Took  string
	Steps []step
	More  int // steps that are not shown
}

type step struct {
	Kind, About, Status, Text string
	Attempts                  int64
	Began, Took               string
	Drawn                     bool
	X, Width                  int // of its bar, of 1000
}

func look(ctx context.Context, a Agent, now time.Time) (view, error) {
	now = now.UTC()
	st, err := a.Status(ctx)
	if err != nil {
		return view{}, err
	}
	v := view{Status: st, At: now.Format(time.DateTime)}
	for _, name := range slices.Sorted(maps.Keys(st.Flags)) {
		if st.Flags[name] {
			v.Set = append(v.Set, name)
		}
	}
	for _, p := range st.Cache.Products[:min(len(st.Cache.Products), maxLines)] {
		for _, text := range []*string{&p.ProductID, &p.ProductVersion, &p.PackageVersion, &p.From} {
			*text = clip(*text)
		}
		shown := product{ProductStatus: p, Done: term.Bytes(p.BytesDone), Of: term.Bytes(p.BytesTotal)}
		if p.BytesTotal > 0 {
			shown.Percent = min(100, max(0, p.BytesDone*100/p.BytesTotal))
		}
		v.Products = append(v.Products, shown)
	}
	for _, c := range st.Changes {
		d, err := a.Change(ctx, c.ID)
		if err != nil {
			continue // it has just been forgotten
		}
		v.Shown = append(v.Shown, draw(d, now))
	}
	if v.Lines, err = a.Timeline(ctx, maxLines); err != nil {
		return v, err
	}
	v.Lines = v.Lines[:min(len(v.Lines), maxLines)]
	for i := range v.Lines {
		for _, text := range []*string{&v.Lines[i].At, &v.Lines[i].Category, &v.Lines[i].ProductID, &v.Lines[i].Text} {
			*text = clip(*text)
		}
	}
	return v, nil
}

// draw puts a change's steps on a line of time, from its beginning to its end or to now.
func draw(d control.ChangeDetail, now time.Time) change {
	c := change{ChangeStatus: d.ChangeStatus, More: max(0, len(d.Tasks)-maxSteps)}
	c.Event, c.Status, c.Text = clip(c.Event), clip(c.Status), clip(c.Text)
	begin, end := at(d.Created, now), at(d.End, now)
	c.Took = took(end.Sub(begin))
	for _, t := range d.Tasks[:min(len(d.Tasks), maxSteps)] {
		s := step{Kind: clip(t.Kind), About: clip(about(t.Args)), Status: clip(t.Status), Text: clip(t.Text), Attempts: t.Attempts}
		if t.Started != "" {
			from, to := at(t.Started, now), at(t.Ended, now)
			s.Began, s.Took, s.Drawn = from.Format(time.TimeOnly), took(to.Sub(from)), true
			s.X, s.Width = place(begin, end, from, to)
		}
		c.Steps = append(c.Steps, s)
	}
	return c
}

// least is the width of what took no time.
const least = 8

func place(begin, end, from, to time.Time) (x, width int) {
	whole := max(end.Sub(begin), time.Second)
	part := func(d time.Duration) int {
		return int(min(max(int64(d)/(int64(whole)/1000), 0), 1000))
	}
	x = min(part(from.Sub(begin)), 1000-least)
	return x, max(min(part(to.Sub(begin)), 1000)-x, least)
}

// about is what a step's arguments say to people.
func about(args string) string {
	var a struct{ ProductID, ProductVersion, PackageVersion, Action string }
	if json.Unmarshal([]byte(args), &a) == nil && a.ProductID != "" {
		return fmt.Sprintf("%s of %s %s-%s", a.Action, a.ProductID, a.ProductVersion, a.PackageVersion)
	}
	return ""
}

func at(text string, otherwise time.Time) time.Time {
	if t, err := time.Parse(time.DateTime, text); err == nil {
		return t
	}
	return otherwise
}

func took(d time.Duration) string {
	if d < time.Second {
		return "under 1s"
	}
	return d.Round(time.Second).String()
}

func clip(text string) string {
	text = strings.ToValidUTF8(text, "�")
	if long := []rune(text); len(long) > maxText {
		return string(long[:maxText]) + " ..."
	}
	return text
}
