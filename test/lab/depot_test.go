package lab_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/transfer"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/test/lab"
)

// A branch has a depot server of its own: products are installed there or copied
// there, its clients fetch from it, also while the config server is away.
func TestBranch(t *testing.T) {
	l := lab.New(t)
	big := lab.Noise("big", 3<<20)
	l.Package("office", "1.0", lab.Setup("echo office"), lab.Files(map[string]string{"big.bin": big, "small.txt": "one"}), lab.Property("language", "de"))
	l.Call("host_createObjects", fleet.Row{"type": fleet.OpsiClient, "id": "pc1.example.org", "opsiHostKey": "11112222333344445555666677778888"})
	l.Call("host_createObjects", fleet.Row{"type": fleet.OpsiClient, "id": "pc2.example.org", "opsiHostKey": "21112222333344445555666677778888"})
	l.Call("configState_create", "clientconfig.depot.id", "pc1.example.org", "branch.example.org")
	b := l.Branch("branch")
	get := func(path, user, key string) (int, string) {
		t.Helper()
		resp := b.Do("GET", path, user, key, nil)
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(data)
	}
	onBranch := func() (list []string) {
		for _, r := range l.Rows("productOnDepot_getObjects", []any{}, map[string]any{"depotId": b.ID}) {
			list = append(list, r.Str("productId")+" "+r.Str("productVersion"))
		}
		return list
	}
	const pc1, key1 = "pc1.example.org", "11112222333344445555666677778888"

	l.Run("the row says where it is", func(t *testing.T) {
		rows := l.Rows("host_getObjects", []any{}, map[string]any{"id": b.ID})
		if got := rows[0].Str("depotWebdavUrl"); got != "webdavs"+strings.TrimPrefix(b.URL(), "https")+"/depot" {
			t.Error(got)
		}
	})
	l.Run("copied, and the rows with it", func(t *testing.T) {
		p, err := b.Pull("office", l.Server.ID)
		if err != nil || p.Fetched != p.Bytes || p.Bytes < 3<<20 {
			t.Fatalf("%+v, %v", p, err)
		}
		a, c := l.Tree(l.Server.Depot("office")), l.Tree(b.Depot("office"))
		if d := lab.Differ(a, c); len(d) > 0 {
			t.Errorf("these differ: %v", d)
		}
		if got := strings.Join(onBranch(), ", "); got != "office 1.0" {
			t.Error(got)
		}
		states := l.Rows("productPropertyState_getObjects", []any{}, map[string]any{"objectId": b.ID})
		if len(states) != 1 {
			t.Errorf("the depot's property values: %v", states)
		}
		if p, err := b.Pull("office", l.Server.ID); err != nil || !p.Same || p.Wire != 0 {
			t.Errorf("once more: %+v, %v", p, err)
		}
	})
	l.Run("only the difference", func(t *testing.T) {
		l.Package("office", "2.0", lab.Setup("echo office two"), lab.Files(map[string]string{"big.bin": big, "small.txt": "two"}), lab.Property("language", "de"))
		p, err := b.Pull("office", l.Server.ID)
		if err != nil || p.Seeded < 3<<20 || p.Fetched > 1000 || p.Wire > 2000 {
			t.Errorf("%+v, %v", p, err)
		}
		if got := strings.Join(onBranch(), ", "); got != "office 2.0" {
			t.Error(got)
		}
	})
	l.Run("either serves the client as well", func(t *testing.T) {
		got := l.Call("configState_getClientToDepotserver", []any{}, []any{pc1}, false).([]any)[0].(map[string]any)
		if got["depotId"] != b.ID || len(got["alternativeDepotIds"].([]any)) != 1 || got["alternativeDepotIds"].([]any)[0] != l.Server.ID {
			t.Error(got)
		}
	})
	fetch := func(user, key string) error {
		source := b.Source("office", user, key)
		x, err := source.Tree(t.Context(), nil, nil, chunkindex.Limits{})
		if err != nil {
			return err
		}
		_, err = transfer.Sync(t.Context(), transfer.Job{Stage: filepath.Join(t.TempDir(), "stage"), Index: x, Sources: []transfer.Source{source}})
		return err
	}
	l.Run("clients fetch from it", func(t *testing.T) {
		if err := fetch(pc1, key1); err != nil {
			t.Error(err)
		}
		if status, text := get("/depot/office/small.txt", pc1, key1); status != 200 || text != "two" {
			t.Errorf("WebDAV: %d %s", status, text)
		}
		for _, bad := range []struct{ user, key string }{{pc1, "99992222333344445555666677778888"}, {"pc9.example.org", key1}, {"", ""}} {
			if status, _ := get("/depot/office/small.txt", bad.user, bad.key); status != 401 {
				t.Errorf("%v: %d", bad, status)
			}
		}
		if resp := b.Do("PUT", "/depot/office/x", pc1, key1, strings.NewReader("x")); resp.StatusCode != 403 {
			t.Errorf("a host may write: %s", resp.Status)
		}
		if resp := b.Do("PUT", "/repository/x.opsi", pc1, key1, strings.NewReader("x")); resp.StatusCode != 403 {
			t.Errorf("a host may upload: %s", resp.Status)
		}
		// The question is not taken for the host's own visit.
		rows := l.Rows("host_getObjects", []any{}, map[string]any{"id": pc1})
		if rows[0]["ipAddress"] != nil {
			t.Errorf("the host's address is the depot's: %v", rows[0]["ipAddress"])
		}
	})
	l.Run("as opsi's tools install a package", func(t *testing.T) {
		name, data := l.Built("editor", "1.0", lab.Setup("echo editor"))
		admin := b.AdminClient()
		call := func(method string, args ...any) any {
			t.Helper()
			v, err := admin.Call(t.Context(), methods.Actor{}, method, methods.Pos(args...))
			if err != nil {
				t.Fatalf("%s: %v", method, err)
			}
			return v
		}
		if status, text := b.Admin("PUT", "/repository/"+name, bytes.NewReader(data)); status != 201 {
			t.Fatalf("%d %s", status, text)
		}
		path := filepath.Join(b.Dir, "repository", name)
		if sum := call("depot_getMD5Sum", path).(string); len(sum) != 32 {
			t.Error(sum)
		}
		call("depot_createMd5SumFile", path, path+".md5")
		if status, text := b.Admin("GET", "/repository/"+name+".md5", nil); status != 200 || len(text) != 32 {
			t.Errorf("%d %s", status, text)
		}
		if room := call("depot_getDiskSpaceUsage", filepath.Join(b.Dir, "repository")).(map[string]any); room["capacity"].(int64) < room["available"].(int64) {
			t.Error(room)
		}
		call("depot_installPackage", path, false, map[string]any{}, nil)
		if got := strings.Join(onBranch(), ", "); got != "editor 1.0, office 2.0" && got != "office 2.0, editor 1.0" {
			t.Error(got)
		}
		list := filepath.Join(b.Depot("editor"), "editor.files")
		before, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(list); err != nil {
			t.Fatal(err)
		}
		call("depot_createPackageContentFile", "editor")
		if after, err := os.ReadFile(list); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s, %v", after, err)
		}
		call("depot_uninstallPackage", "editor")
		if got := strings.Join(onBranch(), ", "); got != "office 2.0" {
			t.Error(got)
		}
		for _, bad := range []string{"/etc/passwd", "../host.key", path + "/../../host.key", "nothing_1.0-1.opsi"} {
			if _, err := admin.Call(t.Context(), methods.Actor{}, "depot_getMD5Sum", methods.Pos(bad)); fleet.CodeOf(err) != fleet.NotFound {
				t.Errorf("%s: %v", bad, err)
			}
		}
		if _, err := admin.Call(t.Context(), methods.Actor{}, "host_getObjects", methods.Params{}); fleet.CodeOf(err) != fleet.NotHere {
			t.Errorf("rows at the depot server: %v", err)
		}
		if _, err := b.Client(pc1, key1).Call(t.Context(), methods.Actor{}, "depot_uninstallPackage", methods.Pos("office")); fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("a host uninstalls: %v", err)
		}
	})
	l.Run("a locked product is left alone", func(t *testing.T) {
		lock := func(locked bool) {
			l.Call("productOnDepot_updateObjects", []any{fleet.Row{"productId": "office", "productType": "LocalbootProduct", "productVersion": "2.0", "packageVersion": "1", "depotId": b.ID, "locked": locked}})
		}
		lock(true)
		l.Package("office", "3.0", lab.Setup("echo three"), lab.Property("language", "de"))
		if _, err := b.Pull("office", l.Server.ID); err == nil || !strings.HasPrefix(err.Error(), "locked: ") {
			t.Errorf("%v", err)
		}
		lock(false)
	})
	l.Run("the config server is away", func(t *testing.T) {
		l.Server.Stop()
		defer l.Server.Start()
		if err := fetch(pc1, key1); err != nil {
			t.Errorf("a known client: %v", err)
		}
		if status, _ := get("/depot/office/small.txt", "pc2.example.org", "21112222333344445555666677778888"); status != 503 {
			t.Errorf("a client that never came before: %d", status)
		}
		b.Stop()
		b.Start() // nobody is known then, but it starts
		if status, _ := get("/depot/office/small.txt", pc1, key1); status != 503 {
			t.Errorf("after a restart: %d", status)
		}
	})
	l.Run("and is back", func(t *testing.T) {
		lab.Await(t, "the depot server is in order", func() bool { status, _ := get("/healthz", "", ""); return status == http.StatusOK })
		if err := fetch(pc1, key1); err != nil {
			t.Error(err)
		}
		if p, err := b.Pull("office", l.Server.ID); err != nil || p.ProductVersion != "3.0" {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

// A client leaves a product alone that is locked on its depot, and says why.
func TestLockedProduct(t *testing.T) {
	l := lab.New(t)
	l.Package("office", "1.0", lab.Setup("echo office"))
	pc := l.Host("pc1")
	pc.Request("office", "setup")
	lock := func(locked bool) {
		l.Call("productOnDepot_updateObjects", []any{fleet.Row{"productId": "office", "productType": "LocalbootProduct", "productVersion": "1.0", "packageVersion": "1", "depotId": l.Server.ID, "locked": locked}})
	}
	lock(true)
	if c := pc.Fire("timer"); c.Status == "done" || !strings.Contains(c.Texts("cache_products"), "it is locked on depot "+l.Server.ID) {
		t.Errorf("%s: %s", c.Status, c.Texts("cache_products"))
	}
	lock(false)
	pc.Fire("timer").OK(t)
}
