package platform

import (
	"net"
	"os"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Machine is what tells this machine from others, as far as the system says it.
// It proves nothing: it is for people who look which machine that was.
func Machine() enrol.Machine {
	var m enrol.Machine
	m.Hostname, _ = os.Hostname()
	if uuid, err := os.ReadFile("/sys/class/dmi/id/product_uuid"); err == nil { // Linux, for root
		m.SystemUUID = strings.TrimSpace(string(uuid))
	}
	cards, _ := net.Interfaces()
	for _, c := range cards {
		if c.Flags&net.FlagLoopback == 0 && len(c.HardwareAddr) == 6 && c.HardwareAddr[0]&2 == 0 { // and not one that a program drew
			m.HardwareAddress = c.HardwareAddr.String()
			break
		}
	}
	if id, err := BootID(); err == nil {
		m.BootID = strings.ToLower(strings.ReplaceAll(id, " ", "-"))
	}
	return m.Clean()
}
