//go:build linux

package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// TestServerTakenOver_EveryDoor is attack 22: somebody has the server, its disk, its
// keys and its administrator's password. He tries every door to code of his own on a
// host with the policy offline, and finds each one closed.
func TestServerTakenOver_EveryDoor(t *testing.T) {
	t.Parallel()
	o := siegeOf(t)
	call := func(t *testing.T, method string, args ...any) any {
		t.Helper()
		v, err := o.Call(t.Context(), method, args...)
		must(t, err)
		return v
	}
	door := func(name string, try func(t *testing.T, v *victim)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := o.victim(t, "offline")
			try(t, v)
			v.unharmed(t)
			v.lies(t, o.first.shown(t)...)
			v.works(t)
			if id := identityOf(t, v.Data); id.Policy != "offline" || id.Server != o.mirror || id.HostID != v.id {
				t.Errorf("the machine is another one: %+v", id)
			}
			v.Kill()
		})
	}
	door("a_product_that_nobody_signed", func(t *testing.T, v *victim) { v.refuses(t, "loose", "refused loose 1.0-1") })
	door("another_file_of_a_signed_product", func(t *testing.T, v *victim) {
		call(t, "product_updateObjects", fleet.Row{"type": fleet.LocalbootProduct, "id": "other", "productVersion": "1.0", "packageVersion": "1", "setupScript": "evil.sh"})
		v.refuses(t, "other", `the server names "evil.sh", and "setup.sh" is signed`)
	})
	// A machine that knows nothing yet is told these from the beginning.
	told := func(t *testing.T, rule lie) *victim {
		v := o.joined(t, "offline")
		v.lies(t, o.first.shown(t, rule)...)
		must(t, v.Start(t.Context()))
		return v
	}
	door("another_file_in_an_answer", func(t *testing.T, _ *victim) {
		v := told(t, lie{Path: "^/rpc", Do: "replace", Old: "setup.sh", New: "evil.sh"})
		v.refuses(t, "good", `the server names "evil.sh", and "setup.sh" is signed`)
		v.met(t)
	})
	door("a_version_that_was_never_built", func(t *testing.T, _ *victim) {
		v := told(t, lie{Path: "^/rpc", Do: "replace", Old: `"productVersion":"1.0"`, New: `"productVersion":"9.9"`})
		v.refuses(t, "fresh", "refused fresh 9.9-1")
		v.met(t)
	})
	door("something_that_a_signed_product_needs", func(t *testing.T, v *victim) {
		call(t, "productDependency_createObjects", fleet.Row{"type": "ProductDependency", "productId": "needy", "productVersion": "1.0", "packageVersion": "1", "productAction": "setup",
			"requiredProductId": "loose", "requiredAction": "setup", "requirementType": "before"})
		v.refuses(t, "needy", "refused loose 1.0-1")
		if v.ran("loose1.0") > 0 {
			t.Error("what nobody signed was run, because a signed product needs it")
		}
	})
	door("a_property_as_a_path", func(t *testing.T, v *victim) {
		call(t, "productPropertyState_create", "good", "target", v.id, []any{"$(" + strings.TrimSpace(o.evil()) + ")"})
		v.works(t)
	})
	door("a_tree_with_the_depots_signature", func(t *testing.T, v *victim) {
		_, _, _, depot := o.second.parsed(t)
		depot.Version++
		id := call(t, "getDepotId", v.id)
		depot.Targets = map[string]trust.Target{trust.DepotName(fmt.Sprint(id), "loose", "1.0", "1", "any"): {Length: 1000, SHA256: digestOf(t, o, "loose")}}
		v.lies(t, o.forge(t, forgery{depot: sign(t, depot, o.keys[trust.Depot]), depotVersion: depot.Version})...)
		v.refuses(t, "loose", "only the server's own key vouches for it")
		if v.trust(t).Versions[trust.Depot] != depot.Version {
			t.Error("the list itself was not believed: the door was not tried")
		}
	})
	door("an_update_that_nobody_signed", func(t *testing.T, v *victim) {
		script := []byte("#!/bin/sh\n" + o.evil())
		v.lies(t, o.first.shown(t, offered("001", "666"), serves("^/v1/trust/content/", script))...)
		await(t, "it is refused", func() (bool, error) { return v.heard(t)[0].Hits > 2, nil })
		v.works(t)
		v.says(t, "666")
	})
	door("an_update_again", func(t *testing.T, v *victim) {
		v.lies(t, o.first.shown(t, serves("^/v1/updates$", []byte(`{"offered":["001","001"],"withdrawn":["001"]}`)))...)
		await(t, "it was offered again", func() (bool, error) { return v.heard(t)[0].Hits > 2, nil })
		v.lies(t, o.first.shown(t, offered("001"))...)
		await(t, "it was offered again", func() (bool, error) { return v.heard(t)[0].Hits > 2, nil })
		if n := v.ran("update001"); n != 1 {
			t.Errorf("001 ran %d times", n)
		}
	})
	door("host_parameters_of_the_classes_code_and_trust", func(t *testing.T, v *victim) {
		for key, value := range map[string]any{"depot_server.content_policy": "plain-opsi", "config_service.server_url": "https://evil.test:4447", "config_service.url": "https://evil.test",
			"control_server.interface": "0.0.0.0", "cache_service.storage_dir": "/", "feed.url": "http://evil.test/feed", "global.base_dir": "/", "event_evil.active": true, "event_evil.action_processor_command": "sh " + o.evil()} {
			id := "opsiclientd." + key
			if _, err := o.Call(t.Context(), "configState_createObjects", fleet.Row{"type": "ConfigState", "configId": id, "objectId": v.id, "values": []any{value}}); err != nil {
				call(t, "config_createUnicode", id)
				call(t, "configState_create", id, v.id, []any{fmt.Sprint(value)})
			}
		}
		v.works(t)
		v.says(t, "configuration that does not count here", "content_policy")
		v.refuses(t, "loose", "refused loose 1.0-1")
	})
	// The same answer has a machine that believes the server write the file.
	for _, policy := range []string{"offline", "plain-opsi"} {
		door("files_of_its_node_type_"+policy, func(t *testing.T, _ *victim) {
			me, err := user.Current()
			must(t, err)
			us, err := user.LookupGroupId(me.Gid)
			must(t, err)
			f := nodefile.File{Path: "/etc/cron", Mode: 0o644, Owner: me.Username, Group: us.Name}
			blob, err := f.Seal([]byte("* * * * * root "+o.evil()), nil)
			must(t, err)
			list, err := (&nodefile.List{NodeType: "vnode"}).With(f).Bytes()
			must(t, err)
			answer, err := json.Marshal(nodefile.Answer{NodeType: "vnode", List: list, Every: 5})
			must(t, err)
			content, err := json.Marshal(nodefile.BlobAnswer{Blob: blob})
			must(t, err)
			v := o.machine(t, policy, func(string) {})
			text, err := os.ReadFile(filepath.Join(v.Data, "identity.json"))
			must(t, err)
			text = bytes.Replace(text, []byte("{"), []byte(`{"nodeType":"vnode",`), 1)
			must(t, os.WriteFile(filepath.Join(v.Data, "identity.json"), text, 0o600))
			v.lies(t, o.first.shown(t, serves("^/v1/files$", answer), serves("^/v1/files/blob$", content))...)
			must(t, v.Start(t.Context()))
			await(t, "it asked and heard the lie", func() (bool, error) { return v.heard(t)[0].Hits > 1, nil })
			await(t, "the list is looked at", func() (bool, error) {
				out, _, _, err := o.Programs.Run(t.Context(), nil, "fernwerk-agent", "files", "list", "--data", v.Data)
				return strings.Contains(out, map[string]string{"offline": "only a list that was signed offline counts; asked", "plain-opsi": "in place"}[policy]), err
			})
			if _, err := os.Stat(filepath.Join(v.Data+".root", "etc/cron")); (err == nil) != (policy == "plain-opsi") {
				t.Errorf("under %s: %v", policy, err)
			}
		})
	}
	door("a_command_over_the_bus", func(t *testing.T, v *victim) {
		call(t, "configState_createObjects", fleet.Row{"type": "ConfigState", "configId": "opsiclientd.config_service.permanent_connection", "objectId": v.id, "values": []any{true}})
		v.syncs(t)
		await(t, "the host is on the bus", func() (bool, error) {
			got, err := o.Call(t.Context(), "hostControl_reachable", []any{v.id})
			return strings.Contains(fmt.Sprint(got), "true"), err
		})
		for _, method := range []string{"hostControl_execute", "hostControlSafe_execute"} {
			got, err := o.Call(t.Context(), method, o.evil(), v.id)
			if err == nil && !strings.Contains(fmt.Sprint(got), "error:") || strings.Contains(fmt.Sprint(got), "error:<nil>") {
				t.Errorf("%s: %v, %v", method, got, err)
			}
		}
	})
	door("the_local_service_with_the_host_key", func(t *testing.T, v *victim) {
		for _, method := range []string{"execute", "runCommand", "setPolicy", "trust_publish", "update_publish"} {
			if got, err := v.Ask(t.Context(), method, o.evil()); err == nil {
				t.Errorf("%s: %v", method, got)
			}
		}
	})
	door("a_foreign_authority_with_a_contact", func(t *testing.T, v *victim) {
		fake := pose(t, nil, "")
		foreign := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: fake.Certificate().Raw})
		was := identityOf(t, v.Data).CA
		for field, value := range map[string][]byte{"roots": foreign, "crl": []byte("no list")} {
			v.quiet(t)
			v.lies(t, o.first.shown(t, lie{Path: "^/v1/contact$", Do: "replace", Old: `{"mark"`, New: `{"` + field + `":"` + base64.StdEncoding.EncodeToString(value) + `","mark"`})...)
			await(t, field+" is refused", func() (bool, error) {
				log, err := os.ReadFile(v.Log)
				return bytes.Contains(log, []byte("What the server sent is not taken")), err
			})
		}
		if identityOf(t, v.Data).CA != was {
			t.Error("it believes another authority")
		}
		if _, err := os.Stat(filepath.Join(v.Data, "revoked.crl")); err == nil {
			data, _ := os.ReadFile(filepath.Join(v.Data, "revoked.crl"))
			if _, err := x509.ParseRevocationList(data); err != nil {
				t.Error("the list of revocations is damaged")
			}
		} else if !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	door("a_certificate_of_another_host", func(t *testing.T, v *victim) {
		other := o.joined(t, "offline")
		was := identityOf(t, v.Data).Chain
		chain := strings.ReplaceAll(identityOf(t, other.Data).Chain, "\n", `\n`)
		v.lies(t, o.first.shown(t, serves("^/v1/renew$", []byte(`{"chain":"`+chain+`","roots":""}`)),
			lie{Path: "^/v1/contact$", Do: "replace", Old: `{"mark"`, New: `{"renew":true,"mark"`})...)
		await(t, "it is refused", func() (bool, error) {
			log, err := os.ReadFile(v.Log)
			return bytes.Contains(log, []byte("does not fit our key")), err
		})
		if identityOf(t, v.Data).Chain != was {
			t.Error("it shows another certificate")
		}
	})
}
