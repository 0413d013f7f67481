package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// as runs a program of a node, which asks whom the node's resolv.conf names.
func (n *tunnelNet) as(node string, argv ...string) string {
	out, err := n.enter(n.t.Context(), node, append([]string{"unshare", "-m", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, filepath.Join(n.dir, node+".resolv")}, argv...)...).CombinedOutput()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// dig is what a node is answered through the tunnel, "" for nothing.
func (n *tunnelNet) dig(node string, args ...string) string {
	out, err := n.enter(n.t.Context(), node, append([]string{"dig", "+short", "+time=1", "+tries=1", "@10.134.0.1"}, args...)...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// bytes are those that went through a device of a namespace, in both directions.
func (n *tunnelNet) bytes(space, device string) (all int64) {
	n.t.Helper()
	var links []struct {
		Stats64 struct{ Rx, Tx struct{ Bytes int64 } }
	}
	must(n.t, json.Unmarshal([]byte(n.in(space, "ip", "-j", "-s", "link", "show", device)), &links))
	return links[0].Stats64.Rx.Bytes + links[0].Stats64.Tx.Bytes
}

// transfer sends so many megabytes from one node to a name or an address of another, and
// returns the bits in a second.
func (n *tunnelNet) transfer(from, to, name string, megabytes int) float64 {
	n.t.Helper()
	server := n.enter(n.t.Context(), to, "iperf3", "-s", "-1")
	must(n.t, server.Start())
	defer func() {
		server.Process.Kill()
		server.Wait()
	}()
	var out string
	n.until(10*time.Second, "a transfer from "+from+" to "+name, func() bool {
		out = n.as(from, "iperf3", "-J", "-c", name, "-n", fmt.Sprint(megabytes, "M"))
		return out != ""
	})
	var got struct {
		End struct {
			SumReceived struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	must(n.t, json.Unmarshal([]byte(out), &got))
	return got.End.SumReceived.BitsPerSecond
}

// cache starts a resolver of the node's own, which keeps answers as long as they say.
func (n *tunnelNet) cache(node string) (ask func(name string) string) {
	n.t.Helper()
	dir := filepath.Join(n.dir, node+".named")
	must(n.t, os.Mkdir(dir, 0o755))
	conf := filepath.Join(dir, "named.conf")
	must(n.t, os.WriteFile(conf, []byte(`options { directory "`+dir+`"; forwarders { 10.134.0.1; }; forward only; listen-on { 127.0.0.1; }; listen-on-v6 { none; };
  recursion yes; allow-query { any; }; dnssec-validation no; pid-file none; session-keyfile none; empty-zones-enable no; };
controls { };
`), 0o644))
	n.background(n.enter(n.t.Context(), node, "named", "-f", "-n", "1", "-c", conf), node+".named.log")
	return func(name string) string {
		out, err := n.enter(n.t.Context(), node, "dig", "+short", "+time=1", "+tries=1", "@127.0.0.1", name).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
}
