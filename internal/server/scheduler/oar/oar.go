// Package oar keeps the resources of a real OAR 2 right, by its own tools.
//
// The original did this in a hook of the tunnel, six calls a connection, while
// every other node waited. Here it is a driver of package presence, and off
// everybody's way: one call reads the whole fleet, and one call changes a node.
// The tools are used, not the database, because OAR acts on a change only when
// its server is told, which they do.
//
// # What a resource of ours is
//
// It has the node's fully qualified name as network_address, and the properties
// of the original: ip, idhaltype, cluster, idhalcn, idhalclientip,
// idhalclientname, idhalconnectedsince; those of the node type; and idhalepoch,
// the session's number, by which the driver knows what it has said already, also
// after a restart of either side. Properties that OAR lacks are made once. A
// resource is never removed: a node that comes back has its old one, which is
// also looked for under the node's address.
//
// # Who decides
//
// Alive is said once for each session. What OAR or its administrator does to a
// resource within a session is theirs:
//
//   - Suspected: finaud found the node silent, and will find it well again. The
//     next session says Alive.
//   - Absent, that is not ours, and Dead: likewise until the next session.
//   - Maintenance (oarnodesetting -m on): left alone, also by the next session,
//     which only tells the properties. It ends with -m off.
//
// Absent, on the other hand, is said whenever a node without a tunnel is Alive or
// Suspected. It is marked as ours by available_upto=1, the second second of 1970:
// that tells it from an administrator's, and keeps OAR's energy saving from
// trying to wake a node that is not there ("standby").
//
// # What OAR's tools do not say
//
// A wrong property, or a quote in a value, takes all properties of its call with
// it, and the exit code is 0; hence what is printed is judged too, and values
// have a narrow syntax. A state that is told while OAR's server does not run is
// kept as next_state and nobody looks there; it is told again.
package oar

import (
	"bytes"
	"context"
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
const Name = "oar"

// Config is what a driver needs.
type Config struct {
	// Tools runs the tools, as root or with sudo before them: they are for root and
	// OAR's group.
	Tools tool.Runner
	// Bin is the folder of the tools; "" leaves it to PATH.
	Bin string
	// Cores are the cores of hosts by host id, for node types with a resource a
	// core; who is not in it has one. nil knows none.
	Cores func(ctx context.Context) (map[string]int, error)
	// Zone is that of idhalconnectedsince; nil is the machine's.
	Zone *time.Location
}

// Driver is for one goroutine.
type Driver struct {
	Config
	// names are OAR's properties, nil while they are not known; at is
	// network_address by ip, and count the resources by network_address, of the
	// last reading.
	names   map[string]bool
	at      map[string]string
	count   map[string]int
	cores   map[string]int
	said    bool // something, since the last reading
	toolDir string
}

// settle is how long OAR gets to do what it was told.
const settle = 10 * time.Second

// Again is soon after something was said: OAR may not run and so not hear it, and
// its own finaud may say something else at the same moment.
func (d *Driver) Again() time.Duration {
	if d.said {
		return settle
	}
	return 0
}

// New makes a driver.
func New(c Config) *Driver {
	if c.Zone == nil {
		c.Zone = time.Local
	}
	d := &Driver{Config: c, at: map[string]string{}, count: map[string]int{}}
	if c.Bin != "" {
		d.toolDir = strings.TrimSuffix(c.Bin, "/") + "/"
	}
	return d
}

// Name is the driver's.
func (d *Driver) Name() string { return Name }

// Wants chooses the nodes of types that are for OAR.
func (d *Driver) Wants(n node.Node) bool { return n.Scheduler == Name }

// Properties of ours.
const (
	epoch     = "idhalepoch"
	upto      = "available_upto"
	forever   = "2147483647"
	ours      = "1"
	mark      = "tunnel down"
	maintain  = "maintenance"
	pending   = ", told: "
	alive     = "Alive"
	absent    = "Absent"
	suspected = "Suspected"
)

// own are the properties that a node type cannot set: OAR keeps them itself, or
// this driver does.
var own = map[string]bool{
	"resource_id": true, "network_address": true, "state": true, "state_num": true, "next_state": true, "finaud_decision": true, "next_finaud_decision": true,
	"last_job_date": true, "suspended_jobs": true, "expiry_date": true, "scheduler_priority": true, upto: true, "last_available_upto": true,
	"ip": true, "idhaltype": true, "idhalcn": true, "idhalclientip": true, "idhalclientname": true, "idhalconnectedsince": true, epoch: true,
}

// built are properties of every OAR that oarproperty does not list.
var built = []string{"besteffort", "deploy", "desktop_computing", "type", "network_address", "cpuset", upto}

// wanted are the properties of a node that is up. Whatever may not be in one is
// refused here, before any tool sees it.
func (d *Driver) wanted(n node.Node) (map[string]string, error) {
	all := map[string]string{"cluster": n.NodeType}
	for key, value := range n.Properties {
		if own[key] {
			return nil, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot set property %s of node type %s: it is OAR's own, or is told by the tunnel", key, n.NodeType),
				"take it out of the node type's properties")
		}
		all[key] = value
	}
	client := ""
	if n.ClientAddress.IsValid() {
		client = n.ClientAddress.Unmap().String()
	}
	maps.Copy(all, map[string]string{
		"ip": n.Address.String(), "idhaltype": n.NodeType, "idhalcn": n.HostID, "idhalclientip": client, "idhalclientname": tool.Told(n.ClientName),
		"idhalconnectedsince": n.ConnectedSince.In(d.Zone).Format(time.UnixDate), // as date prints it
		epoch:                 strconv.FormatInt(n.Epoch, 10),
	})
	return all, tool.Properties(n.Name, all) // OAR's tools put them into SQL as they are
}

