package enrol_test

import (
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

func TestValidNodeType(t *testing.T) {
	for _, good := range []string{"vnode", "v", "gpu-node2", "a" + strings.Repeat("b", 30)} {
		if err := enrol.ValidNodeType(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "V", "2node", "v node", "v;reboot", "v\n", "v$(id)", "../v", "v'", "a" + strings.Repeat("b", 31), "é"} {
		if enrol.ValidNodeType(bad) == nil || enrol.ValidTunnel(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
