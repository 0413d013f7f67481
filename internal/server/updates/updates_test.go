package updates

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/postgres"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/test/require"
)

type site struct {
	*testing.T
	db     *sqldb.DB
	s      *store.Store
	u      *Updates
	svc    *methods.Service
	signed map[string]string
	types  map[string]string
}

var (
	admin = methods.Actor{Role: methods.Administrator, ID: "admin"}
	names = []string{"pc1.branch.test", "pc2.branch.test", "pc3.office.test"}
)

func asHost(id string) methods.Actor { return methods.Actor{Role: methods.Host, ID: id} }

func newSite(t *testing.T, db *sqldb.DB) *site {
	t.Helper()
	s, err := store.Open(t.Context(), db, time.Now, append(Classes(), catalog.Classes()...)...)
	if err != nil {
		t.Fatal(err)
	}
	x := &site{T: t, db: db, s: s, signed: map[string]string{}, types: map[string]string{}}
	x.u = New(Config{Store: s, Log: slog.New(slog.DiscardHandler),
		Signed: func(_ *store.Tx, name string) ([]byte, error) {
			if text, ok := x.signed[name]; ok {
				return []byte(text), nil
			}
			return nil, fleet.Errorf(fleet.NotFound, "%s is not signed", name)
		},
		NodeTypes: func(*store.Tx) (map[string]string, error) { return x.types, nil }})
	x.svc = catalog.New(s, methods.Ports{Updates: x.u})
	for _, id := range names {
		x.call(admin, "host_createOpsiClient", id)
	}
	return x
}

func overSQLite(t *testing.T) *site {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return newSite(t, db)
}

func (x *site) try(who methods.Actor, method string, args ...any) (any, error) {
	return x.svc.Call(x.Context(), who, method, methods.Pos(args...))
}

func (x *site) call(who methods.Actor, method string, args ...any) any {
	x.Helper()
	v, err := x.try(who, method, args...)
	if err != nil {
		x.Fatalf("%s: %v", method, err)
	}
	return v
}

func (x *site) refused(code fleet.Code, says, method string, args ...any) {
	x.Helper()
	v, err := x.try(admin, method, args...)
	if fleet.CodeOf(err) != code || err != nil && !strings.Contains(err.Error(), says) {
		x.Errorf("%s %v = %v, %v (%s)", method, args, v, err, fleet.CodeOf(err))
	}
}

func (x *site) sign(h update.Header) string {
	text := "#!/bin/sh\n" + h.Text() + "true\n"
	x.signed[update.Target(h.Number)] = text
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func header(number int) update.Header {
	return update.Header{Number: number, ID: fmt.Sprintf("u%d", number), Title: "t", Audience: update.Hosts, Timeout: time.Minute, OnFailure: update.Stop, OnInterrupt: update.Ask}
}

// ask is a host's question, with a tag.
func (x *site) ask(host, tag string) (status int, now string, o update.Offer) {
	x.Helper()
	r := httptest.NewRequest("GET", "/v1/updates", nil)
	r.Header.Set("If-None-Match", tag)
	w := httptest.NewRecorder()
	x.u.Handler(func(*http.Request) (methods.Actor, error) { return asHost(host), nil },
		func(_ http.ResponseWriter, _ *http.Request, err error) { x.Errorf("refused: %v", err) }).ServeHTTP(w, r)
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil {
			x.Fatal(err)
		}
	}
	return w.Code, w.Header().Get("ETag"), o
}

// offered waits until a host is offered what is wanted.
func (x *site) offered(host string, want ...string) (tag string) {
	x.Helper()
	late := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		_, tag, o := x.ask(host, "")
		if cmp.Equal(o.Offered, append([]string{}, want...)) {
			return tag
		}
		select {
		case <-tick.C:
		case <-late:
			x.Fatalf("%s is offered %v, not %v", host, o.Offered, want)
		}
	}
}

func (x *site) serve() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.u.Serve(ctx) }()
	x.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			x.Error(err)
		}
	})
}

func report(digest string, attempt int64, state update.State, revision int64) map[string]any {
	return map[string]any{"number": "017", "id": "u17", "digest": digest, "key": strings.Repeat(fmt.Sprint(attempt), 26), "revision": revision,
		"attempt": attempt, "state": string(state), "exit": int64(0), "reason": "", "output": "hello\n", "started": "2026-01-02 03:04:05", "ended": "2026-01-02 03:04:06", "policy": ""}
}

