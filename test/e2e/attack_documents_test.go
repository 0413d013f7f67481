package e2e

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// The attacks of this file are on the signed documents.

func TestAttack01_AFlippedByte(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	stamp, snapshot, _, _ := o.second.parsed(t)
	v.lies(t, o.first.shown(t, lie{Path: `/v1/depot/fresh/tree`, Do: "flip"})...)
	v.refuses(t, "fresh", "fresh")
	v.met(t)
	v.lies(t, o.first.shown(t, lie{Path: `/v1/depot/fresh/chunks`, Do: "flip"})...)
	v.refuses(t, "fresh", "fresh")
	v.met(t)
	// A script.
	v.lies(t, o.first.shown(t, lie{Path: "^/v1/trust/content/", Do: "flip"}, serves("^/v1/updates$", []byte(`{"offered":["001","003"]}`)))...)
	await(t, "the script is refused", func() (bool, error) { return v.heard(t)[0].Hits > 0 && v.trust(t).Problem != "", nil })
	v.works(t)
	if v.ran("update003") > 0 {
		t.Error("a script with a flipped byte was run")
	}
	v.says(t, "update/003")
	v.holdsOut(t, []string{trust.RoleTimestamp}, o.second.shown(t, lie{Path: timestamp, Do: "flip", Body: o.second.stamp})...)
	v.holdsOut(t, []string{trust.RoleSnapshot}, o.second.shown(t, lie{Path: named(trust.RoleSnapshot, stamp.Snapshot.Version), Do: "flip", Body: o.second.snapshot})...)
	v.holdsOut(t, []string{trust.RoleTargets}, o.second.shown(t, lie{Path: named(trust.RoleTargets, snapshot.Meta[trust.RoleTargets].Version), Do: "flip", Body: o.second.targets})...)
	v.recovers(t)
}

func TestAttack02_Rollback(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	v.lies(t, o.second.shown(t)...)
	v.works(t)
	v.holdsOut(t, []string{"timestamp"}, serves(timestamp, o.first.stamp))
	// Also with the server's keys: a new snapshot of the list of before.
	v.holdsOut(t, []string{trust.RoleTargets}, o.forge(t, forgery{targets: o.first.targets})...)
	// A version of a product that was signed once, and was replaced.
	v.refuses(t, "aged", "refused aged 0.5-1", "not signed")
	// A restart changes nothing.
	v.Kill()
	must(t, v.Start(t.Context()))
	v.holdsOut(t, []string{"timestamp"}, serves(timestamp, o.first.stamp))
}

func TestAttack03_Freeze(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	// The same for ever; what it says of its end is near, so that the test sees it.
	end := time.Now().Add(2 * time.Second).UTC().Truncate(time.Second)
	v.lies(t, o.forge(t, forgery{edit: func(s *trust.Timestamp, _ *trust.Snapshot) { s.Expires = end }})...)
	v.works(t)
	await(t, "the host says since when it is stale", func() (bool, error) {
		st := v.trust(t)
		return st.Stale && st.Since == end.Format(time.RFC3339), nil
	})
	v.works(t)
	if out := v.agent(t, "trust", "status"); !strings.Contains(out, "stale     since "+end.Format(time.RFC3339)) {
		t.Errorf("trust status says: %s", out)
	}
}

func TestAttack04_MixAndMatch(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	stamp, snapshot, _, _ := o.second.parsed(t)
	v.holdsOut(t, []string{trust.RoleSnapshot}, o.second.shown(t, serves(named(trust.RoleSnapshot, stamp.Snapshot.Version), o.first.snapshot))...)
	v.holdsOut(t, []string{trust.RoleTargets}, o.second.shown(t, serves(named(trust.RoleTargets, snapshot.Meta[trust.RoleTargets].Version), o.first.targets))...)
	v.recovers(t)
}

