package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Reach is HOST:PORT by which clients reach a server that listens on addr: the
// configured address, else what it listens on, else the machine's full name or
// its first address.
func (c *Config) Reach(addr net.Addr) string {
	host, port, _ := net.SplitHostPort(addr.String())
	if c.Address != "" {
		host, port = splitAddress(c.Address, port)
		return net.JoinHostPort(host, port)
	}
	asked, _, _ := net.SplitHostPort(cmp.Or(c.Listen, DefaultListen))
	if ip := net.ParseIP(asked); asked != "" && (ip == nil || !ip.IsUnspecified()) {
		return net.JoinHostPort(asked, port)
	}
	if name := machine(); strings.Contains(name, ".") {
		host = name
	} else {
		host = cmp.Or(outwardAddress(), "localhost")
	}
	return net.JoinHostPort(host, port)
}

// CertificateNames are all names under which the server may be called.
func (c *Config) CertificateNames(reach string) []string {
	host, _, _ := net.SplitHostPort(reach)
	listen, _, _ := net.SplitHostPort(cmp.Or(c.Listen, DefaultListen))
	names := append([]string{host, listen, machine(), "localhost", "127.0.0.1", "::1"}, slices.Concat(c.Names, c.ACME.Names)...)
	var out []string
	for _, n := range names {
		if ip := net.ParseIP(n); isName(n) && (ip == nil || !ip.IsUnspecified()) && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// HostID is the id of a config server on this machine at its first start.
func (c *Config) HostID() string {
	if c.ID != "" {
		return c.ID
	}
	name := machine()
	if fleet.ValidHostID(name) == nil {
		return name
	}
	first, _, _ := strings.Cut(name, ".")
	if id := first + ".fernwerk.internal"; fleet.ValidHostID(id) == nil {
		return id
	}
	return "server.fernwerk.internal"
}

// Name is what this server calls itself in its answers and to its neighbours:
// the configured name, else the machine's first name and a sign of the data
// folder, so that two on one machine differ and a restart changes nothing.
func (c *Config) Name() string {
	if c.Replica != "" {
		return c.Replica
	}
	first, _, _ := strings.Cut(machine(), ".")
	if !replicaName.MatchString(first) || len(first) > 40 {
		first = "replica"
	}
	sum := sha256.Sum256([]byte(c.Place()))
	return first + "-" + hex.EncodeToString(sum[:3])
}

// Place is where this server lives: no two that run have the same.
func (c *Config) Place() string { return machine() + ":" + c.Data }

// DepotFolder is the folder of products.
func (c *Config) DepotFolder() string { return cmp.Or(c.Depot, filepath.Join(c.Data, "depot")) }

// machine is the machine's name in lower case, as it knows itself.
func machine() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return strings.TrimSuffix(strings.ToLower(name), ".")
}

// outwardAddress is the first address of the machine that others could use.
func outwardAddress() string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}
