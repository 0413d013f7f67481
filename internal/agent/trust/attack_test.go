package trust_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
	"github.com/fernwerk/fernwerk/internal/fleet/trust/trusttest"
)

// next publishes a next state of the repository and names its files.
func (s *server) next(t testing.TB) map[string]string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repo.Add(trust.UpdateName("018"), []byte("eighteen"))
	s.repo.Publish(t)
	names := map[string]string{trust.RoleTimestamp: "timestamp.json"}
	for _, role := range []string{trust.RoleSnapshot, trust.RoleTargets, trust.Depot} {
		names[role] = trust.FileName(role, s.repo.Versions[role])
	}
	return names
}

func TestAttack01_AFlippedByteOnTheWay(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.follow(t)
	files := s.next(t)
	for _, role := range []string{trust.RoleTimestamp, trust.RoleSnapshot, trust.RoleTargets, trust.Depot} {
		name := files[role]
		data := bytes.Clone(s.repo.Files[name])
		data[len(data)/2] ^= 1
		s.misbehave(name, serve(data))
		err := m.Refresh(t.Context())
		refused(t, role, err)
		if err == nil || !strings.Contains(err.Error(), role) {
			t.Errorf("the error does not name %s: %v", role, err)
		}
		s.misbehave(name, nil)
		m.works(t)
		if len(m.Names("update/")) != 1 {
			t.Errorf("half of the next lists counts after %s", role)
		}
	}
	if len(m.refused) == 0 || m.Status().Problem == "" {
		t.Error("nobody was told")
	}
	m.follow(t)
	if len(m.Names("update/")) != 2 || m.Status().Problem != "" {
		t.Errorf("afterwards: %q, %q", m.Names("update/"), m.Status().Problem)
	}
	content := s.repo.Targets[trust.UpdateName("018")].ContentPath()
	s.misbehave(content, serve([]byte("eighteeN")))
	_, err := m.Content(t.Context(), trust.UpdateName("018"))
	refused(t, "an update", err)
}

// The floor holds over a crash at any step of a refresh.
func TestAttack02_RollbackAfterACrash(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.follow(t)
	old := bytes.Clone(s.repo.Timestamp)
	files := s.next(t)
	for _, role := range []string{trust.RoleSnapshot, trust.RoleTargets, trust.Depot, ""} {
		if role != "" { // the refresh ends here
			s.misbehave(files[role], func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
			if err := m.Refresh(t.Context()); fleet.CodeOf(err) != fleet.Unavailable {
				t.Fatal(role, err)
			}
			s.misbehave(files[role], nil)
		} else {
			m.follow(t)
		}
		m.again(t)
		m.works(t)
		s.misbehave("timestamp.json", serve(old))
		refused(t, "an older timestamp after "+role, m.Refresh(t.Context()))
		s.misbehave("timestamp.json", nil)
		m.again(t)
	}
	if v := m.Versions(); v[trust.RoleTimestamp] != 3 || v[trust.RoleTargets] != 3 {
		t.Errorf("versions %v", v)
	}
}

func TestAttack03_FreezeIsVisible(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.follow(t)
	m.clock = s.repo.Expires.Add(time.Hour)
	m.follow(t) // the same, for ever
	if st := m.Status(); !st.Stale || st.Since != s.repo.Expires.Format(time.RFC3339) {
		t.Errorf("status %+v", st)
	}
	m.works(t)
}

func TestAttack04_ListsOfTwoSnapshots(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.follow(t)
	old := bytes.Clone(s.repo.Files["2.depot.json"])
	files := s.next(t)
	s.misbehave(files[trust.Depot], serve(old))
	refused(t, "the list of before", m.Refresh(t.Context()))
	m.works(t)
	if len(m.Names("update/")) != 1 {
		t.Error("lists of two snapshots are mixed")
	}
}

func TestAttack05_EndlessDataIsCutAtTheSignedLength(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.follow(t)
	for _, role := range []string{trust.RoleTimestamp, trust.RoleSnapshot, trust.RoleTargets, trust.Depot} {
		files := s.next(t)
		var sent atomic.Int64
		cut := make(chan struct{})
		s.misbehave(files[role], func(w http.ResponseWriter, _ *http.Request) {
			defer close(cut)
			w.Write(s.repo.Files[files[role]])
			for blank := bytes.Repeat([]byte(" "), 64<<10); ; {
				n, err := w.Write(blank)
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
		})
		err := m.Refresh(t.Context())
		<-cut // whatever it sends, somebody hung up
		if role == trust.RoleTimestamp {
			refused(t, role, err) // no length is announced of it: it is cut at the role's
		} else if err != nil && fleet.CodeOf(err) != fleet.Unavailable {
			refused(t, role, err)
		}
		if sent.Load() > 16<<20 {
			t.Errorf("%s: %d bytes were taken", role, sent.Load())
		}
		s.misbehave(files[role], nil)
		m.works(t)
	}
	m.follow(t)
	content := s.repo.Targets[trust.UpdateName("018")].ContentPath()
	s.misbehave(content, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000000")
		w.Write([]byte("eighteen"))
	})
	_, err := m.Content(t.Context(), trust.UpdateName("018"))
	refused(t, "a gigabyte is announced", err)
}

func TestAttack06_ADripIsGivenUp(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.follow(t)
	m.cfg.Idle = 100 * time.Millisecond
	m.again(t)
	files := s.next(t)
	for _, role := range []string{trust.RoleTimestamp, trust.RoleSnapshot, trust.RoleTargets, trust.Depot} {
		for _, first := range []string{"", "{"} { // not a word; one byte, and the next in an hour
			gone := make(chan struct{})
			s.misbehave(files[role], func(w http.ResponseWriter, r *http.Request) {
				defer close(gone)
				if first != "" {
					w.Write([]byte(first))
					w.(http.Flusher).Flush()
				}
				<-r.Context().Done()
			})
			if err := m.Refresh(t.Context()); fleet.CodeOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "stalled") {
				t.Errorf("%s after %q: %v", role, first, err)
			}
			<-gone
			s.misbehave(files[role], nil)
		}
		m.works(t)
	}
	if len(m.refused) != 0 {
		t.Errorf("the user was disturbed: %q", m.refused)
	}
}

