// Package config says what an administrator can set of fernwerkd, reads it from
// a TOML file and checks it.
//
// There is no need for a file: every key has a default that works. The same
// loader serves `fernwerkd serve` and `fernwerkd check-config`, so what the
// second accepts the first will not refuse.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/internal/kit/strictconf"
)

// DefaultListen is all addresses of the machine, and opsi's port.
const DefaultListen = ":4447"

// Config is the configuration of a server. The zero value of a field means its
// default.
type Config struct {
	// Data is the folder that holds everything, made if it is missing.
	Data string `toml:"data"`
	// Listen is HOST:PORT; without HOST all addresses, port 0 takes a free one.
	Listen string `toml:"listen"`
	// Address is HOST or HOST:PORT under which clients reach the server, where
	// that is not what it listens on.
	Address string `toml:"address"`
	// Names are further names or addresses for the server's certificate.
	Names []string `toml:"names"`
	// ID is the host id of the config server. It counts at the first start only.
	ID string `toml:"id"`
	// Database is a postgres:// URL; empty is a SQLite file in Data.
	Database string `toml:"database"`
	// ConfigServer is the https address of the config server whose depot server
	// this is; empty: it is a config server itself.
	ConfigServer string `toml:"config_server"`
	// HostKeyFile holds the depot server's host key (mode 0600); empty is
	// host.key in Data.
	HostKeyFile string `toml:"host_key_file"`
	// CAFingerprint is the SHA-256 of the config server's authority.
	CAFingerprint string `toml:"ca_fingerprint"`
	// AuditKeep is how many days the journal is kept; 0 keeps all of it.
	AuditKeep int `toml:"audit_keep"`
	// HostControl says how hosts are reached that are not on the message bus.
	HostControl HostControl `toml:"host_control"`
	// Feed says where bare nodes find the feed.
	Feed Feed `toml:"feed"`
	// ACME says how the server's public name gets a public certificate.
	ACME ACME `toml:"acme"`
	// Enrolment says how machines join.
	Enrolment Enrolment `toml:"enrolment"`
	// DNS says for which names the server answers.
	DNS DNS `toml:"dns"`
	// Scheduler says which schedulers are kept right about nodes.
	Scheduler Scheduler `toml:"scheduler"`
	// Mesh says whether nodes have a mesh.
	Mesh Mesh `toml:"mesh"`
	// TunnelGrace is for how many seconds a node counts as up after its tunnel ended.
	TunnelGrace int `toml:"tunnel_grace"`
	// Tunnels are those whose credentials hosts get.
	Tunnels []Tunnel `toml:"tunnel"`
	// Replica names this server among those on one database; see Name.
	Replica string `toml:"replica"`
	// Depot is the folder of products; empty is Data/depot. Servers on one
	// database name one folder that all of them reach.
	Depot string `toml:"depot"`
	// LogLevel is debug, info, warn or error.
	LogLevel slog.Level `toml:"log_level"`
	// LogFormat is text or json.
	LogFormat string `toml:"log_format"`
	// MetricsToken lets its bearer read /metrics and what /healthz says to
	// administrators; without it only who logs in.
	MetricsToken string `toml:"metrics_token"`
	// Drain is how many seconds the server says at /healthz that it stops before
	// it takes no more connections.
	Drain int `toml:"drain"`
	// AllowSimulation lets administrators load the server with hosts that are not
	// there. The server says so to whoever asks; it changes nothing else.
	AllowSimulation bool `toml:"allow_simulation"`

	// AdminPassword is for the first administrator; empty has one made.
	AdminPassword string `toml:"-"`
	// ShowPassword gets the made password of the first administrator before it
	// is stored; nil writes it to standard error.
	ShowPassword func(name, password string) error `toml:"-"`
	// Guard is the program with its first arguments that is a guard (package deadman);
	// nil for none.
	Guard []string `toml:"-"`
	// Version of the program.
	Version string `toml:"-"`
	// Log gets what happens; nil is silent.
	Log *slog.Logger `toml:"-"`
	// Now is the clock; nil is the system's.
	Now func() time.Time `toml:"-"`
}

