package config

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/mail"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// DefaultDNS is all addresses of the machine, and the port of DNS.
const DefaultDNS = ":53"

// DNS says for which names of nodes the server answers, and which other servers
// it tells them.
type DNS struct {
	// Zone is the domain that the server answers for; empty: it answers for none.
	Zone string `toml:"zone"`
	// Listen is HOST:PORT, UDP and TCP.
	Listen string `toml:"listen"`
	// Nameservers are the names in the zone's NS records; the first is the primary
	// one.
	Nameservers []string `toml:"nameservers"`
	// Contact is the mail address of who is in charge.
	Contact string `toml:"contact"`
	// Names are further names of the zone with their addresses, Aliases names for
	// names. A name without the zone is relative to it; @ is the zone itself.
	Names   map[string][]string `toml:"names"`
	Aliases map[string]string   `toml:"aliases"`
	// Transfer lists networks that may transfer the zones.
	Transfer []string `toml:"transfer"`
	// Keys are shared keys (TSIG) by name: who signs with one may transfer the zones.
	Keys map[string]DNSKey `toml:"keys"`
	// Update lists servers that are told the names by dynamic updates.
	Update []DNSUpdate `toml:"update"`
}

// DNSKey is a shared key.
type DNSKey struct {
	// Algorithm is hmac-sha256 (the default), hmac-sha384 or hmac-sha512.
	Algorithm string `toml:"algorithm"`
	// SecretFile holds the secret in base64, readable by its owner only.
	SecretFile string `toml:"secret_file"`
}

// DNSUpdate is a server that is there already.
type DNSUpdate struct {
	// Server is HOST or HOST:PORT.
	Server string `toml:"server"`
	// Zone is the domain there, Reverse its reverse zones.
	Zone    string   `toml:"zone"`
	Reverse []string `toml:"reverse"`
	// Key is the name of the key in Keys.
	Key string `toml:"key"`
}

func (d DNS) check() (wrong []error) {
	bad := func(key, value, want string) {
		wrong = append(wrong, fmt.Errorf("dns.%s: %q is not %s", key, value, want))
	}
	domain := func(key, value string) {
		if node.ValidDomain(value) != nil {
			bad(key, value, "a domain such as grid.example.org, in lower case, without a dot at the end")
		}
	}
	if d.Zone == "" {
		if d.Listen != "" || len(d.Names)+len(d.Aliases)+len(d.Nameservers)+len(d.Transfer) > 0 {
			wrong = append(wrong, fmt.Errorf("dns.zone: it is missing, so the rest of [dns] has no effect"))
		}
	} else {
		domain("zone", d.Zone)
	}
	if _, err := splitPort(cmp.Or(d.Listen, DefaultDNS)); err != nil {
		bad("listen", d.Listen, "HOST:PORT, such as 10.134.0.1:53")
	}
	for _, n := range d.Nameservers {
		domain("nameservers", n)
	}
	if d.Contact != "" {
		if a, err := mail.ParseAddress(d.Contact); err != nil || a.Address != d.Contact || strings.ContainsAny(d.Contact, `"\ `) {
			bad("contact", d.Contact, "a mail address")
		}
	}
	for _, t := range d.Transfer {
		if p, err := netip.ParsePrefix(t); err != nil || p != p.Masked() {
			bad("transfer", t, "a network such as 192.0.2.0/24")
		}
	}
	_, _, more := d.Static()
	wrong = append(wrong, more...)
	for name, k := range d.Keys {
		domain("keys", name)
		if !slices.Contains([]string{"", "hmac-sha256", "hmac-sha384", "hmac-sha512"}, k.Algorithm) {
			bad("keys."+name+".algorithm", k.Algorithm, "hmac-sha256, hmac-sha384 or hmac-sha512")
		}
		if k.SecretFile == "" {
			wrong = append(wrong, fmt.Errorf("dns.keys.%s.secret_file: it is missing", name))
		}
	}
	for _, u := range d.Update {
		domain("update.zone", u.Zone)
		for _, r := range u.Reverse {
			domain("update.reverse", r)
		}
		if host, port := splitAddress(u.Server, "53"); !isName(host) || port == "" {
			bad("update.server", u.Server, "HOST or HOST:PORT")
		}
		if _, ok := d.Keys[u.Key]; !ok {
			bad("update.key", u.Key, "a key of [dns.keys]: updates are signed")
		}
	}
	return wrong
}

// full is a name of the zone in full.
func (d DNS) full(name string) string {
	switch {
	case name == "@":
		return d.Zone
	case name == d.Zone || strings.HasSuffix(name, "."+d.Zone):
		return name
	}
	return name + "." + d.Zone
}

// Static are the names and aliases in full, and what is wrong with them. A name
// stands for one thing.
func (d DNS) Static() (names map[string][]netip.Addr, aliases map[string]string, wrong []error) {
	names, aliases = map[string][]netip.Addr{}, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(d.Names)) {
		full := d.full(name)
		if node.ValidDomain(full) != nil {
			wrong = append(wrong, fmt.Errorf("dns.names: %q is not a name", name))
		}
		if _, twice := names[full]; twice {
			wrong = append(wrong, fmt.Errorf("dns.names: %s is there twice", full))
		}
		names[full] = []netip.Addr{}
		for _, text := range d.Names[name] {
			a, err := netip.ParseAddr(text)
			if err != nil || a.Zone() != "" || a.Is4In6() {
				wrong = append(wrong, fmt.Errorf("dns.names: %q is not an address", text))
			}
			names[full] = append(names[full], a)
		}
		if len(names[full]) == 0 {
			wrong = append(wrong, fmt.Errorf("dns.names: %s has no address", full))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Aliases)) {
		full, to := d.full(name), d.Aliases[name]
		if !strings.HasSuffix(to, ".") {
			to = d.full(to)
		}
		to = strings.TrimSuffix(to, ".")
		_, twice := aliases[full]
		_, taken := names[full]
		switch {
		case node.ValidDomain(full) != nil || node.ValidDomain(to) != nil || full == d.Zone:
			wrong = append(wrong, fmt.Errorf("dns.aliases: %q = %q is not an alias of a name", name, d.Aliases[name]))
		case twice || taken:
			wrong = append(wrong, fmt.Errorf("dns.aliases: %s is taken twice", full))
		case full == to:
			wrong = append(wrong, fmt.Errorf("dns.aliases: %s is an alias of itself", full))
		}
		aliases[full] = to
	}
	return names, aliases, wrong
}

// most bytes that a file with a secret has.
const maxSecret = 4096

// Secret reads a key's secret.
func (k DNSKey) Secret() (string, error) {
	fail := func(err error) (string, error) { return "", fmt.Errorf("cannot use DNS key: %w", err) }
	f, err := os.Open(k.SecretFile)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fail(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fail(fleet.WithHint(fleet.Errorf(fleet.Denied, "others may read %s", k.SecretFile), "chmod 600 %s", k.SecretFile))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return fail(err)
	}
	text := strings.TrimSpace(string(data))
	if raw, err := base64.StdEncoding.DecodeString(text); err != nil || len(raw) < 16 {
		return fail(fleet.WithHint(fleet.Errorf(fleet.Invalid, "%s does not hold base64 of at least 16 bytes", k.SecretFile), "make one with: openssl rand -base64 32"))
	}
	return text, nil
}

// Address is the server's HOST:PORT.
func (u DNSUpdate) Address() string { return net.JoinHostPort(splitAddress(u.Server, "53")) }
