package e2e

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// witness has OAR's tools note who calls them. It is in OAR's namespaces only.
func (n *newcomers) witness(tools ...string) {
	n.t.Helper()
	n.beside(append([]string{"sh", "-ec", `cd "$0"; mkdir calls; for tool; do
	cp /dev/null "calls/$tool"; mount --bind "/usr/sbin/$tool" "calls/$tool"
	printf '#!/bin/sh\necho "${BY-somebody}: %s $*" >>%s/calls/log\nexec %s/calls/%s "$@"\n' "$tool" "$PWD" "$PWD" "$tool" >"calls/by-$tool"
	chmod 755 "calls/by-$tool"; mount --bind "calls/by-$tool" "/usr/sbin/$tool"
done; cp /dev/null calls/log; chmod 666 calls/log`, n.oar.Dir}, tools...)...)
}

// callers are who called tools that change OAR, and how often.
func (n *newcomers) callers() map[string]int {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.oar.Dir, "calls", "log"))
	must(n.t, err)
	all := map[string]int{}
	for line := range strings.Lines(string(text)) {
		who, call, _ := strings.Cut(line, ": ")
		if all[who]++; who != "fernwerkd" {
			n.t.Logf("%s called %s", who, call)
		}
	}
	return all
}

// properties are what OAR says of a node.
func (n *newcomers) properties(name string) (state string, all map[string]string) {
	out, _ := n.oar.Run("oarnodes", name)
	_, state, _ = strings.Cut(out, "state : ")
	state, _, _ = strings.Cut(state, "\n")
	_, line, _ := strings.Cut(out, "properties : ")
	all = map[string]string{}
	for property := range strings.SplitSeq(strings.TrimSpace(line), ", ") {
		key, value, _ := strings.Cut(property, "=")
		all[key] = value
	}
	return state, all
}

// is waits until OAR says a state of a node, and how long that took.
func (n *newcomers) is(name, want string) time.Duration {
	n.t.Helper()
	return n.until(time.Minute, name+" is "+want, func() bool {
		state, _ := n.properties(name)
		return state == want
	})
}

// submit gives OAR a job for a node; more are arguments of oarsub.
func (n *newcomers) submit(node, script string, more ...string) (id string) {
	n.t.Helper()
	id, err := n.oar.Submit(append(more, "-l", "/resource_id=1,walltime=0:10:00", "-p", "network_address = '"+n.names[node]+"'", script)...)
	must(n.t, err)
	return id
}

// job is the state of a job.
func (n *newcomers) job(id string) string {
	out, _ := n.oar.Run("oarstat", "-s", "-j", id)
	_, state, _ := strings.Cut(strings.TrimSpace(out), ": ")
	return state
}

// runs waits until a job runs.
func (n *newcomers) runs(id string) {
	n.t.Helper()
	n.until(time.Minute, "job "+id+" runs", func() bool { return n.job(id) == "Running" })
}

// output is what a job wrote until it ended well.
func (n *newcomers) output(id string) string {
	n.t.Helper()
	n.until(2*time.Minute, "job "+id+" ends", func() bool {
		state := n.job(id)
		if state == "Error" {
			detail, _ := n.oar.Run("oarstat", "-f", "-j", id)
			n.t.Fatalf("the job failed: %s", detail)
		}
		return state == "Terminated"
	})
	out, err := os.ReadFile(filepath.Join(n.oar.Dir, "job", "OAR."+id+".stdout"))
	must(n.t, err)
	return string(out)
}

// states are those that a node had in OAR one after another, and how many of them
// OAR itself decided about.
func (n *newcomers) states(name string) (all []string, own int) {
	n.t.Helper()
	u, err := url.Parse(n.oar.Database.URL)
	must(n.t, err)
	u.Path = "/oar"
	conn, err := pgx.Connect(n.t.Context(), u.String())
	must(n.t, err)
	defer conn.Close(n.t.Context())
	rows, err := conn.Query(n.t.Context(), `select l.value, l.finaud_decision from resource_logs l join resources r using (resource_id)
		where l.attribute = 'state' and r.network_address = $1 order by l.resource_log_id`, name)
	must(n.t, err)
	for rows.Next() {
		var state, decision string
		must(n.t, rows.Scan(&state, &decision))
		all = append(all, state)
		if decision == "YES" {
			own++
		}
	}
	must(n.t, rows.Err())
	return all, own
}