func TestAttack07_FastForward(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.follow(t)
	was := s.repo.Versions[trust.RoleTimestamp]
	s.repo.Versions[trust.RoleTimestamp] = 1<<53 - 3
	s.repo.PublishTimestamp(t, trust.Meta{Version: 1<<53 - 2})
	if err := m.Refresh(t.Context()); err == nil {
		t.Fatal("there is no such snapshot")
	}
	m.again(t)
	m.works(t)
	s.repo.Versions[trust.RoleTimestamp] = was
	s.repo.Publish(t)
	refused(t, "before the rotation", m.Refresh(t.Context()))
	s.repo.Keys[trust.RoleTimestamp] = []ed25519.PrivateKey{trusttest.Key("timestamp2")}
	s.repo.PublishRoot(t)
	s.repo.Publish(t)
	m.follow(t)
	m.works(t)
	if v := m.Versions(); v[trust.RoleTimestamp] != s.repo.Versions[trust.RoleTimestamp] {
		t.Errorf("versions %v", v)
	}
}

func TestAttack08_StolenServerKeys(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.demand.Policy = enrol.Delegated // also the host that believes the depot's key
	m.follow(t)
	s.repo.Keys[trust.RoleTargets] = s.repo.Keys[trust.Depot]
	s.next(t)
	refused(t, "a list by the depot's key", m.Refresh(t.Context()))
	if len(m.Names("update/")) != 1 {
		t.Errorf("names %q", m.Names("update/"))
	}
	m.works(t)
}

func TestAttack09_FiveRootsAfter400Days(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.follow(t)
	m.clock = trusttest.Start.AddDate(0, 0, 400)
	s.repo.Expires = m.clock.AddDate(1, 0, 0)
	for i := range 5 {
		before := s.repo.Keys[trust.RoleRoot]
		for _, role := range []string{trust.RoleRoot, trust.RoleTargets, trust.RoleSnapshot, trust.RoleTimestamp, trust.Depot} {
			s.repo.Keys[role] = []ed25519.PrivateKey{trusttest.Key(fmt.Sprint(role, i))}
		}
		s.repo.PublishRoot(t, before...)
	}
	s.repo.Publish(t)
	m.again(t) // it wakes up
	m.works(t)
	m.follow(t)
	m.works(t)
	if v := m.Versions(); v[trust.RoleRoot] != 6 {
		t.Errorf("versions %v", v)
	}
	if st := m.Status(); st.Stale {
		t.Errorf("status %+v", st)
	}
	// From a fresh machine with the first pin, in one session too.
	fresh := newMachine(t, s)
	fresh.follow(t)
	fresh.works(t)
}

func TestAttack10_ARevokedRootKey(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	old := s.repo.Keys[trust.RoleRoot]
	s.repo.Keys[trust.RoleRoot] = []ed25519.PrivateKey{trusttest.Key("root2")}
	s.repo.PublishRoot(t, old...)
	m.follow(t)
	evil := trusttest.Sign(t, s.repo.RootDoc(), old...)
	s.misbehave("3.root.json", serve(evil))
	for range 2 {
		refused(t, "a root by the old key", m.Refresh(t.Context()))
		m.again(t)
	}
	m.works(t)
}

