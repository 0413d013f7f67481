package depots_test

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
	"github.com/fernwerk/fernwerk/test/require"
)

// algorithm is what an opsi client gets when the parameter has the value.
func algorithm(t *testing.T, mode string) string {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := store.Open(t.Context(), db, time.Now, catalog.Classes()...)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), store.Origin{}, func(tx *store.Tx) error {
		return tx.Put(fleet.Configs, fleet.Row{"type": fleet.UnicodeConfig, "id": "clientconfig.depot.selection_mode", "editable": true, "defaultValues": []any{mode}})
	}); err != nil {
		t.Fatal(err)
	}
	v, err := catalog.New(s, methods.Ports{}).Call(t.Context(), methods.Actor{Role: methods.Host, ID: "pc1.example.org"}, "getDepotSelectionAlgorithm", methods.Params{})
	if err != nil {
		t.Fatal(err)
	}
	return v.(string)
}

// An opsi client executes the text and calls selectDepot with its own depot and
// the others: here are depots as it knows them, one that answers at once, one that
// takes 30 ms and one that does not answer.
func TestSelectionAlgorithm(t *testing.T) {
	python := require.Tool(t, "python3")
	near, far := listen(t), listen(t)
	gone := listen(t)
	gone.Close()
	port := func(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
	for _, test := range []struct {
		mode, networks string // of own, near, far, gone
		master         string // which are master depots
		own            string // the client's own depot
		client         string
		want           string
	}{
		{"latency", "", "", "far", "{}", "near"},
		{"latency", "", "", "gone", "{}", "near"},
		{"latency", "", "", "near", "{}", "near"},
		{"master_and_latency", "", "far", "gone", "{}", "far"},
		{"master_and_latency", "", "far near", "far", "{}", "near"},
		{"master_and_latency", "", "", "far", "{}", "far"},
		{"master_and_latency", "", "of:near", "far", "{}", "near"},
		{"network_address", "near=10.1.0.0/16 far=10.0.0.0/8", "", "gone", `{"ipAddress": "10.1.2.3"}`, "near"},
		{"network_address", "near=10.1.0.0/16 far=10.0.0.0/8", "", "near", `{"ipAddress": "10.9.2.3"}`, "far"},
		{"network_address", "near=10.1.0.0/255.255.0.0 far=nonsense", "", "far", `{"ipAddress": "10.1.2.3"}`, "near"},
		{"network_address", "near=127.0.0.0/8", "", "far", "object()", "near"},
		{"network_address", "near=192.0.2.0/24", "", "far", `{"ipAddress": "10.9.2.3"}`, "far"},
		{"random", "", "", "far", "{}", ""},
		{"import os", "near=127.0.0.0/8", "", "far", "{}", "near"}, // as network_address
	} {
		program := algorithm(t, test.mode) + fmt.Sprintf(`
import socket, sys, time
from types import SimpleNamespace

connect = socket.create_connection
def slower(address, *args, **more):
    c = connect(address, *args, **more)
    if address[1] == %d:
        time.sleep(0.03)
    return c
socket.create_connection = slower

networks = dict(n.split("=") for n in %q.split())
def depot(name, port):
    return SimpleNamespace(id=name, depotWebdavUrl="webdavs://127.0.0.1:%%d/depot" %% port, depotRemoteUrl="smb://127.0.0.1/opsi_depot",
        repositoryRemoteUrl=None, networkAddress=networks.get(name), isMasterDepot=name in %q.split(), masterDepotId="far" if "of:" + name in %q.split() else None)
all = [depot("near", %d), depot("far", %d), depot("gone", %d)]
own = [d for d in all if d.id == %q][0]
others = [d for d in all if d is not own]
print(selectDepot(clientConfig=%s, masterDepot=own, alternativeDepots=others).id)
print(selectDepot(%s, own).id)
`, port(far), test.networks, test.master, test.master, port(near), port(far), port(gone), test.own, test.client, test.client)
		out, err := exec.CommandContext(t.Context(), python, "-c", program).CombinedOutput()
		got := strings.Fields(string(out))
		if err != nil || len(got) != 2 {
			t.Fatalf("%+v: %v\n%s", test, err, out)
		}
		if test.want != "" && got[0] != test.want || !strings.Contains("near far gone", got[0]) {
			t.Errorf("%+v: %s was chosen", test, got[0])
		}
		if got[1] != test.own {
			t.Errorf("%+v: without others %s was chosen", test, got[1])
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
