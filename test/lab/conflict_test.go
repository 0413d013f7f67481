package lab_test

import (
	"fmt"
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/test/lab"
)

// TestConflict has server and client change the same objects while they do not
// see each other. Each subtest is one written rule; all conflicts meet in one
// push.
func TestConflict(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	pc := l.Host("pc1", lab.Conf(onlyActions))
	products := []string{"installed", "overridden", "moved", "status", "deleted"}
	for _, id := range products {
		l.Package(id, "1", lab.Property("unchanged", "default"), lab.Property("changed", "default"), lab.Setup("true"), lab.Script("uninstall", "true"))
		pc.Request(id, "setup")
	}
	for _, id := range []string{"unchanged", "changed", "deleted"} {
		pc.Set("site."+id, "old")
	}
	software := fleet.Row{"name": "vim", "version": "9", "subVersion": "", "language": "", "architecture": "x64"}
	l.Call("auditSoftware_createObjects", software)
	usage := func(n int) fleet.Row {
		r := software.Clone()
		r["clientId"], r["usageFrequency"] = pc.ID, n
		return r
	}
	pc.Fire("timer").OK(t)

	// The client, alone: it installs all, and changes its configuration.
	onHere := func(product string, more fleet.Row) {
		r := fleet.Row{"productId": product, "productType": "LocalbootProduct", "clientId": pc.ID, "installationStatus": "installed",
			"actionRequest": "none", "lastAction": "setup", "actionResult": "successful", "productVersion": "1", "packageVersion": "1"}
		for k, v := range more {
			r[k] = v
		}
		pc.LocalCall("productOnClient_updateObjects", []any{r})
	}
	for _, id := range products {
		onHere(id, nil)
	}
	for _, id := range []string{"unchanged", "changed", "deleted", "new"} {
		pc.LocalCall("configState_create", "site."+id, pc.ID, []any{"client"})
	}
	for _, id := range []string{"unchanged", "changed"} {
		pc.LocalCall("productPropertyState_create", "installed", id, pc.ID, []any{"client"})
	}
	pc.LocalCall("auditSoftware_createObjects", software)
	pc.LocalCall("auditSoftwareOnClient_createObjects", usage(9))

	// Meanwhile the server.
	onServer := func(product string, more fleet.Row) {
		r := fleet.Row{"productId": product, "productType": "LocalbootProduct", "clientId": pc.ID}
		for k, v := range more {
			r[k] = v
		}
		l.Call("productOnClient_updateObjects", []any{r})
	}
	onServer("overridden", fleet.Row{"actionRequest": "uninstall"})
	onServer("status", fleet.Row{"installationStatus": "unknown", "actionResult": "failed"})
	l.Call("productOnClient_delete", "deleted", pc.ID)
	l.Package("moved", "2", lab.Setup("true"))
	l.Call("configState_create", "site.changed", pc.ID, []any{"server"})
	l.Call("configState_delete", "site.deleted", pc.ID)
	l.Call("productPropertyState_create", "installed", "changed", pc.ID, []any{"server"})
	l.Call("auditSoftwareOnClient_createObjects", usage(5))

	c := pc.Fire("config_only").OK(t)
	text := c.Texts("sync_config_to_server")
	both := func(t *testing.T, class string, filter fleet.Row, column string, want any) {
		t.Helper()
		for where, rows := range map[string][]fleet.Row{
			"server": l.Rows(class+"_getObjects", []any{}, map[string]any(filter)),
			"client": pc.LocalRows(class+"_getObjects", []any{}, map[string]any(filter)),
		} {
			var got any = "gone"
			if len(rows) > 0 {
				got = rows[0][column]
			}
			equal(t, fmt.Sprintf("%s of the %s", column, where), got, want)
		}
	}
	product := func(t *testing.T, id, want string) {
		t.Helper()
		equal(t, "on the server", pc.State(id), want)
		rows := pc.LocalRows("productOnClient_getObjects", []any{}, map[string]any{"productId": id})
		equal(t, "on the client", lab.State(rows), want)
	}
	l.Run("action_request_client", func(t *testing.T) { product(t, "installed", "installed 1 none successful") })
	l.Run("action_request_client_overrides_the_server's", func(t *testing.T) {
		product(t, "overridden", "installed 1 none successful")
	})
	l.Run("action_request_server_when_the_version_changed", func(t *testing.T) { product(t, "moved", "installed 1 setup successful") })
	l.Run("installation_status_and_action_result_client", func(t *testing.T) { product(t, "status", "installed 1 none successful") })
	l.Run("result_outlives_deletion_on_the_server", func(t *testing.T) { product(t, "deleted", "installed 1 none successful") })
	l.Run("host_parameter_unchanged_on_the_server", func(t *testing.T) {
		both(t, "configState", fleet.Row{"configId": "site.unchanged", "objectId": pc.ID}, "values", []any{"client"})
	})
	l.Run("host_parameter_changed_on_the_server", func(t *testing.T) {
		both(t, "configState", fleet.Row{"configId": "site.changed", "objectId": pc.ID}, "values", []any{"server"})
		contains(t, text, "host parameter: changed on the server meanwhile")
	})
	l.Run("host_parameter_deleted_on_the_server", func(t *testing.T) {
		both(t, "configState", fleet.Row{"configId": "site.deleted", "objectId": pc.ID}, "values", "gone")
		contains(t, text, "deleted on the server since the snapshot and stays deleted")
	})
	l.Run("host_parameter_new_on_the_client", func(t *testing.T) {
		both(t, "configState", fleet.Row{"configId": "site.new", "objectId": pc.ID}, "values", []any{"client"})
	})
	l.Run("product_property_unchanged_on_the_server", func(t *testing.T) {
		got := l.Rows("productPropertyState_getObjects", []any{}, map[string]any{"propertyId": "unchanged", "objectId": pc.ID})
		equal(t, "on the server", values(got), []any{"client"})
	})
	l.Run("product_property_changed_on_the_server", func(t *testing.T) {
		got := l.Rows("productPropertyState_getObjects", []any{}, map[string]any{"propertyId": "changed", "objectId": pc.ID})
		equal(t, "on the server", values(got), []any{"server"})
		contains(t, text, "product property: changed on the server meanwhile")
	})
	l.Run("inventory_client", func(t *testing.T) {
		both(t, "auditSoftwareOnClient", fleet.Row{"clientId": pc.ID}, "usageFrequency", int64(9))
	})
	l.Run("all_was_taken_over", func(t *testing.T) {
		if st := pc.Status(); st.Unsent != 0 {
			t.Errorf("%d unsent", st.Unsent)
		}
		again := pc.Fire("config_only").OK(t)
		equal(t, "the next push", again.Texts("sync_config_to_server"), "done: nothing to send")
	})
}
