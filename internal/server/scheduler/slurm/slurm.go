// Package slurm keeps the dynamic nodes of a real Slurm right, by scontrol.
//
// A dynamic node adds itself: its slurmd (started with -Z) registers as soon as
// the tunnel lets it. So there is nothing to add here, and a node that has not
// registered yet differs in nothing. What the driver does is what slurmd cannot:
// it takes a node out at once when its tunnel ends, with a reason, where Slurm
// alone would go on for SlurmdTimeout, and it says which node that is: the
// session's number and the tunnel's address in extra, host, type and client in
// comment, the address as NodeAddr, so that Slurm speaks to the node through the
// tunnel and nowhere else. One call reads the whole fleet, one changes a node.
//
// Who decides is as with OAR: up is said once a session; a node that Slurm or its
// administrator takes down within a session stays down until the next, and one
// that is drained stays drained.
//
// What a node needs, its slurm.conf and the munge key, is the administrator's to
// bring there: Fernwerk does not carry them.
package slurm

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/scheduler/tool"
)

// Name is the driver's.
const Name = "slurm"

// reason marks what this driver took down.
const reason = "tunnel-down"

// Driver is for one goroutine.
type Driver struct {
	// Tools runs scontrol, as root or SlurmUser.
	Tools tool.Runner
	// Bin is the folder of the tools; "" leaves it to PATH.
	Bin string

	missing bool // a node that is up has not registered
}

// settle is how long a node gets to register.
const settle = 10 * time.Second

// Again is soon while a node is up and Slurm does not know it.
func (d *Driver) Again() time.Duration {
	if d.missing {
		return settle
	}
	return 0
}

// Name is the driver's.
func (d *Driver) Name() string { return Name }

// Wants chooses the nodes of types that are for Slurm.
func (d *Driver) Wants(n node.Node) bool { return n.Scheduler == Name }

func (d *Driver) scontrol(ctx context.Context, args ...string) (tool.Result, error) {
	name := "scontrol"
	if d.Bin != "" {
		name = strings.TrimSuffix(d.Bin, "/") + "/" + name
	}
	return d.Tools.Run(ctx, append([]string{name}, args...)...)
}

// Read is all nodes, by NodeName.
func (d *Driver) Read(ctx context.Context) (map[string]node.State, error) {
	d.missing = false
	res, err := d.scontrol(ctx, "-o", "show", "nodes")
	if err != nil {
		return nil, err
	}
	all, err := parse(string(res.Out))
	if err != nil {
		return nil, fleet.Errorf(fleet.Unavailable, "cannot read what scontrol printed: %w", err)
	}
	return all, nil
}

// parse reads one node a line. Fields are NAME=VALUE with a blank between; values
// of people hold blanks, and stand at the end: those of ours have none.
func parse(text string) (map[string]node.State, error) {
	all := map[string]node.State{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line == "No nodes in the system" {
			continue
		}
		name, ok := strings.CutPrefix(field(line, "NodeName"), "NodeName=")
		state, ok2 := strings.CutPrefix(field(line, "State"), "State=")
		if !ok || !ok2 || name == "" {
			return nil, fmt.Errorf("%.80q is no node", line)
		}
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("the node %.80q is there twice", name)
		}
		s := node.State{Up: takes(state), Word: state, Properties: map[string]string{}}
		s.Properties["nodeaddr"] = strings.TrimPrefix(field(line, "NodeAddr"), "NodeAddr=")
		if at := strings.LastIndex(line, " Extra="); at >= 0 {
			s.Properties["extra"], _, _ = strings.Cut(line[at+len(" Extra="):], " ")
		}
		if at := strings.LastIndex(line, " Comment="); at >= 0 {
			s.Properties["comment"], _, _ = strings.Cut(line[at+len(" Comment="):], " ")
		}
		if strings.Contains(line, " Reason="+reason) {
			s.Word += " (" + reason + ")"
		}
		for part := range strings.SplitSeq(s.Properties["extra"], ",") {
			if number, ok := strings.CutPrefix(part, "epoch="); ok {
				s.Epoch, _ = strconv.ParseInt(number, 10, 64)
			}
			if ip, ok := strings.CutPrefix(part, "ip="); ok {
				s.Address, _ = netip.ParseAddr(ip)
			}
		}
		all[name] = s
	}
	return all, nil
}

// field is the first word of a line that begins with NAME=.
func field(line, name string) string {
	for word := range strings.FieldsSeq(line) {
		if strings.HasPrefix(word, name+"=") {
			return word
		}
	}
	return ""
}

// takes tells whether a node in a state takes jobs: IDLE+DYNAMIC_NORM does.
func takes(state string) bool {
	base, flags, _ := strings.Cut(state, "+")
	for flag := range strings.SplitSeq(flags, "+") {
		if flag == "DRAIN" || flag == "INVALID_REG" {
			return false
		}
	}
	switch base {
	case "DOWN", "UNKNOWN", "ERROR", "FUTURE", "FAIL":
		return false
	}
	return true
}

func down(word string) bool { return strings.HasPrefix(word, "DOWN") }

// Differs says what a change would be for.
func (d *Driver) Differs(want node.Node, is node.State, found bool) string {
	switch {
	case !found:
		d.missing = d.missing || want.Up
		return "" // its own slurmd makes it
	case !want.Up && down(is.Word):
		return ""
	case !want.Up:
		return "is " + is.Word + " and has no tunnel"
	case is.Epoch != want.Epoch:
		return "is " + is.Word + ", of a former session"
	case down(is.Word) && strings.Contains(is.Word, reason):
		return "is " + is.Word + " and has a tunnel"
	}
	if address := want.Address.String(); is.Properties["nodeaddr"] != address {
		return "NodeAddr is " + strconv.Quote(is.Properties["nodeaddr"]) + " and shall be " + strconv.Quote(address)
	}
	for key, value := range map[string]string{"extra": extra(want), "comment": comment(want)} {
		if is.Properties[key] != value {
			return key + " is " + strconv.Quote(is.Properties[key]) + " and shall be " + strconv.Quote(value)
		}
	}
	return ""
}

func extra(n node.Node) string { return fmt.Sprintf("epoch=%d,ip=%s", n.Epoch, n.Address) }

func comment(n node.Node) string {
	client := ""
	if n.ClientAddress.IsValid() {
		client = n.ClientAddress.Unmap().String()
	}
	return strings.Join([]string{"cn=" + n.HostID, "type=" + n.NodeType, "client=" + client, "name=" + tool.Told(n.ClientName),
		"since=" + n.ConnectedSince.UTC().Format(time.RFC3339)}, ",")
}

// Apply makes one node what it shall be. Properties of a node type are not told:
// a node's features are its slurmd's.
func (d *Driver) Apply(ctx context.Context, c node.Change) error {
	n := c.Node
	if err := tool.Check(n); err != nil {
		return err
	}
	if !c.Found {
		return nil
	}
	args := []string{"update", "nodename=" + n.Name}
	switch {
	case n.Up:
		args = append(args, "extra="+extra(n), "comment="+comment(n), "nodeaddr="+n.Address.String())
		if down(c.Was.Word) {
			args = append(args, "state=resume")
		}
	default:
		args = append(args, "state=down", "reason="+reason)
	}
	_, err := d.scontrol(ctx, args...)
	return err
}
