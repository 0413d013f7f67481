package methods

import (
	"context"
	"net/netip"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// TunnelSession is a session that a tunnel of somebody else's reports.
type TunnelSession struct {
	HostID        string
	Tunnel        string
	Epoch         string
	NodeType      string // of a host that joined as none
	Address       netip.Addr
	ClientAddress netip.Addr
	Since         time.Time
}

// TunnelFact is a session as people see it.
type TunnelFact struct {
	HostID        string `json:"hostId"`
	Name          string `json:"name"` // the node's
	NodeType      string `json:"nodeType"`
	Tunnel        string `json:"tunnel"`
	Up            bool   `json:"up"`
	Address       string `json:"address"`
	ClientAddress string `json:"clientAddress"`
	ClientName    string `json:"clientName"`
	Since         string `json:"since"`
	Epoch         string `json:"epoch"`
}

// NameRecord is a name of a node, or one that two want.
type NameRecord struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Value   string `json:"value"`
	TTL     int64  `json:"ttl"`
	Of      string `json:"of"`
	Problem string `json:"problem"`
}

// Nodes is what is known of nodes: their tunnels and their names.
type Nodes interface {
	Up(ctx context.Context, s TunnelSession) error
	Down(ctx context.Context, hostID, tunnel, epoch string) error
	// Facts are the sessions that decide something, of all hosts.
	Facts(tx *store.Tx) ([]TunnelFact, error)
	// Names are those that are not there by a plan alone; NotHere without a zone.
	Names() ([]NameRecord, error)
}
