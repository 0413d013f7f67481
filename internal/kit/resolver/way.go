package resolver

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// The ways to tell a machine.
const (
	Auto       = "auto" // the first of these that the machine has
	Resolvectl = "resolvectl"
	Resolvconf = "resolvconf"
	File       = "file"
	None       = "none"
)

const tellWithin = 10 * time.Second

// choose is who is told: the rule, or the first that the machine has.
func choose(rule string) string {
	if rule != "" && rule != Auto {
		return rule
	}
	if runtime.GOOS != "linux" {
		return None // OpenVPN and the system do it themselves
	}
	if _, err := os.Stat("/run/systemd/resolve"); err == nil {
		if _, err := exec.LookPath("resolvectl"); err == nil {
			return Resolvectl
		}
	}
	if _, err := exec.LookPath("resolvconf"); err == nil {
		return Resolvconf
	}
	return File
}

// tell tells of a part that is in the state.
func (r Resolver) tell(ctx context.Context, s *state, p Noted) error {
	switch p.By {
	case Resolvectl:
		return resolved(ctx, p.Part)
	case Resolvconf:
		return run(ctx, p.lines(), "resolvconf", "-a", p.record())
	case File:
		return r.edit(s)
	}
	return fmt.Errorf("%q is no way to tell of them", p.By)
}

// takeBack takes back a part of the state.
func (r Resolver) takeBack(ctx context.Context, s *state, p Noted) error {
	s.drop(p.Owner)
	var err error
	switch p.By {
	case Resolvectl:
		if _, gone := net.InterfaceByName(p.Device); gone == nil { // else it went with the device
			err = run(ctx, "", "resolvectl", "revert", p.Device)
		}
	case Resolvconf:
		err = run(ctx, "", "resolvconf", "-d", p.record())
		if err != nil && strings.Contains(err.Error(), "No resolv.conf for interface") { // openresolv of what was never told
			err = nil
		}
	case File:
		err = r.edit(s)
	}
	if err != nil {
		return err // it stays noted
	}
	return r.save(*s)
}

// resolved tells systemd-resolved. An empty word means none; no word would ask what
// there is.
func resolved(ctx context.Context, p Part) error {
	servers, domains := []string{"dns", p.Device}, append([]string{"domain", p.Device}, p.Search...)
	for _, a := range p.Servers {
		servers = append(servers, a.String())
	}
	for _, args := range []*[]string{&servers, &domains} {
		if len(*args) == 2 {
			*args = append(*args, "")
		}
	}
	if err := run(ctx, "", "resolvectl", servers...); err != nil {
		return err
	}
	return run(ctx, "", "resolvectl", domains...)
}

// record is the part's name for resolvconf: an interface, and who says it.
func (p Part) record() string {
	return p.Device + ".fernwerk-" + strings.NewReplacer(" ", "-", ".", "-").Replace(p.Owner)
}

// lines are a part in the form of resolv.conf.
func (p Part) lines() string {
	var b strings.Builder
	for _, a := range p.Servers {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	if len(p.Search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(p.Search, " "))
	}
	return b.String()
}

func run(ctx context.Context, input, program string, args ...string) error {
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
