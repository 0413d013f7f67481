package infopage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/fernwerk/fernwerk/internal/agent/control"
)

// agent tells what a test wants; every text of it is evil.
type agent struct {
	evil         string
	tasks, lines int
	err          error
}

func (a agent) Status(context.Context) (control.Status, error) {
	st := control.Status{Version: a.evil, HostID: a.evil, Server: a.evil, Running: "1", Event: a.evil, Task: a.evil, Flags: map[string]bool{a.evil: true},
		Reboot: &control.RebootStatus{Text: a.evil, Due: "2026-01-01 00:00:00", Trouble: a.evil}}
	st.Changes = []control.ChangeStatus{{ID: "1"}, {ID: "gone"}}
	st.Cache.Pulled = a.evil
	st.Cache.Products = []control.ProductStatus{{ProductID: a.evil, ProductVersion: a.evil, PackageVersion: a.evil, From: a.evil, BytesDone: 1 << 40, BytesTotal: -1}, {BytesDone: 50, BytesTotal: 100}}
	return st, a.err
}

func (a agent) Change(_ context.Context, id string) (d control.ChangeDetail, err error) {
	if id == "gone" {
		return d, errors.New("forgotten")
	}
	d.ChangeStatus = control.ChangeStatus{ID: id, Event: a.evil, Status: a.evil, Text: a.evil, Created: "2026-01-01 00:00:00"}
	for range a.tasks {
		d.Tasks = append(d.Tasks, control.TaskStatus{Kind: a.evil, Args: `{"productId":"` + strings.ReplaceAll(a.evil, `"`, "'") + `","action":"setup"}`, Status: a.evil, Text: a.evil, Attempts: 3, Started: "2026-01-01 00:00:02", Ended: a.evil})
	}
	return d, nil
}

func (a agent) Timeline(context.Context, int) (list []control.Line, err error) {
	for range a.lines {
		list = append(list, control.Line{At: a.evil, Category: a.evil, Text: a.evil, ProductID: a.evil})
	}
	return list, nil
}

func ask(t *testing.T, a Agent, method string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(a, func() time.Time { return time.Date(2026, 1, 1, 0, 0, 10, 0, time.UTC) }).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/info", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

// elements lists what a browser makes of the page: names of elements and of their
// attributes; and all text that it shows.
func elements(t *testing.T, body string) (names map[string]bool, shown string) {
	t.Helper()
	names = map[string]bool{}
	var text strings.Builder
	tokens := html.NewTokenizer(strings.NewReader(body))
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			if err := tokens.Err(); err != io.EOF {
				t.Fatal(err)
			}
			return names, text.String()
		case html.TextToken:
			text.WriteString(tokens.Token().Data)
		case html.StartTagToken, html.SelfClosingTagToken:
			token := tokens.Token()
			names[token.Data] = true
			for _, attr := range token.Attr {
				names[token.Data+"."+attr.Key] = true
			}
		}
	}
}

var allowed = map[string]bool{"html": true, "html.lang": true, "head": true, "meta": true, "meta.charset": true, "meta.name": true, "meta.content": true, "meta.http-equiv": true,
	"title": true, "style": true, "body": true, "h1": true, "h2": true, "h3": true, "p": true, "p.class": true, "dl": true, "dt": true, "dd": true, "section": true, "b": true, "b.class": true,
	"table": true, "tr": true, "td": true, "th": true, "th.class": true, "br": true, "span": true, "span.class": true,
	"svg": true, "svg.viewbox": true, "svg.preserveaspectratio": true, "rect": true, "rect.class": true, "rect.x": true, "rect.y": true, "rect.width": true, "rect.height": true}

// Whatever a script or a server says is text on the page, and nothing else.
func TestPage_EscapesAll(t *testing.T) {
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onload='x`, `</title></style></table><iframe src="//evil.example.org">`,
		`javascript:alert(1)`, "\x00\xff\u202e{{.}}", `<!--`, `]]>`, `url(https://evil.example.org/)`, `</style><style>*{background:url(//evil)}`,
	} {
		resp, body := ask(t, agent{evil: evil, tasks: 2, lines: 2}, http.MethodGet)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%q: %s: %s", evil, resp.Status, body)
		}
		names, shown := elements(t, body)
		for name := range names {
			if !allowed[name] {
				t.Errorf("%q: there is a %s", evil, name)
			}
		}
		if want := strings.ReplaceAll(strings.ToValidUTF8(evil, "�"), "\x00", "�"); !strings.Contains(shown, want) {
			t.Errorf("%q is not shown", evil)
		}
	}
}

func FuzzPage(f *testing.F) {
	f.Add("<script>")
	f.Add("\"'`>&;{}")
	f.Fuzz(func(t *testing.T, evil string) {
		_, body := ask(t, agent{evil: evil, tasks: 1, lines: 1}, http.MethodGet)
		names, _ := elements(t, body)
		for name := range names {
			if !allowed[name] {
				t.Errorf("there is a %s", name)
			}
		}
	})
}

func TestPage_Bounds(t *testing.T) {
	_, body := ask(t, agent{evil: strings.Repeat("<long>", 2_000), tasks: 2_000, lines: 2_000}, http.MethodGet)
	if len(body) > 16<<20 {
		t.Errorf("%d bytes", len(body))
	}
	if !strings.Contains(body, fmt.Sprintf("and %d steps more", 2_000-maxSteps)) {
		t.Error("it is not said that steps are left out")
	}
}

func TestPage_Answers(t *testing.T) {
	resp, body := ask(t, agent{evil: "x", tasks: 1}, http.MethodGet)
	policy := resp.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || !strings.Contains(policy, "frame-ancestors 'none'") || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", resp.Header)
	}
	if !strings.Contains(body, "<style>"+style+"</style>") {
		t.Error("the style is not the one that the policy names")
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		if resp, _ := ask(t, agent{}, method); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s", method, resp.Status)
		}
	}
	if resp, _ := ask(t, agent{err: errors.New("no database")}, http.MethodGet); resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("without an answer: %s", resp.Status)
	}
}

func TestPlace(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return begin.Add(time.Duration(s * float64(time.Second))) }
	for _, c := range []struct {
		end, from, to float64
		x, width      int
	}{
		{10, 0, 10, 0, 1000}, {10, 5, 10, 500, 500}, {10, 0, 0, 0, least}, {10, 10, 10, 1000 - least, least}, {0, 0, 0, 0, least},
		{10, -5, 20, 0, 1000}, {10, 50, 20, 1000 - least, least}, {10, 8, 2, 800, least}, // clocks that were set
	} {
		if x, width := place(begin, at(c.end), at(c.from), at(c.to)); x != c.x || width != c.width {
			t.Errorf("%+v: %d, %d", c, x, width)
		}
	}
	var b bytes.Buffer
	fmt.Fprint(&b, about("1000 webdav"), about(`{"productId":"tool","productVersion":"1","packageVersion":"2","action":"setup"}`))
	if b.String() != "setup of tool 1-2" {
		t.Error(b.String())
	}
}
