package command

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/fernwerk/fernwerk/internal/server/config"
)

// showMesh prints [mesh].
func showMesh(w io.Writer, m config.Mesh) {
	if !m.Enabled {
		return
	}
	fmt.Fprintln(w, "\n[mesh]\nenabled = true")
	if len(m.At) > 0 {
		fmt.Fprintf(w, "at = [\"%s\"]\n", strings.Join(m.At, `", "`))
	}
	fmt.Fprintf(w, "port = %d\nrefresh = %d\n", m.UDP(), cmp.Or(m.Refresh, config.DefaultMeshRefresh))
	if m.NoInterface {
		fmt.Fprintln(w, "no_interface = true")
	} else {
		fmt.Fprintf(w, "device = %q\n", cmp.Or(m.Device, config.DefaultMeshDevice))
	}
	if m.Program != "" {
		fmt.Fprintf(w, "program = %q\n", m.Program)
	}
	for _, r := range m.Allow {
		rule := r.Rule()
		fmt.Fprintf(w, "\n[[mesh.allow]]\nto = %q\nfrom = %q\nproto = %q\nports = %q\n", rule.To, rule.From, rule.Proto, rule.Ports)
	}
}
