package setup

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/methods/credential"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

func newStore(t *testing.T) *store.Store {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := store.Open(t.Context(), db, time.Now, credential.Passwords)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func server(t *testing.T, s *store.Store, self Self) string {
	t.Helper()
	id, err := Server(t.Context(), s, self)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func read[T any](t *testing.T, s *store.Store, c *fleet.Class, f fleet.Filter) (rows []T) {
	t.Helper()
	err := s.View(t.Context(), func(tx *store.Tx) (err error) { rows, err = store.All[T](tx, c, f); return err })
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func write(t *testing.T, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), store.Origin{}, fn); err != nil {
		t.Fatal(err)
	}
}

var self = Self{ID: "fw.example.org", Reach: "fw.example.org:4447", Depot: "/srv/depot"}

func TestIdentityStays(t *testing.T) {
	s := newStore(t)
	if id := server(t, s, self); id != self.ID {
		t.Error(id)
	}
	own := read[fleet.Host](t, s, fleet.Hosts, nil)
	renamed := self
	renamed.ID = "new.example.org"
	if id := server(t, s, renamed); id != self.ID {
		t.Errorf("a new name became the id %s", id)
	}
	if d := cmp.Diff(own, read[fleet.Host](t, s, fleet.Hosts, nil)); d != "" {
		t.Errorf("the row changed:\n%s", d)
	}
}

// A database of a former version gets one too.
func TestFileShareHasAPassword(t *testing.T) {
	s := newStore(t)
	server(t, s, self)
	first := read[credential.Password](t, s, credential.Passwords, nil)
	if len(first) != 1 || first[0].User != "pcpatch" || len(first[0].Password) != 32 {
		t.Fatalf("%v", first)
	}
	server(t, s, self)
	if d := cmp.Diff(first, read[credential.Password](t, s, credential.Passwords, nil)); d != "" {
		t.Errorf("the next start changed it:\n%s", d)
	}
	write(t, s, func(tx *store.Tx) error { _, err := tx.Delete(credential.Passwords, nil); return err })
	server(t, s, self)
	if got := read[credential.Password](t, s, credential.Passwords, nil); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestParametersAreMadeOnce(t *testing.T) {
	s := newStore(t)
	server(t, s, self)
	configs := read[fleet.Config](t, s, fleet.Configs, nil)
	if want := len(parameters(self)); len(configs) != want {
		t.Errorf("%d parameters, want %d", len(configs), want)
	}
	write(t, s, func(tx *store.Tx) error {
		if _, err := tx.Delete(fleet.Configs, fleet.Filter{"id": "clientconfig.depot.user"}); err != nil {
			return err
		}
		return tx.Patch(fleet.Configs, fleet.Row{"type": fleet.UnicodeConfig, "id": "clientconfig.depot.protocol", "defaultValues": []any{"cifs"}})
	})
	changed := read[fleet.Config](t, s, fleet.Configs, nil)
	server(t, s, self)
	if d := cmp.Diff(changed, read[fleet.Config](t, s, fleet.Configs, nil)); d != "" {
		t.Errorf("a start undid an administrator's work:\n%s", d)
	}
}

// Seed A's four switches, with its defaults: nobody is in WAN mode.
func TestEventSwitches(t *testing.T) {
	s := newStore(t)
	server(t, s, self)
	for id, want := range map[string]bool{
		"opsiclientd.event_gui_startup.active":                 true,
		"opsiclientd.event_gui_startup{user_logged_in}.active": true,
		"opsiclientd.event_net_connection.active":              false,
		"opsiclientd.event_timer.active":                       false,
	} {
		got := read[fleet.Config](t, s, fleet.Configs, fleet.Filter{"id": id})
		if len(got) != 1 || got[0].Type != fleet.BoolConfig || !cmp.Equal(got[0].DefaultValues, []any{want}) || !cmp.Equal(got[0].PossibleValues, []any{true, false}) {
			t.Errorf("%s: %+v, want %v", id, got, want)
		}
	}
}

func TestAddressFollowsTheConfiguration(t *testing.T) {
	for name, tt := range map[string]struct {
		set  []any // by an administrator, between the starts
		want []any
	}{
		"untouched": {nil, []any{"https://[2001:db8::7]:443/rpc"}},
		"set":       {[]any{"https://proxy.example.org:4447/rpc"}, []any{"https://proxy.example.org:4447/rpc"}},
		"added": {[]any{"https://fw.example.org:4447/rpc", "https://second.example.org:4447/rpc"},
			[]any{"https://fw.example.org:4447/rpc", "https://second.example.org:4447/rpc"}},
		"emptied": {[]any{}, []any{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			server(t, s, self)
			if tt.set != nil {
				write(t, s, func(tx *store.Tx) error {
					return tx.Patch(fleet.Configs, fleet.Row{"type": fleet.UnicodeConfig, "id": serverURL, "defaultValues": tt.set, "possibleValues": tt.set})
				})
			}
			moved := self
			moved.Reach = "[2001:db8::7]:443"
			server(t, s, moved)
			if own := read[fleet.Host](t, s, fleet.Hosts, nil)[0]; own.DepotWebdavURL != "webdavs://[2001:db8::7]:443/depot" {
				t.Errorf("depot at %s", own.DepotWebdavURL)
			}
			if d := cmp.Diff(tt.want, read[fleet.Config](t, s, fleet.Configs, fleet.Filter{"id": serverURL})[0].DefaultValues); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}
