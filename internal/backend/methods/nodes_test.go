package methods_test

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

func init() {
	none := func(string) []any { return nil }
	handArguments["dns_getRecords"] = none
	handArguments["presence_up"] = func(h string) []any { return []any{h, "openvpn", "1", int64(1_790_000_000)} }
	handArguments["presence_down"] = func(h string) []any { return []any{h, "openvpn", "1"} }
	handArguments["tunnel_getObjects"] = func(h string) []any { return []any{[]any{h}} }
	handArguments["tunnel_disconnect"] = func(h string) []any { return []any{h, "vpns"} }
	handArguments["presence_getObjects"] = func(h string) []any { return []any{[]any{h}} }
}

// present is what is known of nodes, as far as the matrix needs it.
type present struct{}

func (present) Up(context.Context, node.Report) error              { return nil }
func (present) Down(context.Context, string, string, string) error { return nil }
func (present) Names(context.Context) ([]node.Record, error)       { return nil, nil }
func (present) Traffic() []port.TunnelTraffic                      { return nil }
func (present) Disconnect(*store.Tx, string, string) error         { return nil }
func (present) Facts(*store.Tx) ([]node.Fact, error) {
	return []node.Fact{{HostID: own}, {HostID: others}}, nil
}
