package command

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/server/config"
)

// show prints the configuration that counts, as a file could hold it. The
// database's password and the token are left out.
func show(w io.Writer, cfg config.Config) error {
	data := cfg.Data
	if data == "" {
		var err error
		if data, err = config.DataFolder(); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "data = %q\n", data)
	fmt.Fprintf(w, "listen = %q\n", cmp.Or(cfg.Listen, config.DefaultListen))
	if cfg.Address != "" {
		fmt.Fprintf(w, "address = %q\n", cfg.Address)
	}
	if len(cfg.Names) > 0 {
		fmt.Fprintf(w, "names = [\"%s\"]\n", strings.Join(cfg.Names, `", "`))
	}
	if cfg.ID != "" {
		fmt.Fprintf(w, "id = %q\n", cfg.ID)
	}
	if u, err := url.Parse(cfg.Database); err == nil && cfg.Database != "" {
		fmt.Fprintf(w, "database = %q\n", u.Redacted())
	}
	for _, kv := range [][2]string{{"config_server", cfg.ConfigServer}, {"host_key_file", cfg.HostKeyFile}, {"ca_fingerprint", cfg.CAFingerprint}} {
		if kv[1] != "" {
			fmt.Fprintf(w, "%s = %q\n", kv[0], kv[1])
		}
	}
	if cfg.Replica != "" {
		fmt.Fprintf(w, "replica = %q\n", cfg.Replica)
	}
	if cfg.Depot != "" {
		fmt.Fprintf(w, "depot = %q\n", cfg.Depot)
	}
	if cfg.AuditKeep != 0 {
		fmt.Fprintf(w, "audit_keep = %d\n", cfg.AuditKeep)
	}
	fmt.Fprintf(w, "log_level = %q\n", strings.ToLower(cfg.LogLevel.String()))
	if cfg.LogFormat != "" {
		fmt.Fprintf(w, "log_format = %q\n", cfg.LogFormat)
	}
	if cfg.MetricsToken != "" {
		fmt.Fprintf(w, "metrics_token = %q\n", "xxxxx")
	}
	if cfg.Drain > 0 {
		fmt.Fprintf(w, "drain = %d\n", cfg.Drain)
	}
	if cfg.AllowSimulation {
		fmt.Fprintln(w, "allow_simulation = true")
	}
	if cfg.TunnelGrace > 0 {
		fmt.Fprintf(w, "tunnel_grace = %d\n", cfg.TunnelGrace)
	}
	showDNS(w, cfg.DNS)
	showScheduler(w, cfg.Scheduler)
	showMesh(w, cfg.Mesh)
	showACME(w, cfg.ACME)
	if err := showHostControl(w, cfg.HostControl); err != nil {
		return err
	}
	if cfg.Feed.Listen != "" {
		fmt.Fprintf(w, "\n[feed]\nlisten = %q\n", cfg.Feed.Listen)
	}
	showEnrolment(w, cfg.Enrolment)
	for _, t := range cfg.Tunnels {
		fmt.Fprintf(w, "\n[[tunnel]]\nname = %q\nremote = %q\n", t.Name, t.Remote)
		if len(t.Remotes) > 0 {
			fmt.Fprintf(w, "remotes = [\"%s\"]\n", strings.Join(t.Remotes, `", "`))
		}
		if t.Port != 0 {
			fmt.Fprintf(w, "port = %d\n", t.Port)
		}
		if t.Proto != "" {
			fmt.Fprintf(w, "proto = %q\n", t.Proto)
		}
		if t.MTU != 0 {
			fmt.Fprintf(w, "mtu = %d\n", t.MTU)
		}
		if len(t.Extra) > 0 {
			fmt.Fprintf(w, "extra = [\"%s\"]\n", strings.Join(t.Extra, `", "`))
		}
		if s, err := t.Server(); t.Serve && err == nil {
			fmt.Fprintf(w, "serve = true\ndevice = %q\nnetwork = %q\nkeepalive = [%d, %d]\nmax_clients = %d\napart = %v\n", s.Device, s.Network, s.Ping, s.Dead, s.MaxClients, !s.Between)
			if t.Listen != "" {
				fmt.Fprintf(w, "listen = %q\n", t.Listen)
			}
		}
	}
	return nil
}

func showEnrolment(w io.Writer, e config.Enrolment) {
	if e == (config.Enrolment{}) {
		return
	}
	fmt.Fprintln(w, "\n[enrolment]")
	for _, kv := range [][2]string{{"name", string(e.Name)}, {"domain", e.Domain}, {"first_boot", e.FirstBoot}} {
		if kv[1] != "" {
			fmt.Fprintf(w, "%s = %q\n", kv[0], kv[1])
		}
	}
	if e.Approve {
		fmt.Fprintln(w, "approve = true")
	}
}

func showACME(w io.Writer, a config.ACME) {
	if len(a.Names) == 0 {
		return
	}
	fmt.Fprintf(w, "\n[acme]\nnames = [\"%s\"]\n", strings.Join(a.Names, `", "`))
	for _, kv := range [][2]string{{"directory", a.Directory}, {"directory_ca", a.DirectoryCA}, {"email", a.Email}, {"http_listen", a.HTTPListen}} {
		if kv[1] != "" {
			fmt.Fprintf(w, "%s = %q\n", kv[0], kv[1])
		}
	}
	fmt.Fprintln(w, "accept_terms = true")
}

func showHostControl(w io.Writer, h config.HostControl) error {
	if h.Trust != "" || h.Port != 0 {
		fmt.Fprintln(w, "\n[host_control]")
	}
	if h.Trust != "" {
		fmt.Fprintf(w, "trust = %q\n", h.Trust)
	}
	if h.Port != 0 {
		fmt.Fprintf(w, "port = %d\n", h.Port)
	}
	if len(h.Broadcast) > 0 {
		fmt.Fprintln(w, "\n[host_control.broadcast]")
	}
	for _, network := range slices.Sorted(maps.Keys(h.Broadcast)) {
		fmt.Fprintf(w, "%q = [\"%s\"]\n", network, strings.Join(h.Broadcast[network], `", "`))
	}
	return nil
}
