package slurm

import (
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/scheduler/tool"
	"github.com/fernwerk/fernwerk/test/require"
	real "github.com/fernwerk/fernwerk/test/require/slurm"
	"github.com/fernwerk/fernwerk/test/schedulertest"
)

type other struct {
	*real.Server
	t testing.TB
}

func (o other) Driver() schedulertest.Driver { return &Driver{Tools: tool.Runner{Prefix: o.Prefix}} }

func (o other) Prepare(n node.Node) {
	if err := o.Node(n.Name, n.Address); err != nil {
		o.t.Fatal(err)
	}
}

func (o other) Restart() {
	if err := o.Server.Restart(); err != nil {
		o.t.Fatal(err)
	}
}

func TestDriver(t *testing.T) {
	s := require.Slurm(t)
	schedulertest.Run(t, other{s, t})
	out, err := s.Run("scontrol", "-o", "show", "node", schedulertest.Node(1).Name)
	if err != nil || !strings.Contains(out, "cn=client1.grid.test,type=vnode,client=192.0.2.7,name=renamed.example.org") && !strings.Contains(out, "name=client.example.org") {
		t.Errorf("%v %s", err, out)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("NodeName=vnode-7-9.grid.test Arch=x86_64 NodeAddr=10.134.7.9 State=DOWN+DYNAMIC_NORM Reason=tunnel-down [root@2026-11-29T17:28:36] Comment=cn=c Extra=epoch=7,ip=10.134.7.9\n")
	f.Add("No nodes in the system\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parse(text)
		if err != nil && all != nil {
			t.Error("nodes beside an error")
		}
		for name := range all {
			if name == "" || strings.ContainsAny(name, " \n") {
				t.Errorf("a node is called %q", name)
			}
		}
	})
}
