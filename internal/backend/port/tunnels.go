package port

import "github.com/fernwerk/fernwerk/internal/backend/store"

// TunnelTraffic is what a session carried, as the server that has it knows.
type TunnelTraffic struct {
	HostID, Tunnel, Epoch string
	Received, Sent        uint64 // bytes
}

// Tunnels are those that this server runs, and the orders to all that do.
type Tunnels interface {
	Traffic() []TunnelTraffic
	// Disconnect ends what a host has in a tunnel now, at whichever server. It may come
	// back.
	Disconnect(tx *store.Tx, hostID, tunnel string) error
}
