package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/lan"
	"github.com/fernwerk/fernwerk/internal/server"
)

// Only a host tells its LAN addresses, by its certificate, and only its own; whatever is
// not written as an agent writes it is refused.
func TestTellLAN(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir()})
	c := r.client(t, "admin", password)
	call(t, c, "nodeType_insertObject", theType())
	token, _ := makeToken(t, c, map[string]any{"nodeType": "vnode"})
	m := newMachine(t, "box")
	if status, answer := m.join(t, r, token); status != 200 {
		t.Fatal(status, answer)
	}
	call(t, c, "presence_up", m.HostID, "vpns", "1", 1790000000, "", "127.0.0.1")
	told := func() string {
		t.Helper()
		fact := call(t, c, "presence_getObjects", []any{m.HostID}).([]any)[0].(map[string]any)
		return fmt.Sprint(fact["lan"], fact["lanProblems"])
	}
	good := map[string]any{"lan": []string{"192.168.1.2/24"}}
	for who, status := range map[string]int{
		"nobody":        first(r.post(t, lan.Path, good, nil, nil, "", "")),
		"an admin":      first(r.post(t, lan.Path, good, nil, nil, "admin", password)),
		"by a host key": first(r.post(t, lan.Path, good, nil, nil, m.HostID, m.HostKey)),
	} {
		if status != 401 && status != 403 {
			t.Errorf("%s: %d", who, status)
		}
	}
	if got := told(); got != "[] []" {
		t.Errorf("told: %s", got)
	}
	if status, answer := r.post(t, lan.Path, good, nil, m.cert(t), "", ""); status != 200 || strings.TrimSpace(answer) != "{}" {
		t.Errorf("%d %s", status, answer)
	}
	if got := told(); got != "[192.168.1.2/24] []" {
		t.Errorf("told: %s", got)
	}
	for body, want := range map[string]int{
		`{"lan":["192.168.1.3/0"]}`: 400, `{"lan":["203.0.113.1/24"]}`: 400, `{"lan":["192.168.1.3/24"],"hostId":"other.example.org"}`: 400, `{"lan":["192.168.1.3/24"]}{}`: 400,
		`{"lan":["192.168.1.3/24", "192.168.1.4/24"]}`: 400, ``: 400, `{"lan":["` + strings.Repeat("1", 2*lan.MaxReport) + `"]}`: 400,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL()+lan.Path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if status, answer := r.do(t, req, nil, m.cert(t)); status != want {
			t.Errorf("%.60s: %d %s", body, status, answer)
		}
	}
	if got := told(); got != "[192.168.1.2/24] []" {
		t.Errorf("told: %s", got)
	}
	call(t, c, "host_delete", m.HostID)
	if status, answer := r.post(t, lan.Path, good, nil, m.cert(t), "", ""); status != 403 {
		t.Errorf("a deleted host's certificate: %d %s", status, answer)
	}
}

func first(status int, _ string) int { return status }