func TestPublish(t *testing.T) {
	x := overSQLite(t)
	x.refused(fleet.NotFound, "update/017 is not signed", "update_publish", "017")
	x.sign(header(17))
	x.refused(fleet.Invalid, `"17" is not the number`, "update_publish", "17")
	x.refused(fleet.Invalid, "is not a part of the fleet", "update_publish", "017", "5")
	up := x.call(admin, "update_publish", "017", "5%").(map[string]any)
	if up["ring"] != "5%" || up["published"] != true || up["publishedBy"] != "administrator admin" {
		t.Errorf("%v", up)
	}
	x.sign(header(17)) // the same
	x.call(admin, "update_publish", "017", "100%")
	h := header(18)
	h.After = []int{16}
	x.sign(h)
	x.refused(fleet.Conflict, "comes after 016, which is not published", "update_publish", "018")
	h.After = []int{17}
	x.sign(h)
	x.call(admin, "update_publish", "018")
	x.refused(fleet.Conflict, "017 cannot go: 018 comes after it", "update_withdraw", "017") // attack 32
	x.call(admin, "update_withdraw", "018")
	x.call(admin, "update_withdraw", "017")
	other := header(17)
	other.Title = "another"
	x.sign(other)
	x.refused(fleet.Conflict, "it was published with other content", "update_publish", "017")
	x.refused(fleet.NotFound, "it was never published", "update_withdraw", "099")
	wrong := header(20)
	x.sign(wrong)
	x.signed[update.Target(21)] = x.signed[update.Target(20)]
	x.refused(fleet.Invalid, "its file says that it is 020", "update_publish", "021")
	entries, _ := x.call(admin, "journal_getEntries", nil, nil, nil, nil, nil, "update").([]any)
	if len(entries) != 5 {
		t.Errorf("the journal has %d entries", len(entries))
	}
}

func TestOffer(t *testing.T) {
	x := overSQLite(t)
	x.serve()
	x.call(admin, "group_createHostGroup", "branch")
	x.call(admin, "group_createHostGroup", "hall", "", "", "branch")
	x.call(admin, "objectToGroup_create", "HostGroup", "hall", names[0])
	h := header(17)
	h.Groups = []string{"branch"}
	x.sign(h)
	h = header(18)
	h.NodeTypes = []string{"vnode"}
	x.sign(h)
	h = header(19)
	h.Audience = update.Feed
	x.sign(h)
	x.sign(header(20))
	for _, n := range []string{"017", "018", "019", "020"} {
		x.call(admin, "update_publish", n)
	}
	x.types[names[1]] = "vnode"
	x.call(admin, "update_publish", "020", "50%")
	ring := func(id string, list ...string) []string {
		if update.Ring(id, "u20") < update.Whole/2 {
			list = append(list, "020")
		}
		return list
	}
	x.offered(names[0], ring(names[0], "017")...)
	x.offered(names[1], ring(names[1], "018")...)
	tag := x.offered(names[2], ring(names[2])...)
	if code, _, _ := x.ask(names[2], tag); code != http.StatusNotModified {
		t.Errorf("status %d for what is known", code)
	}
	x.call(admin, "objectToGroup_create", "HostGroup", "branch", names[2])
	x.offered(names[2], ring(names[2], "017")...)
	x.call(admin, "update_withdraw", "017")
	x.offered(names[2], ring(names[2])...)
	if _, _, o := x.ask(names[2], ""); !cmp.Equal(o.Withdrawn, []string{"017"}) {
		t.Errorf("%+v", o)
	}
}

// A host that joined a moment ago is offered what is for its node type at its first
// question; nobody has looked since.
func TestOffer_Newcomer(t *testing.T) {
	x := overSQLite(t)
	h := header(18)
	h.NodeTypes = []string{"vnode"}
	x.sign(h)
	x.call(admin, "update_publish", "018")
	_, tag, o := x.ask(names[0], "")
	if len(o.Offered) != 0 {
		t.Fatalf("%+v", o)
	}
	x.types[names[0]], x.types[names[1]] = "vnode", "vnode"
	if _, _, o := x.ask(names[1], ""); !cmp.Equal(o.Offered, []string{"018"}) {
		t.Errorf("a newcomer is offered %v", o.Offered)
	}
	if _, _, o := x.ask(names[0], tag); !cmp.Equal(o.Offered, []string{"018"}) {
		t.Errorf("one that was there is offered %v", o.Offered)
	}
}

// When nothing is new no question reaches the database: it is closed here.
func TestOffer_NothingNewNeedsNoDatabase(t *testing.T) {
	x := overSQLite(t)
	x.sign(header(17))
	x.call(admin, "update_publish", "017")
	tag := x.offered(names[0], "017")
	if err := x.db.Close(); err != nil {
		t.Fatal(err)
	}
	if code, now, _ := x.ask(names[0], tag); code != http.StatusNotModified || now != tag {
		t.Errorf("status %d", code)
	}
	if code, _, o := x.ask(names[1], ""); code != http.StatusOK || len(o.Offered) != 1 {
		t.Errorf("status %d, %+v", code, o)
	}
}

