//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// lie is a rule of the mirror; see its program.
type lie struct {
	Path   string            `json:"path"`
	Do     string            `json:"do"`
	Times  int               `json:"times,omitempty"`
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   []byte            `json:"body,omitempty"`
	Old    string            `json:"old,omitempty"`
	New    string            `json:"new,omitempty"`
	Size   int               `json:"size,omitempty"`
}

// victim is an agent that joined through the mirror.
type victim struct {
	*site.Agent
	o  *siege
	id string
}

const timestamp = `^/v1/trust/timestamp\.json$`

// serves is a lie that gives fixed bytes.
func serves(path string, body []byte) lie { return lie{Path: path, Do: "serve", Body: body} }

// named is the path of a signed document.
func named(role string, version int64) string {
	return "^/v1/trust/" + strings.ReplaceAll(trust.FileName(role, version), ".", `\.`) + "$"
}

// joined is a victim that was not started; it demands a policy.
func (o *siege) joined(t *testing.T, policy string) *victim {
	t.Helper()
	return o.machine(t, policy, func(string) {})
}

// machine is one whose data folder is prepared before it joins.
func (o *siege) machine(t *testing.T, policy string, prepare func(data string)) *victim {
	t.Helper()
	o.mu.Lock()
	o.victims++
	id := fmt.Sprintf("v%d.attack.test", o.victims)
	o.mu.Unlock()
	password, err := o.AddHost(t.Context(), id)
	must(t, err)
	fingerprint, err := o.Fingerprint()
	must(t, err)
	data := filepath.Join(o.dir, "hosts", id)
	must(t, os.MkdirAll(data, 0o700))
	must(t, os.MkdirAll(data+".root/etc", 0o755))
	prepare(data)
	must(t, os.WriteFile(filepath.Join(data, "agent.conf"), []byte("[updates]\ninterval = 1\nspread = 0\n[config_service]\ncontact_interval = 5\n[files]\nroot = "+data+".root\n"), 0o600))
	v := &victim{o: o, id: id, Agent: &site.Agent{Programs: o.Programs, Data: data, Log: filepath.Join(o.dir, id+".log"), BootID: "first"}}
	_, errOut, code, err := o.Programs.Run(t.Context(), nil, "fernwerk-agent", "join", "--data", data, "--server", o.mirror, "--host-id", id,
		"--one-time-password", password, "--ca-fingerprint", fingerprint, "--trust-root", "1:"+o.root, "--policy", policy)
	if err != nil || code != 0 {
		t.Fatalf("join: %v, status %d: %s", err, code, errOut)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s\n%s", id, site.Tail(v.Log, 30))
		}
		v.Kill()
	})
	return v
}

// victim is one that has installed good, and run the update 001, in the first state
// of the signed content.
func (o *siege) victim(t *testing.T, policy string) *victim {
	t.Helper()
	v := o.joined(t, policy)
	v.lies(t, o.first.shown(t)...)
	must(t, v.Start(t.Context()))
	v.works(t)
	await(t, "the update 001 has run", func() (bool, error) { return v.ran("update001") == 1, nil })
	return v
}

// lies sets what the mirror does to this victim; nothing is an honest server.
func (v *victim) lies(t *testing.T, rules ...lie) {
	t.Helper()
	if rules == nil {
		rules = []lie{}
	}
	data, err := json.Marshal(rules)
	must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, v.o.mirror+"/-/rules/"+v.id, bytes.NewReader(data))
	must(t, err)
	resp, err := v.o.http.Do(req)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
}

// heard is how often each rule was met, and how much was sent by it.
func (v *victim) heard(t *testing.T) (out []struct{ Hits, Sent int64 }) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.o.mirror+"/-/rules/"+v.id, nil)
	must(t, err)
	resp, err := v.o.http.Do(req)
	must(t, err)
	defer resp.Body.Close()
	must(t, json.NewDecoder(resp.Body).Decode(&out))
	return out
}

// met fails if no lie was told: from silence nothing follows.
func (v *victim) met(t *testing.T) {
	t.Helper()
	for _, h := range v.heard(t) {
		if h.Hits > 0 {
			return
		}
	}
	t.Error("the agent never met the lie")
}

// requests asks for a product, and lets the agent get and run it.
func (v *victim) requests(t *testing.T, product string) control.ChangeStatus {
	t.Helper()
	_, err := v.o.Call(t.Context(), "setProductActionRequest", product, v.id, "setup")
	must(t, err)
	return v.syncs(t)
}