// resources is how many a node shall have.
func (d *Driver) resources(n node.Node) int {
	if n.Resources != "core" {
		return 1
	}
	return max(d.cores[n.HostID], 1)
}

// Differs says what a change would be for, by the rules in the package comment.
func (d *Driver) Differs(want node.Node, is node.State, found bool) string {
	switch {
	case !found && want.Up:
		return "not there yet"
	case !found:
		return ""
	case !want.Up && (strings.Contains(is.Word, alive) || strings.Contains(is.Word, suspected)):
		return "is " + is.Word + " and has no tunnel"
	case !want.Up:
		return ""
	case is.Epoch != want.Epoch:
		return "is " + is.Word + ", of a former session"
	case strings.Contains(is.Word, pending+alive):
		return "OAR has not heard that it is " + alive
	case strings.Contains(is.Word, mark):
		return "is " + is.Word + " and has a tunnel"
	case d.count[want.Name] < d.resources(want):
		return strconv.Itoa(d.count[want.Name]) + " resources shall be " + strconv.Itoa(d.resources(want))
	}
	all, err := d.wanted(want)
	if err != nil {
		return "cannot be what it shall be" // Apply says why
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if value := is.Properties[key]; value != all[key] {
			return key + " is " + strconv.Quote(value) + " and shall be " + strconv.Quote(all[key])
		}
	}
	return ""
}

// Apply makes one node what it shall be.
func (d *Driver) Apply(ctx context.Context, c node.Change) error {
	n := c.Node
	if err := tool.Check(n); err != nil {
		return err
	}
	if !n.Up {
		if !c.Found {
			return nil
		}
		// Without -n it would wait for the jobs' end.
		return d.set(ctx, "-s", absent, "-n", "-h", n.Name, "-p", upto+"="+ours)
	}
	all, err := d.wanted(n)
	if err != nil {
		return err
	}
	if err := d.ensure(ctx, slices.Sorted(maps.Keys(all))); err != nil {
		return err
	}
	var args []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "-p", key+"="+all[key])
	}
	name, there := n.Name, d.count[n.Name]
	if old := d.at[all["ip"]]; !c.Found && old != "" {
		// The address is known under another name: the plan's domain was changed.
		name, there = old, d.count[old]
		args = append(args, "-p", "network_address="+n.Name)
	}
	if there > 0 || c.Found {
		if d.says(c) {
			args = append(args, "-s", alive, "-p", upto+"="+forever)
		}
		if err := d.set(ctx, append([]string{"-h", name}, args...)...); err != nil {
			return err
		}
		d.count[n.Name] = max(there, 1)
	}
	for i := d.count[n.Name]; i < d.resources(n); i++ {
		full := append([]string{"-a", "-h", n.Name}, args...)
		if _, set := all["cpuset"]; !set {
			full = append(full, "-p", "cpuset="+strconv.Itoa(i))
		}
		if err := d.set(ctx, full...); err != nil {
			return err
		}
		d.count[n.Name] = i + 1
	}
	return nil
}

// says tells whether a change says Alive: it is not said twice in a session,
// except where it was us who took it back or OAR did not hear it.
func (d *Driver) says(c node.Change) bool {
	switch {
	case strings.Contains(c.Was.Word, maintain):
		return false
	case !c.Found || c.Was.Epoch != c.Node.Epoch:
		return true
	}
	return strings.Contains(c.Was.Word, mark) || strings.Contains(c.Was.Word, pending+alive)
}

// set runs oarnodesetting. A node that somebody removed is no longer to be set.
func (d *Driver) set(ctx context.Context, args ...string) error {
	d.said = true
	res, err := d.Tools.Run(ctx, append([]string{d.toolDir + "oarnodesetting"}, args...)...)
	if err == nil && (bytes.Contains(res.Err, []byte("DBD::")) || bytes.Contains(res.Err, []byte("/!\\"))) {
		d.names = nil // one may have been deleted
		err = fleet.Errorf(fleet.Unavailable, "cannot run oarnodesetting: it says that all is well, and %s", tool.Said(res.Err))
	}
	return err
}

// ensure makes the properties that OAR does not have. A second server may make
// them at the same time.
func (d *Driver) ensure(ctx context.Context, names []string) error {
	for attempt := 0; ; attempt++ {
		if d.names == nil {
			res, err := d.Tools.Run(ctx, d.toolDir+"oarproperty", "-l")
			if err != nil {
				return err
			}
			d.know(slices.Concat(built, strings.Fields(string(res.Out))))
		}
		var args []string
		for _, name := range names {
			if !d.names[name] {
				args = append(args, "-a", name)
			}
		}
		if args == nil {
			return nil
		}
		_, err := d.Tools.Run(ctx, append([]string{d.toolDir + "oarproperty", "-c"}, args...)...)
		d.names = nil
		if err != nil && attempt > 0 {
			return err
		}
	}
}

func (d *Driver) know(names []string) {
	d.names = map[string]bool{}
	for _, name := range names {
		d.names[name] = true
	}
}