func TestHandler_ForHostsOnly(t *testing.T) {
	x := overSQLite(t)
	var got error
	x.u.Handler(func(*http.Request) (methods.Actor, error) { return admin, nil }, func(_ http.ResponseWriter, _ *http.Request, err error) { got = err }).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/updates", nil))
	if fleet.CodeOf(got) != fleet.Denied {
		t.Errorf("%v", got)
	}
}

func TestReport(t *testing.T) {
	x := overSQLite(t)
	testReport(x)
}

func TestReport_PostgreSQL(t *testing.T) {
	db, err := postgres.Open(t.Context(), require.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	testReport(newSite(t, db))
}

func testReport(x *site) {
	t := x.T
	digest := x.sign(header(17))
	one := asHost(names[0])
	if known := x.call(one, "update_report", report(digest, 1, update.Done, 2)); known != false {
		t.Errorf("a report of what was never published: %v", known)
	}
	x.call(admin, "update_publish", "017")
	status := func() map[string]any {
		t.Helper()
		return x.call(admin, "update_getStatus", "017").([]any)[0].(map[string]any)
	}
	states := func(want map[string]any) {
		t.Helper()
		if diff := cmp.Diff(want, status()["states"]); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	states(map[string]any{"waiting": int64(3)})
	interrupted := report(digest, 1, update.Interrupted, 2)
	interrupted["policy"] = update.Ask
	for range 3 { // the answer was lost: it counts once (attack 25)
		if known := x.call(one, "update_report", interrupted); known != true {
			t.Errorf("%v", known)
		}
	}
	states(map[string]any{"waiting": int64(2), "interrupted": int64(1)})
	x.refused(fleet.Invalid, "cannot decide so", "update_decide", "017", names[0], "rety")
	x.refused(fleet.NotFound, "nothing was reported", "update_decide", "017", names[1], "retry")
	x.call(admin, "update_decide", "017", names[0], "retry")
	x.serve()
	late := time.After(20 * time.Second)
	for {
		_, _, o := x.ask(names[0], "")
		if o.Decisions[strings.Repeat("1", 26)] == update.Retry {
			break
		}
		select {
		case <-late:
			t.Fatalf("the decision is not told: %+v", o)
		case <-time.After(5 * time.Millisecond):
		}
	}
	heard := report(digest, 1, update.Interrupted, 3)
	heard["policy"] = update.Retry
	x.call(one, "update_report", heard)
	x.call(one, "update_report", report(digest, 2, update.Done, 2))
	x.call(one, "update_report", interrupted) // late
	states(map[string]any{"waiting": int64(2), "done": int64(1)})
	other := report(strings.Repeat("0", 64), 0, update.Changed, 1)
	other["key"] = strings.Repeat("changed", 4)
	x.call(one, "update_report", other)
	states(map[string]any{"waiting": int64(2), "done": int64(1), "changed": int64(1)})
	x.refused(fleet.Conflict, "nothing waits for a word", "update_decide", "017", names[0], "retry")
	hosts := x.call(admin, "update_getStatus", "017", names[0]).([]any)[0].(map[string]any)["hosts"].([]any)
	if hosts = hosts[1:]; len(hosts) != 2 || hosts[1].(map[string]any)["output"] != "hello\n" || hosts[0].(map[string]any)["decision"] != "" {
		t.Errorf("%v", hosts)
	}
	for i := range int64(2 * keepRuns) {
		r := report(digest, i+3, update.Failed, 2)
		r["key"] = fmt.Sprintf("attempt%026d", i)
		x.call(one, "update_report", r)
	}
	hosts = x.call(admin, "update_getStatus", "017", names[0]).([]any)[0].(map[string]any)["hosts"].([]any)
	if len(hosts) != keepRuns {
		t.Errorf("%d attempts are kept", len(hosts))
	}
	for field, value := range map[string]any{"state": "running", "key": "short", "digest": "ab", "number": "17", "output": strings.Repeat("x", 2*update.MaxOutput), "more": "x"} {
		bad := report(digest, 1, update.Done, 9)
		bad[field] = value
		if _, err := x.try(one, "update_report", bad); fleet.CodeOf(err) != fleet.Invalid {
			t.Errorf("%s: %v", field, err)
		}
	}
	x.call(admin, "host_delete", names[0])
	states(map[string]any{"waiting": int64(2)})
}
