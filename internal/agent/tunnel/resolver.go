package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// The seed gave OpenVPN the script update-resolv-conf. Here the agent does its work:
// it hears from openvpn what the tunnel brings, checks it, and tells whoever resolves
// names on this machine. Nothing of it is ever part of a command's text.

// resolver tells the machine of a tunnel's DNS servers.
type resolver struct {
	tunnel string
	file   string // /etc/resolv.conf
}

const resolvConf = "/etc/resolv.conf"

// names is what a tunnel brings.
type names struct {
	device string
	dns    []netip.Addr
	search []string
}

const (
	most       = 8 // DNS servers, and domains
	tellWithin = 10 * time.Second
	maxFile    = 64 << 10
)

var (
	deviceName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,14}$`)
	domainName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$`)
)

// brought reads what openvpn was given, as it says when a tunnel is up. What is no
// address or no name is left out.
func brought(vars []string) (n names) {
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		if name == "dev" && deviceName.MatchString(value) {
			n.device = value
		}
		if !strings.HasPrefix(name, "foreign_option_") {
			continue
		}
		word := strings.Fields(value)
		if len(word) != 3 || word[0] != "dhcp-option" {
			continue
		}
		switch word[1] {
		case "DNS", "DNS6":
			if a, err := netip.ParseAddr(word[2]); err == nil && a.Zone() == "" && len(n.dns) < most && !slices.Contains(n.dns, a) {
				n.dns = append(n.dns, a)
			}
		case "DOMAIN", "DOMAIN-SEARCH":
			if d := strings.ToLower(word[2]); len(d) <= 253 && domainName.MatchString(d) && len(n.search) < most && !slices.Contains(n.search, d) {
				n.search = append(n.search, d)
			}
		}
	}
	return n
}

// choose is who is told: the rule, or the first that the machine has.
func choose(rule string) string {
	if rule != "" && rule != "auto" {
		return rule
	}
	if _, err := os.Stat("/run/systemd/resolve"); err == nil {
		if _, err := exec.LookPath("resolvectl"); err == nil {
			return "resolvectl"
		}
	}
	if _, err := exec.LookPath("resolvconf"); err == nil {
		return "resolvconf"
	}
	return "file"
}

// apply tells the machine, and returns who was told.
func (r resolver) apply(ctx context.Context, rule string, n names) (by string, err error) {
	if len(n.dns) == 0 && len(n.search) == 0 || n.device == "" {
		return "", nil
	}
	by = choose(rule)
	switch by {
	case "none":
		return "", nil
	case "resolvectl":
		dns := []string{"dns", n.device}
		for _, a := range n.dns {
			dns = append(dns, a.String())
		}
		err = tell(ctx, "", "resolvectl", dns...)
		if err == nil && len(n.search) > 0 {
			err = tell(ctx, "", "resolvectl", append([]string{"domain", n.device}, n.search...)...)
		}
	case "resolvconf":
		err = tell(ctx, n.lines(), "resolvconf", "-a", n.device+".fernwerk")
	default:
		err = r.edit(n.lines())
	}
	if err != nil {
		return "", fmt.Errorf("cannot use the DNS servers of tunnel %s: %w", r.tunnel, err)
	}
	return by, nil
}

// remove takes it back.
func (r resolver) remove(ctx context.Context, by, device string) error {
	if !deviceName.MatchString(device) {
		device = ""
	}
	var err error
	switch {
	case by == "resolvectl" && device != "":
		if _, gone := os.Stat("/sys/class/net/" + device); gone == nil { // else it went with the device
			err = tell(ctx, "", "resolvectl", "revert", device)
		}
	case by == "resolvconf" && device != "":
		err = tell(ctx, "", "resolvconf", "-d", device+".fernwerk")
	case by == "file":
		err = r.edit("")
	}
	if err != nil {
		return fmt.Errorf("cannot forget the DNS servers of tunnel %s: %w", r.tunnel, err)
	}
	return nil
}

// lines are what the tunnel brings, in the form of resolv.conf.
func (n names) lines() string {
	var b strings.Builder
	for _, a := range n.dns {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	if len(n.search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(n.search, " "))
	}
	return b.String()
}

func tell(ctx context.Context, input, program string, args ...string) error {
	ctx, stop := context.WithTimeout(ctx, tellWithin)
	defer stop()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %.200q", program, err, out)
	}
	return nil
}

// edit puts lines into resolv.conf between two marks, before everything else, or takes
// them out. What others wrote, also meanwhile, stays.
func (r resolver) edit(lines string) error {
	begin, end := "# fernwerk-agent: tunnel "+r.tunnel+"\n", "# fernwerk-agent: end of tunnel "+r.tunnel+"\n"
	is, err := os.ReadFile(r.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(is) > maxFile {
		return fmt.Errorf("%s has %d bytes", r.file, len(is))
	}
	text := string(is)
	if before, rest, found := strings.Cut(text, begin); found {
		if _, after, found := strings.Cut(rest, end); found {
			text = before + after
		}
	}
	if lines != "" {
		text = begin + lines + end + text
	}
	if text == string(is) {
		return nil
	}
	err = atomicfile.WriteFile(r.file, []byte(text), 0o644)
	if errors.Is(err, syscall.EBUSY) { // it is mounted there, as in a container: only its content can be another
		err = os.WriteFile(r.file, []byte(text), 0o644)
	}
	return err
}
