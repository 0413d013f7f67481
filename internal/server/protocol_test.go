package server_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server"
)

// clientconfig.depot.protocol is a host parameter of cifs and webdav, set for one
// client; a client and a boot image, which knows its machine by the hardware
// address only, read the same.
func TestDepotProtocol(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir()})
	admin := r.client(t, "admin", password)
	const key, parameter = "0123456789abcdef0123456789abcdef", "clientconfig.depot.protocol"
	call(t, admin, "host_createObjects", []any{
		fleet.Row{"type": fleet.OpsiClient, "id": "pc1.example.org", "opsiHostKey": key, "hardwareAddress": "52:54:00:00:00:01"},
		fleet.Row{"type": fleet.OpsiClient, "id": "pc2.example.org", "opsiHostKey": key[1:] + "0", "hardwareAddress": "52:54:00:00:00:02"},
	})
	call(t, admin, "configState_create", parameter, "pc2.example.org", "cifs")
	config := call(t, admin, "config_getObjects", []any{}, map[string]any{"id": parameter}).([]any)[0].(map[string]any)
	if d := cmp.Diff([]any{"cifs", "webdav", false, "webdav"}, append(append([]any{}, config["possibleValues"].([]any)...), config["editable"], config["defaultValues"].([]any)[0])); d != "" {
		t.Error(d)
	}
	for _, test := range []struct{ host, user, key, want string }{
		{"pc1.example.org", "pc1.example.org", key, "webdav"},
		{"pc2.example.org", "pc2.example.org", key[1:] + "0", "cifs"},
		{"pc2.example.org", "52:54:00:00:00:02", key[1:] + "0", "cifs"},
	} {
		c := r.client(t, test.user, test.key)
		got := call(t, c, "configState_getValues", []any{parameter}, []any{test.host}, true)
		if d := cmp.Diff(map[string]any{test.host: map[string]any{parameter: []any{test.want}}}, got); d != "" {
			t.Errorf("as %s:\n%s", test.user, d)
		}
	}
}
