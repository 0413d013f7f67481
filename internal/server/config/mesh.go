package config

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
)

// DefaultMeshPort is the UDP port of the mesh's hub and nodes, beside OpenVPN's;
// DefaultMeshDevice its network interface; DefaultMeshRefresh how often nodes ask
// the server, in seconds.
const (
	DefaultMeshPort    = 4243
	DefaultMeshDevice  = "fwmesh"
	DefaultMeshRefresh = 60
)

// Mesh says whether nodes have a mesh, and how they find its hub.
type Mesh struct {
	Enabled bool `toml:"enabled"`
	// At are HOST or HOST:PORT under which nodes reach the hub by UDP; empty: the
	// server's own address.
	At []string `toml:"at"`
	// Port is the UDP port that the hub listens on.
	Port int `toml:"port"`
	// Refresh is how often nodes ask, in seconds: so long a revocation takes to
	// reach them.
	Refresh int `toml:"refresh"`
	// Device is the hub's network interface; NoInterface makes a hub without one,
	// which needs no rights and is no end of a tunnel itself.
	Device      string `toml:"device"`
	NoInterface bool   `toml:"no_interface"`
	// Program is the path of fernwerk-mesh; empty: it is beside fernwerkd, or where
	// the system looks for programs.
	Program string `toml:"program"`
	// Allow are the rules of the nodes' firewall; none: nodes of one type among
	// themselves.
	Allow []MeshRule `toml:"allow"`
}

// MeshRule lets connections in.
type MeshRule struct {
	// To and From are groups: a node type, a host group, or any.
	To    string `toml:"to"`
	From  string `toml:"from"`
	Proto string `toml:"proto"`
	Ports string `toml:"ports"`
}

// Rule is the rule with what counts without a word.
func (r MeshRule) Rule() mesh.Rule {
	out := mesh.Rule(r)
	for _, f := range []*string{&out.To, &out.From, &out.Proto, &out.Ports} {
		if *f == "" {
			*f = "any"
		}
	}
	return out
}

var deviceName = regexp.MustCompile(`^[a-z][a-z0-9]{0,14}$`)

func (m Mesh) check() (wrong []error) {
	bad := func(key, value, want string) {
		wrong = append(wrong, fmt.Errorf("mesh.%s: %q is not %s", key, value, want))
	}
	for _, at := range m.At {
		host, port := splitAddress(at, "1")
		if n, err := strconv.ParseUint(port, 10, 16); !isName(host) || err != nil || n == 0 {
			bad("at", at, "HOST or HOST:PORT as nodes reach the hub")
		}
	}
	if len(m.At) > mesh.MaxPlaces {
		wrong = append(wrong, fmt.Errorf("mesh.at: there are more than %d", mesh.MaxPlaces))
	}
	if m.Port < 0 || m.Port > 65535 {
		bad("port", strconv.Itoa(m.Port), "a UDP port")
	}
	if m.Refresh != 0 && (m.Refresh < 5 || m.Refresh > 3600) {
		bad("refresh", strconv.Itoa(m.Refresh), "a number of seconds from 5 to 3600")
	}
	if m.Device != "" && !deviceName.MatchString(m.Device) {
		bad("device", m.Device, "the name of a network interface such as fwmesh")
	}
	if m.Program != "" && !filepath.IsAbs(m.Program) {
		bad("program", m.Program, "an absolute path")
	}
	for _, r := range m.Allow {
		if err := r.Rule().Valid(); err != nil {
			wrong = append(wrong, fmt.Errorf("mesh.allow: %w", err))
		}
	}
	return wrong
}

// Places are where nodes find the hub of a server that is reached at reach.
func (m Mesh) Places(reach string) (all []string) {
	port := strconv.Itoa(m.UDP())
	at := m.At
	if len(at) == 0 {
		host, _ := splitAddress(reach, "")
		at = []string{host}
	}
	for _, a := range at {
		host, p := splitAddress(a, port)
		all = append(all, net.JoinHostPort(host, p))
	}
	return all
}

// UDP is the hub's port.
func (m Mesh) UDP() int {
	if m.Port == 0 {
		return DefaultMeshPort
	}
	return m.Port
}