func TestAttack05_EndlessData(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	stamp, snapshot, _, _ := o.second.parsed(t)
	list := named(trust.RoleTargets, snapshot.Meta[trust.RoleTargets].Version)
	for i, path := range []string{timestamp, named(trust.RoleSnapshot, stamp.Snapshot.Version), list} {
		body := [][]byte{o.second.stamp, o.second.snapshot, o.second.targets}[i]
		for _, do := range []string{"huge", "endless"} {
			if do == "endless" && i == 1 {
				continue // what is cut at its announced length is the right one, and the list follows
			}
			before := v.trust(t).Versions[trust.RoleTargets]
			v.lies(t, o.second.shown(t, lie{Path: path, Do: do, Body: body})...)
			v.works(t)
			h := v.heard(t)[0]
			if h.Hits == 0 || h.Sent > 24<<20 { // what fits into the buffers of a connection
				t.Errorf("%s of %s: met %d times, %d bytes were taken", do, path, h.Hits, h.Sent)
			}
			// What is cut at its signed length may be the right document.
			if st := v.trust(t); st.Versions[trust.RoleTargets] != before && (path == timestamp || do == "huge") {
				t.Errorf("%s of %s was believed: %+v", do, path, st)
			}
		}
	}
	v.lies(t, lie{Path: "/v1/depot/fresh/chunks", Do: "endless"})
	v.requests(t, "fresh")
	if sent := v.heard(t)[0].Sent; sent > 24<<20 {
		t.Errorf("%d bytes of a product were taken", sent)
	}
	v.unharmed(t)
	v.lies(t)
	v.works(t)
}

func TestAttack06_SlowRetrieval(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	v.lies(t, o.second.shown(t, lie{Path: timestamp, Do: "drip", Body: o.second.stamp})...)
	began := time.Now()
	// The step gives the drip up after a minute, and goes on with what is held. It may
	// have waited for the updates, which met the same.
	v.works(t)
	v.met(t)
	if took := time.Since(began); took > 140*time.Second {
		t.Errorf("a drip was listened to for %v", took)
	}
	v.says(t, "stalled")
	v.recovers(t)
}

func TestAttack08_AStolenServer(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	for _, policy := range []string{"offline", "delegated"} {
		v := o.victim(t, policy)
		_, _, list, depot := o.second.parsed(t)
		// The depot's list speaks of nothing but depots.
		depot.Version, depot.Targets = depot.Version+1, map[string]trust.Target{trust.UpdateName("666"): trust.TargetOf([]byte(o.evil()))}
		depots := sign(t, depot, o.keys[trust.Depot])
		v.holdsOut(t, []string{trust.Depot, "update/666"}, o.forge(t, forgery{depot: depots, depotVersion: depot.Version})...)
		// And its key, or another one of the server, not in the place of the offline one.
		list.Version++
		list.Targets[trust.UpdateName("666")], list.Targets[trust.ProductName("loose", "1.0", "1", "any")] = trust.TargetOf([]byte(o.evil())), trust.TargetOf([]byte("a tree"))
		forged := sign(t, list, o.keys[trust.Depot], o.keys[trust.RoleSnapshot], o.keys[trust.RoleTimestamp])
		v.holdsOut(t, []string{trust.RoleTargets, "signatures"}, o.forge(t, forgery{targets: forged, targetsVersion: list.Version, depot: depots, depotVersion: depot.Version})...)
		// Nor in that of the root.
		root, err := o.document(t.Context(), "1.root.json")
		must(t, err)
		doc, err := trust.ParseRoot(root)
		must(t, err)
		doc.Version = 2
		v.holdsOut(t, []string{"root"}, serves(`^/v1/trust/2\.root\.json$`, sign(t, doc, o.keys[trust.Depot], o.keys[trust.RoleSnapshot])))
	}
}

func TestAttack11_ExpiredAtTheStart(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	past := time.Now().Add(-400 * 24 * time.Hour).UTC().Truncate(time.Second)
	over := o.forge(t, forgery{edit: func(s *trust.Timestamp, n *trust.Snapshot) { s.Expires, n.Expires = past, past }})
	v.lies(t, over...)
	v.works(t)
	v.Kill()
	v.lies(t, serves(".", nil)) // there is no server that says anything sensible
	must(t, v.Start(t.Context()))
	if st := v.trust(t); !st.Stale || st.Since == "" || st.Versions[trust.RoleTargets] == 0 {
		t.Errorf("after a start: %+v", st)
	}
	v.lies(t, over...)
	v.works(t)
}