// syncs lets the agent synchronise, and run what is asked for.
func (v *victim) syncs(t *testing.T) (c control.ChangeStatus) {
	t.Helper()
	id, err := v.Fire(t.Context(), "on_demand")
	must(t, err)
	late := time.After(150 * time.Second)
	for {
		st, err := v.Status(t.Context())
		must(t, err)
		for _, c := range st.Changes {
			if c.ID == id && c.Ended() {
				return c
			}
		}
		select {
		case <-late:
			t.Fatalf("the change does not end: %+v", st.Changes)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ran is how often a script has left its word here.
func (v *victim) ran(word string) (n int) {
	data, _ := os.ReadFile(filepath.Join(v.o.dir, "marks", v.id))
	for _, w := range strings.Fields(string(data)) {
		if w == word {
			n++
		}
	}
	return n
}

// works fails unless the last good content can be used, now, under attack or not,
// and nothing else ran.
func (v *victim) works(t *testing.T) {
	t.Helper()
	n := v.ran("good1.0")
	if c := v.requests(t, "good"); c.Status != "done" {
		t.Errorf("what is good does not work: %+v", c)
	}
	if got := v.ran("good1.0"); got != n+1 {
		t.Errorf("what is good ran %d times, want %d", got, n+1)
	}
	v.unharmed(t)
}

// unharmed fails if something evil ran, or the agent is gone.
func (v *victim) unharmed(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(v.o.dir, "marks", "EVIL-"+v.id)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something evil was executed: %v", err)
	}
	if !v.Alive() {
		t.Fatalf("the agent is gone:\n%s", site.Tail(v.Log, 20))
	}
}

// says fails unless the log names what was refused.
func (v *victim) says(t *testing.T, words ...string) {
	t.Helper()
	log, err := os.ReadFile(v.Log)
	must(t, err)
	for _, w := range words {
		if !bytes.Contains(log, []byte(w)) {
			t.Errorf("the log does not say %q", w)
		}
	}
}

// quiet forgets what the log said so far.
func (v *victim) quiet(t *testing.T) {
	t.Helper()
	must(t, os.Truncate(v.Log, 0))
}

// refuses fails if a product is installed, or nobody says why it is not. What it is
// called is what the refusal must say.
func (v *victim) refuses(t *testing.T, product string, words ...string) {
	t.Helper()
	n := v.ran(product + "1.0")
	c := v.requests(t, product)
	if c.Status != "failed" || v.ran(product+"1.0") != n {
		t.Errorf("%s: %+v, ran %d times", product, c, v.ran(product+"1.0"))
	}
	for _, w := range words {
		if !strings.Contains(c.Text, w) {
			t.Errorf("the refusal of %s does not say %q: %s", product, w, c.Text)
		}
	}
	_, err := v.o.Call(t.Context(), "setProductActionRequest", product, v.id, "none")
	must(t, err)
	v.unharmed(t)
}

// agent runs the agent's command line, as the machine's own administrator does.
func (v *victim) agent(t *testing.T, args ...string) string {
	t.Helper()
	out, errOut, _, err := v.Programs.Run(t.Context(), nil, "fernwerk-agent", append([]string{"--data", v.Data}, args...)...)
	must(t, err)
	return out + errOut
}

func (v *victim) trust(t *testing.T) control.TrustStatus {
	t.Helper()
	st, err := v.Status(t.Context())
	must(t, err)
	return st.Trust
}

// holdsOut is a try to slip something under signed documents: the list stays, the
// refusal is named, what is good works meanwhile and afterwards.
func (v *victim) holdsOut(t *testing.T, words []string, rules ...lie) {
	t.Helper()
	before := v.trust(t).Versions[trust.RoleTargets]
	v.lies(t, rules...)
	v.works(t)
	v.met(t)
	st := v.trust(t)
	if st.Versions[trust.RoleTargets] != before {
		t.Errorf("list %d counts now", st.Versions[trust.RoleTargets])
	}
	for _, w := range words {
		if !strings.Contains(st.Problem, w) {
			t.Errorf("what was refused does not say %q: %q", w, st.Problem)
		}
	}
	if st.Problem == "" {
		t.Error("nothing was refused")
	}
	v.says(t, "content trust: refused")
}

// recovers is that an honest server is believed again, with its newer list.
func (v *victim) recovers(t *testing.T) {
	t.Helper()
	before := v.trust(t).Versions[trust.RoleTargets]
	v.lies(t)
	v.works(t)
	if st := v.trust(t); st.Problem != "" || st.Versions[trust.RoleTargets] <= before {
		t.Errorf("with an honest server: %+v", st)
	}
}
