// Package slurm keeps the dynamic nodes of a real Slurm right, by scontrol.
//
// A dynamic node adds itself: its slurmd (started with -Z) registers as soon as
// the tunnel lets it. So there is nothing to add here, and a node that has not
// registered yet differs in nothing; [Driver.Waits] says it to people. What the
// driver does is what slurmd cannot: it takes a node out at once when its tunnel
// ends, with a reason, where Slurm alone would go on for SlurmdTimeout, and it says
// which node that is: the session's number and the tunnel's address in extra, host,
// type and client in comment, the address as NodeAddr, so that Slurm speaks to the
// node through the tunnel and nowhere else; features and weight are the node type's
// where it names them. One call reads the whole fleet, one changes a node.
//
// Who decides is as with OAR: up is said once a session; a node that Slurm or its
// administrator takes down within a session stays down until the next, and one
// that is drained stays drained.
//
// # What is nobody's any more
//
// A node whose host was deleted is deleted from Slurm, which would keep it for ever.
// That is for dynamic nodes that this driver told of, and for none with a job on it:
// such a node is taken down first, as at the end of any tunnel, and deleted when
// Slurm has cleared its jobs away. Slurm itself refuses to delete a busy node.
//
// slurmctld keeps its dynamic nodes over a restart. One that lost its state knows
// none, and each slurmd tells it only when that is started again.
package slurm

import (
	"context"
	"fmt"
	"maps"
	"slices"
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

	missing map[string]int64 // nodes that are up and have not registered, with their epochs
	awaited map[string]int64 // those of the reading before
	leaving bool             // a node that is nobody's has jobs
	pause   time.Duration
}

// A node registers within a moment or two, or not before somebody looks.
const (
	soon   = time.Second
	settle = 10 * time.Second
)

// Again is soon while a node is up and Slurm does not know it, and less soon each
// time that no other one is.
func (d *Driver) Again() time.Duration {
	if len(d.missing) == 0 && !d.leaving {
		d.pause = 0
		return 0
	}
	d.pause = min(max(2*d.pause, soon), settle)
	for name, epoch := range d.missing {
		if before, waited := d.awaited[name]; !waited || before != epoch {
			d.pause = soon
		}
	}
	return d.pause
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

// Waits says what a node that is up lacks and its own slurmd has to do.
func (d *Driver) Waits(want node.Node, found bool) string {
	if want.Up && !found {
		return "Slurm does not know it: its slurmd has not registered since slurmctld began; start slurmd there (again)"
	}
	return ""
}

// Differs says what a change would be for.
func (d *Driver) Differs(want node.Node, is node.State, found bool) string {
	switch {
	case !found:
		if want.Up && d.missing != nil {
			d.missing[want.Name] = want.Epoch
		}
		return "" // its own slurmd makes it
	case want.HostID == "" && ours(is):
		if down(is.Word) && busy(is.Word) {
			d.leaving = true
			return "" // Slurm is clearing its jobs away
		}
		return "is nobody's any more"
	case !want.Up && down(is.Word):
		return ""
	case !want.Up:
		return "is " + is.Word + " and has no tunnel"
	}
	all, err := told(want)
	if why := resumed(want, is); why != "" {
		return why
	}
	if why := differs(all, is); why != "" {
		return why
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// resumed says why a node with a tunnel is to be told of anew.
func resumed(want node.Node, is node.State) string {
	switch {
	case is.Epoch != want.Epoch:
		return "is " + is.Word + ", of a former session"
	case down(is.Word) && strings.Contains(is.Word, reason):
		return "is " + is.Word + " and has a tunnel"
	}
	return ""
}

func differs(all map[string]string, is node.State) string {
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if is.Properties[key] != all[key] {
			return key + " is " + strconv.Quote(is.Properties[key]) + " and shall be " + strconv.Quote(all[key])
		}
	}
	return ""
}

// told is what Slurm is told of a node that is up, by the names of [Driver.Read].
// Beside an error it lacks the properties of the node type: who may use the machine
// does not wait for them.
func told(n node.Node) (map[string]string, error) {
	all := map[string]string{}
	err := node.SlurmProperties(n.Properties)
	if err == nil {
		maps.Copy(all, n.Properties)
	} else {
		err = fleet.Errorf(fleet.Invalid, "cannot use the properties of node type %.80q: %w", n.NodeType, err)
	}
	client := ""
	if n.ClientAddress.IsValid() {
		client = n.ClientAddress.Unmap().String()
	}
	all["nodeaddr"] = n.Address.String()
	all["extra"] = fmt.Sprintf("epoch=%d,ip=%s", n.Epoch, n.Address)
	all["comment"] = strings.Join([]string{"cn=" + n.HostID, "type=" + n.NodeType, "client=" + client, "name=" + tool.Told(n.ClientName),
		"since=" + n.ConnectedSince.UTC().Format(time.RFC3339)}, ",")
	return all, err
}

// Apply makes one node what it shall be.
func (d *Driver) Apply(ctx context.Context, c node.Change) (refused error) {
	n := c.Node
	if err := tool.Check(n); err != nil {
		return err
	}
	args := []string{"update", "nodename=" + n.Name}
	switch {
	case n.Up:
		var all map[string]string
		if all, refused = told(n); !c.Found || refused != nil && resumed(n, c.Was) == "" && differs(all, c.Was) == "" {
			return refused
		}
		for _, key := range slices.Sorted(maps.Keys(all)) {
			value := all[key]
			if key == node.SlurmFeatures {
				// A feature that is active must be available: both at once, or neither.
				value = strings.ReplaceAll(value, "+", ",")
				args = append(args, "availablefeatures="+value)
				key = "activefeatures"
			}
			args = append(args, key+"="+value)
		}
		if down(c.Was.Word) {
			args = append(args, "state=resume")
		}
	case !c.Found:
		return nil
	case c.Gone && ours(c.Was) && !busy(c.Was.Word):
		args = []string{"delete", "nodename=" + n.Name}
	default:
		d.leaving = d.leaving || c.Gone && ours(c.Was)
		args = append(args, "state=down", "reason="+reason)
	}
	if _, err := d.scontrol(ctx, args...); err != nil {
		return err
	}
	return refused
}
