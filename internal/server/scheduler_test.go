package server_test

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/config"
	"github.com/fernwerk/fernwerk/test/require"
)

// A report of a tunnel ends in a real OAR, and the methods show what shall be
// beside what is.
func TestScheduler(t *testing.T) {
	real := require.OAR(t)
	if err := real.Node("vnode-7-38.grid.example.org", netip.MustParseAddr("10.134.7.38")); err != nil {
		t.Fatal(err) // without an answer there, OAR would suspect it by itself
	}
	r := start(t, server.Config{Data: shortDir(t), TunnelGrace: 1,
		Scheduler: config.Scheduler{Use: []string{"oar"}, OAR: config.SchedulerTools{Prefix: real.Prefix, Limit: 30}}})
	c := r.client(t, "admin", password)
	nodeType := theType()
	nodeType["scheduler"], nodeType["resources"], nodeType["properties"] = "oar", "core", []any{"besteffort=YES"}
	call(t, c, "nodeType_insertObject", nodeType)
	const id = "client317.grid.example.org"
	call(t, c, "host_createOpsiClient", id)
	call(t, c, "auditHardwareOnHost_insertObject", map[string]any{"hostId": id, "hardwareClass": "PROCESSOR", "numberOfCores": int64(2)})
	list := func(method string) []any { return call(t, c, method).([]any) }
	is := func(word, why string) {
		t.Helper()
		var got map[string]any
		defer func() {
			if t.Failed() {
				t.Logf("it is %v: %v", got["is"], got["why"])
			}
		}()
		require.Until(t, word+", "+why, func() bool {
			all := list("resource_getList")
			if len(all) != 1 {
				return false
			}
			got = all[0].(map[string]any)
			return got["is"] == word && got["why"] == why
		})
	}
	since := time.Now().Unix()
	begun := time.Now()
	call(t, c, "presence_up", id, "openvpn", "1", since, "10.134.7.38", "192.0.2.57", "vnode")
	is("Alive", "")
	t.Logf("Alive %v after the report", time.Since(begun))
	if diff := list("resource_getDiff"); len(diff) != 0 {
		t.Errorf("%v", diff)
	}
	out, err := real.Run("oarnodes", "vnode-7-38.grid.example.org")
	if err != nil || strings.Count(out, "state : Alive\n") != 2 || strings.Count(out, "idhaltype=vnode") != 2 || !strings.Contains(out, "idhalcn="+id) || !strings.Contains(out, "besteffort=YES") {
		t.Errorf("%v %s", err, out)
	}
	// Somebody else changes what is told by the tunnel: it differs, until the server
	// looks again.
	if _, err := real.Run("oarnodesetting", "-h", "vnode-7-38.grid.example.org", "-p", "ip=10.134.7.39"); err != nil {
		t.Fatal(err)
	}
	require.Until(t, "the difference shows", func() bool {
		diff := list("resource_getDiff")
		return len(diff) == 1 && diff[0].(map[string]any)["why"] == `ip is "10.134.7.39" and shall be "10.134.7.38"`
	})
	call(t, c, "presence_down", id, "openvpn", "1")
	is("Absent (tunnel down)", "")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.URL()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", password)
	web := http.Client{Transport: &http.Transport{TLSClientConfig: r.trust(t)}}
	defer web.CloseIdleConnections()
	resp, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), "fernwerk_scheduler_waiting 0\n") || !strings.Contains(string(text), "fernwerk_scheduler_call_failures_total 0\n") || strings.Contains(string(text), "fernwerk_scheduler_calls_total 0\n") {
		t.Errorf("%v %s", err, text)
	}
}