// The clock cannot be set here; the dates of what is signed can, which is the same.
func TestAttack12_Clocks(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	dated := func(at time.Time) []lie {
		return o.forge(t, forgery{edit: func(s *trust.Timestamp, n *trust.Snapshot) {
			s.Issued, s.Expires, n.Expires = at, at.AddDate(0, 0, 4), at.AddDate(1, 0, 0)
		}})
	}
	now := time.Now().UTC().Truncate(time.Second)
	v.lies(t, dated(now.AddDate(-10, 0, 0))...) // for this host it is ten years ahead
	v.works(t)
	if st := v.trust(t); !st.Stale {
		t.Errorf("documents of ten years ago are fresh: %+v", st)
	}
	v.lies(t, dated(now.AddDate(10, 0, 0))...) // its clock is ten years behind
	v.works(t)
	if st := v.trust(t); st.Clock == "" || st.Problem != "" {
		t.Errorf("a clock that is ten years behind what is signed: %+v", st)
	}
	if out := v.agent(t, "trust", "status"); !strings.Contains(out, "clock ") {
		t.Errorf("nobody is told: %s", out)
	}
	v.lies(t, dated(now)...) // and no damage is left
	v.works(t)
	if st := v.trust(t); st.Clock != "" || st.Stale || st.Problem != "" {
		t.Errorf("the clock is right, and there is damage: %+v", st)
	}
}

func TestAttack13_OddJSON(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	stamp, _, _, _ := o.second.parsed(t)
	text := string(stamp.Raw())
	version := fmt.Sprintf(`"version":%d}`, stamp.Version)
	for name, odd := range map[string]string{
		"a trailing byte": text + "\n", "a key twice": strings.Replace(text, version, version[:len(version)-1]+","+version, 1),
		"a huge number": strings.Replace(text, version, `"version":9999999999999999999999}`, 1), "a fraction": strings.Replace(text, version, fmt.Sprintf(`"version":%d.0}`, stamp.Version), 1),
		"deep": strings.Repeat("[", 8000), "a blank": strings.Replace(text, ":", ": ", 1), "a hotel's page": "<html>log in</html>", "nothing": "", "null": "null",
		"another spelling": strings.Replace(text, `"_type"`, `"\u005ftype"`, 1),
	} {
		if odd == text {
			t.Fatal(name)
		}
		v.lies(t, serves(timestamp, []byte(odd)))
		v.syncs(t)
		v.met(t)
		if st := v.trust(t); !strings.Contains(st.Problem, "timestamp") {
			t.Errorf("%s: %+v", name, st)
		}
	}
	v.works(t)
	v.recovers(t)
}

func TestAttack14_OneKeyTwice(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "offline")
	stolen := o.targetsKey(t) // one of two
	_, _, list, _ := o.second.parsed(t)
	list.Version++
	list.Targets[trust.UpdateName("666")] = trust.TargetOf([]byte(o.evil()))
	once := sign(t, list, stolen)
	v.holdsOut(t, []string{trust.RoleTargets, "1 of the 2"}, o.forge(t, forgery{targets: once, targetsVersion: list.Version})...)
	var doc struct {
		Signatures []json.RawMessage `json:"signatures"`
		Signed     json.RawMessage   `json:"signed"`
	}
	must(t, json.Unmarshal(once, &doc))
	doc.Signatures = append(doc.Signatures, doc.Signatures[0])
	twice, err := json.Marshal(doc)
	must(t, err)
	v.holdsOut(t, []string{trust.RoleTargets, "twice"}, o.forge(t, forgery{targets: twice, targetsVersion: list.Version})...)
	// Under the other key's name.
	other := slices.DeleteFunc(o.targetsKeyIDs(t), func(id string) bool { return id == trust.KeyID(trust.Key(stolen.Public().(ed25519.PublicKey))) })[0]
	doc.Signatures[1] = bytes.Replace(doc.Signatures[0], []byte(trust.KeyID(trust.Key(stolen.Public().(ed25519.PublicKey)))), []byte(other), 1)
	named, err := json.Marshal(doc)
	must(t, err)
	v.holdsOut(t, []string{trust.RoleTargets, "1 of the 2"}, o.forge(t, forgery{targets: named, targetsVersion: list.Version})...)
}

func TestAttack15_ADelegationOutOfItsPath(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	v := o.victim(t, "delegated")
	_, _, _, depot := o.second.parsed(t)
	for _, name := range []string{trust.ProductName("loose", "1.0", "1", "any"), trust.UpdateName("666"), trust.ConfName("")} {
		depot.Version++
		depot.Targets = map[string]trust.Target{name: trust.TargetOf([]byte(o.evil()))}
		v.holdsOut(t, []string{trust.Depot, name}, o.forge(t, forgery{depot: sign(t, depot, o.keys[trust.Depot]), depotVersion: depot.Version})...)
	}
	v.lies(t, serves("^/v1/updates$", []byte(`{"offered":["001","666"]}`)))
	v.works(t)
}
