package lab_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/test/lab"
	"github.com/fernwerk/fernwerk/test/require"
)

// The agent shows how an installation from the cache was processed, with all its steps,
// to a browser.
func TestInfoPage(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Package("driver", "1", lab.Files(map[string]string{"data": lab.Noise("driver", 300_000)}), lab.Setup("exit 0"))
	l.Package("tool", "2", lab.Setup("echo '<b>no & room</b>' >&2; exit 3"))
	pc := l.Host("pc1")
	pc.Request("driver", "setup")
	pc.Request("tool", "setup")
	pc.Fire("timer").OK(t)
	l.Server.Stop()
	change := pc.Boot()
	l.Server.Start()
	pc.Fire("timer")

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // the pin is TestControlInterface's matter
	t.Cleanup(client.CloseIdleConnections)
	ask := func(t *testing.T, method, path, key string, headers ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "https://"+pc.Addr()+path, strings.NewReader(`{"id": 1, "method": "fireEvent", "params": ["on_demand"]}`))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("x", key)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	var page string
	l.Run("a_page_with_all_steps", func(t *testing.T) {
		status, body := ask(t, http.MethodGet, "/info", pc.Key())
		if status != http.StatusOK {
			t.Fatalf("%d: %s", status, body)
		}
		page = body
		equal(t, "the steps of the installation", sectionOf(t, page, "opsiclientd_start{cache_ready}"), []string{"process_actions done", "action setup of driver 1-1 done", "action setup of tool 2-1 failed",
			"actions_done done", "sync_config_to_server done", "send_log done", "repeat done"})
		if len(change.Tasks) != 7 {
			t.Errorf("there are %d steps", len(change.Tasks))
		}
		contains(t, page, "setup of driver 1-1: successful")
		contains(t, page, "sync_completed{cache_ready}")
	})
	l.Run("nothing_from_elsewhere", func(t *testing.T) {
		if found := regexp.MustCompile(`(?i)(src|href)\s*=|<script|@import|url\(|//[a-z]`).FindString(strings.ReplaceAll(page, l.Server.URL(), "")); found != "" {
			t.Errorf("the page holds %q", found)
		}
		if len(page) > 1<<20 {
			t.Errorf("%d bytes", len(page))
		}
	})
	l.Run("only_with_the_host_key", func(t *testing.T) {
		if status, body := ask(t, http.MethodGet, "/info", "guessed"); status != http.StatusUnauthorized || strings.Contains(body, "driver") {
			t.Errorf("%d: %s", status, body)
		}
	})
	l.Run("it_is_only_looked_at", func(t *testing.T) {
		if status, _ := ask(t, http.MethodPost, "/info", pc.Key()); status != http.StatusMethodNotAllowed {
			t.Errorf("status %d", status)
		}
	})
	l.Run("no_page_of_somebody_else_uses_the_key_that_a_browser_keeps", func(t *testing.T) {
		before := len(pc.Events())
		for _, headers := range [][]string{{"Origin", "https://evil.example.org"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
			for _, path := range []string{"/opsiclientd", "/rpc", "/info"} {
				if status, body := ask(t, http.MethodPost, path, pc.Key(), headers...); status != http.StatusForbidden {
					t.Errorf("%s, %v: %d %s", path, headers, status, body)
				}
			}
		}
		if status, _ := ask(t, http.MethodGet, "/info", pc.Key(), "Sec-Fetch-Site", "none"); status != http.StatusOK {
			t.Errorf("typed into a browser: %d", status)
		}
		equal(t, "events", len(pc.Events()), before)
	})
	l.Run("in_a_browser", func(t *testing.T) {
		browser := require.Tool(t, "chromium")
		picture := filepath.Join(t.TempDir(), "page.png")
		show := func(args ...string) (out, said string) {
			t.Helper()
			cmd := exec.CommandContext(t.Context(), browser, append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--enable-logging=stderr",
				"--user-data-dir=" + t.TempDir(), "--window-size=1100,1600"}, args...)...)
			var a, b bytes.Buffer
			cmd.Stdout, cmd.Stderr = &a, &b
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, b.String())
			}
			return a.String(), b.String()
		}
		address := fmt.Sprintf("https://x:%s@%s/", pc.Key(), pc.Addr()) // it leads to the page
		dom, said := show("--dump-dom", address)
		equal(t, "the steps as the browser has them", len(sectionOf(t, dom, "opsiclientd_start{cache_ready}")), 7)
		for _, line := range strings.Split(said, "\n") {
			if strings.Contains(line, "CONSOLE") || strings.Contains(line, "Content Security Policy") {
				t.Errorf("the browser says: %s", line)
			}
		}
		show("--screenshot="+picture, address)
		if keep := keepPicture; keep != "" {
			must(t, exec.CommandContext(t.Context(), "cp", picture, keep).Run())
		}
	})
	pc.Await("rest", func(st control.Status) bool { return st.Running == "" })
}

// keepPicture is where whoever changes the page has its picture put.
var keepPicture = os.Getenv("FERNWERK_TEST_PICTURE")

// sectionOf lists the steps of an event's newest change on the page, each with what it
// is about and its state.
func sectionOf(t *testing.T, page, event string) (steps []string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var text func(n *html.Node) string
	text = func(n *html.Node) string {
		if n.Type == html.TextNode {
			return n.Data + " "
		}
		s := ""
		for c := range n.ChildNodes() {
			s += text(c)
		}
		return s
	}
	for n := range root.Descendants() {
		if n.Data != "section" || steps != nil || !strings.HasPrefix(strings.TrimSpace(text(n)), event+" ") {
			continue
		}
		for row := range n.Descendants() {
			if row.Data != "tr" {
				continue
			}
			var cells []string
			for cell := range row.ChildNodes() {
				if cell.Data == "td" {
					cells = append(cells, strings.Join(strings.Fields(text(cell)), " "))
				}
			}
			if len(cells) == 5 {
				steps = append(steps, cells[0]+" "+cells[3])
			}
		}
	}
	return steps
}
