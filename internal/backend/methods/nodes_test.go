package methods_test

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
)

func init() {
	none := func(string) []any { return nil }
	handArguments["dns_getRecords"] = none
	handArguments["presence_up"] = func(h string) []any { return []any{h, "openvpn", "1", int64(1_790_000_000)} }
	handArguments["presence_down"] = func(h string) []any { return []any{h, "openvpn", "1"} }
	handArguments["presence_getObjects"] = func(h string) []any { return []any{[]any{h}} }
}

// present is what is known of nodes, as far as the matrix needs it.
type present struct{}

func (present) Up(context.Context, methods.TunnelSession) error    { return nil }
func (present) Down(context.Context, string, string, string) error { return nil }
func (present) Names() ([]methods.NameRecord, error)               { return nil, nil }
func (present) Facts(*store.Tx) ([]methods.TunnelFact, error) {
	return []methods.TunnelFact{{HostID: own}, {HostID: others}}, nil
}
