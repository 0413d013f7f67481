package tunnel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/deadman"
	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
)

// End ends the openvpn of a folder, if one runs.
func End(ctx context.Context, dir string) error {
	if c, _, err := reach(ctx, dir); err == nil {
		if err := end(ctx, c, dir); err != nil {
			return err
		}
	}
	return endLost(ctx, dir)
}

// endLost ends the openvpn of a folder whose socket is gone, or that hangs: it holds
// the port and the device. Only one that was started for this folder is ended, whatever
// else has its number.
func endLost(ctx context.Context, dir string) error {
	var with running
	text, err := os.ReadFile(filepath.Join(dir, runningFile))
	if err != nil || json.Unmarshal(text, &with) != nil || with.PID <= 1 {
		return nil
	}
	p, err := os.FindProcess(with.PID)
	if err != nil {
		return nil
	}
	defer p.Release()
	line, err := os.ReadFile("/proc/" + strconv.Itoa(with.PID) + "/cmdline")
	if err != nil || !bytes.Contains(line, []byte("\x00--cd\x00"+dir+"\x00")) {
		return nil
	}
	return deadman.End(ctx, p)
}

// why is why openvpn ended at once, by the last that it wrote, with the next step.
func (s *Server) why(said string) error {
	err := fmt.Errorf("openvpn ended: %s", said)
	proto := "tcp"
	if s.Conf.UDP {
		proto = "udp"
	}
	switch {
	case strings.Contains(said, "Address already in use"):
		return fleet.WithHint(fleet.Errorf(fleet.Locked, "another program listens on %s port %d: %w", proto, s.Conf.Port, err),
			"ss -lnp 'sport = :%d' says which; stop it, or set another port under [[tunnel]]. The tunnel is tried again by itself, the rest of the server works", s.Conf.Port)
	case strings.Contains(said, "Cannot assign requested address"):
		return fleet.WithHint(fleet.Errorf(fleet.NotHere, "this machine has not the address %s: %w", s.Conf.Local, err), "correct listen under [[tunnel]], or leave it out")
	case strings.Contains(said, "TUNSETIFF") && strings.Contains(said, "busy"):
		return fleet.WithHint(fleet.Errorf(fleet.Locked, "another program has the network device %s: %w", s.Conf.Device, err),
			"ip -d link show %s says more; set another device under [[tunnel]], or end what uses it. The tunnel is tried again by itself", s.Conf.Device)
	case strings.Contains(said, "TUNSETIFF"), strings.Contains(said, "Operation not permitted"):
		return fleet.WithHint(fleet.Errorf(fleet.Denied, "openvpn may not make the network device %s: %w", s.Conf.Device, err), "run fernwerkd as root; or another kind of device has this name: ip -d link show %s", s.Conf.Device)
	case strings.Contains(said, "TUN/TAP dev /dev/net/tun"):
		return fleet.WithHint(fleet.Errorf(fleet.NotHere, "this machine has no TUN devices: %w", err), "modprobe tun; in a container it wants /dev/net/tun")
	}
	return err
}

// lastLine is the last line that openvpn wrote but the one that says that it ends.
func lastLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	last := ""
	for line := range strings.Lines(string(text[max(0, len(text)-4096):])) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasSuffix(line, "Exiting due to fatal error") {
			last = line
		}
	}
	return openvpn.Plain(last)
}