func TestAttack11_ExpiredAtTheStart(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.follow(t)
	m.clock = s.repo.Expires.AddDate(3, 0, 0)
	m.again(t)
	m.works(t)
	s.repo.Expires = m.clock.AddDate(1, 0, 0)
	s.repo.PublishRoot(t)
	s.next(t)
	m.follow(t) // asks for new ones, and gets them
	if st := m.Status(); st.Stale {
		t.Errorf("status %+v", st)
	}
}

func TestAttack12_Clocks(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.follow(t)
	m.clock = time.Date(1970, 1, 1, 0, 0, 7, 0, time.UTC)
	if st := m.Status(); st.Stale || !strings.Contains(st.Clock, "1970") {
		t.Errorf("status in 1970: %+v", st)
	}
	m.again(t)
	s.repo.Issued = trusttest.Start.AddDate(2, 0, 0) // what the server signs now is long past
	s.next(t)
	m.follow(t)
	if st := m.Status(); !st.Stale || st.Since == "" {
		t.Errorf("a clock in 1970 takes old documents for fresh: %+v", st)
	}
	m.clock = trusttest.Start.AddDate(10, 0, 0)
	if st := m.Status(); !st.Stale || st.Clock != "" {
		t.Errorf("status in ten years: %+v", st)
	}
	m.works(t)
	m.clock = trusttest.Start
	s.repo.Issued, s.repo.Expires = trusttest.Start, trusttest.Start.AddDate(1, 0, 0)
	s.next(t)
	m.follow(t)
	if st := m.Status(); st.Stale || st.Clock != "" {
		t.Errorf("the clock was set right, and there is damage: %+v", st)
	}
}

func TestAttack13_OddJSON(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.follow(t)
	s.next(t)
	text := string(s.repo.Timestamp)
	for name, odd := range map[string]string{
		"trailing byte": text + "\n", "duplicate key": strings.Replace(text, `"version":3}`, `"version":3,"version":3}`, 1),
		"huge number": strings.Replace(text, `"version":3}`, `"version":3000000000000000000000}`, 1), "float": strings.Replace(text, `"version":3}`, `"version":3.0}`, 1),
		"deep": strings.Repeat("[", 1000) + strings.Repeat("]", 1000), "blank": strings.Replace(text, `:`, `: `, 1), "HTML": "<html>log in to the hotel's network</html>",
	} {
		if odd == text {
			t.Fatal(name)
		}
		s.misbehave("timestamp.json", serve([]byte(odd)))
		refused(t, name, m.Refresh(t.Context()))
		m.works(t)
	}
}

func TestAttack15_TheDepotSpeaksOfProducts(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.demand.Policy = enrol.Delegated
	m.follow(t)
	s.repo.Depot[trust.ProductName("vlc", "3.0", "1", "any")] = s.repo.Depot[trust.DepotName("d.example.org", "vlc", "3.0", "1", "linux")]
	s.next(t)
	refused(t, "a product by the depot's key", m.Refresh(t.Context()))
	m.works(t)
}

func TestAttack17_AnotherProductSiteOrPlatform(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.demand.Policy = enrol.Delegated
	windows := trust.TargetOf([]byte("for Windows"))
	windows.Custom, _ = trust.Scripts{}.Custom()
	s.repo.Targets[trust.ProductName("vlc", "3.0", "1", "windows")] = windows
	s.next(t)
	m.follow(t)
	good := tree("3.0", manifestText)
	other := good
	other.ProductID = "firefox"
	later := tree("4.0", manifestText)
	pkg := good
	pkg.PackageVersion = "2"
	site := tree("3.0", "changed")
	site.Depots = []string{"other.example.org"}
	for _, bad := range []struct {
		name string
		err  error
	}{
		{"another product", second(m.Product(other))}, {"another version", second(m.Product(later))}, {"another package version", second(m.Product(pkg))},
		{"another site", second(m.Product(site))}, {"another platform", second(m.Product(tree("3.0", "for Windows")))},
	} {
		if fleet.CodeOf(bad.err) != fleet.Denied {
			t.Errorf("%s: %v", bad.name, bad.err)
		}
	}
	m.works(t)
}

func second[T any](_ T, err error) error { return err }

// Content is given out only as it was checked: what the server says the second
// time does not matter.
func TestAttack18_WhatWasCheckedIsGivenOut(t *testing.T) {
	s := newServer(t)
	m := newMachine(t, s)
	m.follow(t)
	conf := s.repo.Targets[trust.ConfName("")].ContentPath()
	s.misbehave(conf, serve([]byte("[global]\nlog_level = 9\n")))
	if data, err := m.Content(t.Context(), trust.ConfName("")); err != nil || !strings.Contains(string(data), "= 7") {
		t.Errorf("%q, %v", data, err)
	}
	update := s.repo.Targets[trust.UpdateName("017")].ContentPath()
	s.misbehave(update, serve([]byte("#!/bin/sh\necho 18\n")))
	_, err := m.Content(t.Context(), trust.UpdateName("017"))
	refused(t, "an update swapped", err)
}
