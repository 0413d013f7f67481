package tunnel

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// The states of a tunnel.
const (
	Connected  = "up"
	Connecting = "connecting"
	Refused    = "refused" // the server said no, see Problem; it is asked again
	Off        = "off"
)

const statusFile = "status.json"

// Status is what is known of a tunnel here.
type Status struct {
	Name    string    `json:"name"`
	State   string    `json:"state"`
	Address string    `json:"address"` // ours, in the tunnel
	Device  string    `json:"device"`
	Server  string    `json:"server"` // the other end's address
	Local   string    `json:"local"`  // our end's, outside; "" by UDP
	Since   time.Time `json:"since"`  // of State
	DNS     []string  `json:"dns"`
	Search  []string  `json:"search"`
	DNSBy   string    `json:"dnsBy"` // who was told of them
	Problem string    `json:"problem"`
	Until   time.Time `json:"until"` // of the certificate
	PID     int       `json:"pid"`   // of openvpn
}

func readStatus(dir string) (st Status, err error) {
	text, err := os.ReadFile(filepath.Join(dir, statusFile))
	if err == nil {
		err = json.Unmarshal(text, &st)
	}
	return st, err
}

func (st Status) write(dir string) error {
	text, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(dir, statusFile), append(text, '\n'), 0o600)
}
