package server_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/fernwerk/fernwerk/internal/server"
)

// Nothing of a connection stays when it ended, or when the server did.
func TestBus_LeavesNothing(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir()})
	r.bus(t, "admin", password, "").ws.CloseNow() // the server has started all that it does
	before := goleak.IgnoreCurrent()              // the running server, and what other tests left
	for _, way := range []func(*frames){
		func(f *frames) { f.ws.CloseNow() },
		func(f *frames) { f.ws.Close(1000, "") },
		func(f *frames) { f.raw([]byte{0xc1}); f.ws.CloseNow() },
		func(f *frames) {
			f.send(map[string]any{"type": "jsonrpc_request", "channel": "service:config:jsonrpc", "rpc_id": "1", "method": "backend_info"})
			f.ws.CloseNow()
		},
	} {
		way(r.bus(t, "admin", password, ""))
	}
	// The server has its regular work meanwhile, for which it holds leases.
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/fernwerk/fernwerk/internal/backend/lease.(*Held).Keep"))
	open := r.bus(t, "admin", password, "")
	r.stop()
	open.ws.CloseNow()
	goleak.VerifyNone(t, before)
}
