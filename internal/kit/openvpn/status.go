package openvpn

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Client is a connection to openvpn as a server.
type Client struct {
	CID      uint64
	Name     string // of its certificate; UNDEF before that was checked
	From     netip.AddrPort
	Address  netip.Addr // in the tunnel; none before it was let in
	Received uint64     // bytes
	Sent     uint64
	Since    time.Time
	Cipher   string
}

// columns are those of CLIENT_LIST in `status 3`, of which we read by name.
var columns = []string{"Common Name", "Real Address", "Virtual Address", "Bytes Received", "Bytes Sent", "Connected Since (time_t)", "Client ID", "Data Channel Cipher"}

// ParseStatus reads the answer to `status 3`.
func ParseStatus(lines []string) ([]Client, error) {
	var at map[string]int
	var all []Client
	for _, line := range lines {
		field := strings.Split(line, "\t")
		switch {
		case len(field) > 2 && field[0] == "HEADER" && field[1] == "CLIENT_LIST":
			at = map[string]int{}
			for i, name := range field[2:] {
				at[name] = i + 1
			}
			for _, name := range columns {
				if at[name] == 0 {
					return nil, fmt.Errorf("the list of clients has no column %s", name)
				}
			}
		case field[0] == "CLIENT_LIST":
			c, err := parseClient(field, at)
			if err != nil {
				return nil, fmt.Errorf("cannot read %.200q: %w", line, err)
			}
			all = append(all, c)
		}
	}
	return all, nil
}

func parseClient(field []string, at map[string]int) (c Client, err error) {
	get := func(name string) string {
		if i := at[name]; i > 0 && i < len(field) {
			return field[i]
		}
		err = fmt.Errorf("it has no %s", name)
		return ""
	}
	whole := func(name string) uint64 {
		n, bad := strconv.ParseUint(get(name), 10, 63)
		if bad != nil && err == nil {
			err = fmt.Errorf("its %s is no number", name)
		}
		return n
	}
	c.Name, c.Cipher = get("Common Name"), get("Data Channel Cipher")
	c.Received, c.Sent, c.CID = whole("Bytes Received"), whole("Bytes Sent"), whole("Client ID")
	c.Since = time.Unix(int64(whole("Connected Since (time_t)")), 0)
	c.From = from(get("Real Address"))
	if a := get("Virtual Address"); a != "" && err == nil {
		if c.Address, err = netip.ParseAddr(a); err != nil {
			err = fmt.Errorf("%.60q is no address", a)
		}
	}
	return c, err
}

// from reads ADDRESS:PORT, which openvpn writes without brackets also for IPv6, and
// with the protocol before it in some versions. What cannot be read is no address.
func from(text string) netip.AddrPort {
	if _, rest, ok := strings.Cut(text, ":"); ok && (strings.HasPrefix(text, "tcp") || strings.HasPrefix(text, "udp")) {
		text = rest
	}
	if p, err := netip.ParseAddrPort(text); err == nil {
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	if i := strings.LastIndexByte(text, ':'); i > 0 {
		a, err := netip.ParseAddr(text[:i])
		port, bad := strconv.ParseUint(text[i+1:], 10, 16)
		if err == nil && bad == nil {
			return netip.AddrPortFrom(a.Unmap(), uint16(port))
		}
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Unmap(), 0)
}