// Load reads a file over cfg and checks the whole. Mistakes name the file, the
// line and the nearest right key.
func Load(path string, cfg *Config) error {
	if err := strictconf.Load(path, cfg); err != nil {
		if errors.Is(err, strictconf.ErrMissing) {
			return fleet.WithHint(err, "without --config the defaults count; --config wants an existing file")
		}
		return err
	}
	if err := cfg.Check(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Check checks the values and says all that is wrong.
func (c *Config) Check() error {
	var wrong []error
	bad := func(key, value, want string) {
		wrong = append(wrong, fmt.Errorf("%s: %q is not %s", key, value, want))
	}
	if _, err := splitPort(cmp.Or(c.Listen, DefaultListen)); err != nil {
		bad("listen", c.Listen, "HOST:PORT, such as 127.0.0.1:4447 or :4447")
	}
	if c.Address != "" {
		if host, _ := splitAddress(c.Address, ""); !isName(host) {
			bad("address", c.Address, "HOST or HOST:PORT as clients reach the server")
		}
	}
	for _, n := range c.Names {
		if !isName(n) {
			bad("names", n, "a DNS name or an IP address")
		}
	}
	if c.ID != "" && fleet.ValidHostID(c.ID) != nil {
		bad("id", c.ID, "a host id: a full name of three labels, such as server.example.org, in lower case")
	}
	if c.Database != "" {
		if u, err := url.Parse(c.Database); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
			wrong = append(wrong, errors.New("database: it is not a postgres://... URL (leave it out for SQLite)"))
		}
	}
	if c.Replica != "" && !replicaName.MatchString(c.Replica) {
		bad("replica", c.Replica, "a name of at most 63 letters, digits, dots and hyphens")
	}
	if c.Depot != "" && !filepath.IsAbs(c.Depot) {
		bad("depot", c.Depot, "an absolute path")
	}
	if c.LogFormat != "" && c.LogFormat != "text" && c.LogFormat != "json" {
		bad("log_format", c.LogFormat, "text or json")
	}
	if c.MetricsToken != "" && len(c.MetricsToken) < shortestToken {
		wrong = append(wrong, fmt.Errorf("metrics_token: it has fewer than %d characters", shortestToken))
	}
	if c.Drain < 0 || c.Drain > longestDrain {
		bad("drain", strconv.Itoa(c.Drain), fmt.Sprintf("a number of seconds up to %d", longestDrain))
	}
	if c.AuditKeep != 0 && c.AuditKeep < LeastAuditKeep {
		bad("audit_keep", strconv.Itoa(c.AuditKeep), fmt.Sprintf("0 or at least %d days", LeastAuditKeep))
	}
	wrong = append(wrong, c.HostControl.check()...)
	wrong = append(wrong, c.Feed.check()...)
	wrong = append(wrong, checkTunnels(c.Tunnels)...)
	wrong = append(wrong, c.ACME.check()...)
	wrong = append(wrong, c.Enrolment.check()...)
	wrong = append(wrong, c.DNS.check()...)
	wrong = append(wrong, c.Mesh.check()...)
	wrong = append(wrong, c.Scheduler.check()...)
	if c.TunnelGrace < 0 || c.TunnelGrace > longestGrace {
		bad("tunnel_grace", strconv.Itoa(c.TunnelGrace), fmt.Sprintf("a number of seconds up to %d", longestGrace))
	}
	wrong = append(wrong, c.checkDepot()...)
	return errors.Join(wrong...)
}

// shortestToken is of a secret that a program made; longestDrain, in seconds, is
// inside the time that service managers give.
const (
	shortestToken = 16
	longestDrain  = 60
	longestGrace  = 3600 // seconds
)

var replicaName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$`)

// checkDepot checks what makes a server a depot server.
func (c *Config) checkDepot() (wrong []error) {
	if c.ConfigServer == "" {
		for key, value := range map[string]string{"host_key_file": c.HostKeyFile, "ca_fingerprint": c.CAFingerprint} {
			if value != "" {
				wrong = append(wrong, fmt.Errorf("%s: it is for a depot server: config_server is missing", key))
			}
		}
		return wrong
	}
	if u, err := url.Parse(c.ConfigServer); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		wrong = append(wrong, fmt.Errorf("config_server: %q is not https://HOST:PORT", c.ConfigServer))
	}
	if c.ID == "" {
		wrong = append(wrong, errors.New("id: a depot server needs the host id by which its config server knows it"))
	}
	if _, err := pin.Config("", nil, c.CAFingerprint); err != nil || c.CAFingerprint == "" {
		wrong = append(wrong, errors.New("ca_fingerprint: a depot server needs the SHA-256 of its config server's authority, in hexadecimal"))
	}
	if c.Feed.Listen != "" {
		wrong = append(wrong, errors.New("feed.listen: the config server has the feed, a depot server has none"))
	}
	if len(c.ACME.Names) > 0 {
		wrong = append(wrong, errors.New("acme: a depot server has no public name, people use its config server"))
	}
	if c.Database != "" {
		wrong = append(wrong, errors.New("database: a depot server has none, its rows are at the config server"))
	}
	return wrong
}

// LeastAuditKeep is the fewest days that the journal may be kept: a client that
// was away longer gets everything anew.
const LeastAuditKeep = 30

func splitPort(hostPort string) (host string, err error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return host, err
}

var dnsName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$`)

func isName(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return len(s) <= 253 && dnsName.MatchString(s)
}

// splitAddress splits HOST or HOST:PORT; port is what counts without one.
func splitAddress(address, port string) (string, string) {
	if host, p, err := net.SplitHostPort(address); err == nil {
		return host, p
	}
	return strings.Trim(address, "[]"), port
}

// DataFolder is where the data goes without a word: /var/lib/fernwerk for root,
// else the user's own data folder (XDG Base Directory Specification).
func DataFolder() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/fernwerk", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "fernwerk"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fleet.WithHint(fmt.Errorf("cannot find a data folder: %w", err), "name one with --data")
	}
	return filepath.Join(home, ".local", "share", "fernwerk"), nil
}
