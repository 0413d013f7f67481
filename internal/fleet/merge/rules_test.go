package merge_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/merge"
)

// row makes a canonical row, as store and wire hand it over.
func row(t testing.TB, c *fleet.Class, r fleet.Row) fleet.Row {
	t.Helper()
	if r == nil {
		return nil
	}
	out, err := c.Check(r, fleet.Creating)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func with(r fleet.Row, more fleet.Row) fleet.Row {
	r = r.Clone()
	for k, v := range more {
		r[k] = v
	}
	return r
}

// TestRules is the table of the written rules; each subtest's name is a rule.
func TestRules(t *testing.T) {
	var (
		poc = fleet.Row{"productId": "firefox", "productType": "LocalbootProduct", "clientId": "pc1.example.org",
			"installationStatus": "not_installed", "actionRequest": "setup", "targetConfiguration": "installed"}
		done = with(poc, fleet.Row{"installationStatus": "installed", "actionRequest": "none", "lastAction": "setup",
			"actionResult": "successful", "productVersion": "1", "packageVersion": "2"})
		param    = fleet.Row{"configId": "a.b", "objectId": "pc1.example.org", "values": []any{"old"}}
		property = fleet.Row{"productId": "firefox", "propertyId": "lang", "objectId": "pc1.example.org", "values": []any{"de", "en"}}
		software = fleet.Row{"name": "vim", "version": "9", "clientId": "pc1.example.org", "state": 1, "usageFrequency": 3}
		hardware = fleet.Row{"hostId": "pc1.example.org", "hardwareClass": "VIDEO_CONTROLLER", "name": "card", "state": 1}
		host     = fleet.Row{"type": "OpsiClient", "id": "pc1.example.org", "description": "desk"}
		seat     = fleet.Row{"softwareLicenseId": "l1", "licensePoolId": "p1", "clientId": "pc1.example.org", "licenseKey": "AAA"}
	)
	tests := []struct {
		name               string
		class              *fleet.Class
		base, mine, theirs fleet.Row
		moved              bool
		op                 merge.Op
		want               fleet.Row // columns that the written row must have
		reason             string    // part of the reason
	}{
		// The seed's rules.
		{name: "inventory_client_wins", class: fleet.AuditSoftwareOnClients,
			base: software, mine: with(software, fleet.Row{"usageFrequency": 9}), theirs: with(software, fleet.Row{"usageFrequency": 5}),
			op: merge.Put, want: fleet.Row{"usageFrequency": int64(9)}, reason: "inventory: the client's data have priority"},
		{name: "inventory_client_wins/hardware", class: fleet.AuditHardwareOnHosts,
			base: hardware, mine: with(hardware, fleet.Row{"state": 0}), theirs: hardware,
			op: merge.Put, want: fleet.Row{"state": int64(0), "name": "card"}, reason: "inventory"},
		{name: "action_request_client_unless_version_changed/client", class: fleet.ProductsOnClients,
			base: poc, mine: done, theirs: poc,
			op: merge.Put, want: fleet.Row{"actionRequest": "none"}, reason: "action request: the client's value is valid"},
		{name: "action_request_client_unless_version_changed/server", class: fleet.ProductsOnClients,
			base: poc, mine: done, theirs: poc, moved: true,
			op: merge.Put, want: fleet.Row{"actionRequest": "setup", "installationStatus": "installed", "productVersion": "1"},
			reason: "action request: the product's version on the depot changed meanwhile, so the server's value is valid"},
		{name: "target_configuration_client_unless_version_changed", class: fleet.ProductsOnClients,
			base: poc, mine: with(poc, fleet.Row{"targetConfiguration": "forbidden"}), theirs: poc, moved: true,
			op: merge.Keep, reason: "target configuration: the product's version on the depot changed meanwhile"},
		{name: "action_request_overridden_is_named", class: fleet.ProductsOnClients,
			base: poc, mine: done, theirs: with(poc, fleet.Row{"actionRequest": "uninstall"}),
			op: merge.Put, want: fleet.Row{"actionRequest": "none"},
			reason: `action request: the client's value is valid; it overrides "uninstall", which was set on the server meanwhile`},
		{name: "status_and_result_client_wins", class: fleet.ProductsOnClients,
			base: poc, mine: done, theirs: with(poc, fleet.Row{"installationStatus": "unknown", "actionResult": "failed"}),
			op: merge.Put, want: fleet.Row{"installationStatus": "installed", "actionResult": "successful", "lastAction": "setup"},
			reason: "installation status: the client's data have priority"},
		{name: "status_and_result_client_wins/repeated_with_the_same_result", class: fleet.ProductsOnClients,
			base: with(done, fleet.Row{"actionRequest": "setup"}), mine: done, theirs: with(done, fleet.Row{"actionRequest": "setup", "installationStatus": "unknown"}),
			op: merge.Put, want: fleet.Row{"installationStatus": "installed", "actionRequest": "none"}, reason: "installation status"},
		{name: "host_parameter_only_if_unchanged/unchanged", class: fleet.ConfigStates,
			base: param, mine: with(param, fleet.Row{"values": []any{"mine"}}), theirs: param,
			op: merge.Put, want: fleet.Row{"values": []any{"mine"}}, reason: "host parameter: not changed on the server meanwhile"},
		{name: "host_parameter_only_if_unchanged/changed", class: fleet.ConfigStates,
			base: param, mine: with(param, fleet.Row{"values": []any{"mine"}}), theirs: with(param, fleet.Row{"values": []any{"theirs"}}),
			op: merge.Keep, reason: "host parameter: changed on the server meanwhile"},
		{name: "product_property_only_if_unchanged/unchanged", class: fleet.ProductPropertyStates,
			base: property, mine: with(property, fleet.Row{"values": []any{"fr"}}), theirs: with(property, fleet.Row{"values": []any{"en", "de"}}),
			op: merge.Put, want: fleet.Row{"values": []any{"fr"}}, reason: "product property: not changed on the server meanwhile"},
		{name: "product_property_only_if_unchanged/changed", class: fleet.ProductPropertyStates,
			base: property, mine: with(property, fleet.Row{"values": []any{"fr"}}), theirs: with(property, fleet.Row{"values": []any{"de", "de"}}),
			op: merge.Keep, reason: "product property: changed on the server meanwhile"},

		// What the seed leaves open.
		{name: "unchanged_by_client_leaves_server", class: fleet.ProductsOnClients,
			base: poc, mine: poc, theirs: with(poc, fleet.Row{"actionRequest": "uninstall", "installationStatus": "unknown"}),
			op: merge.Keep, reason: "the server has all that the client has to say"},
		{name: "volatile_is_no_conflict_but_travels", class: fleet.ProductsOnClients,
			base: poc, mine: with(poc, fleet.Row{"actionProgress": "cached"}), theirs: with(poc, fleet.Row{"installationStatus": "unknown", "actionProgress": "?"}),
			op: merge.Put, want: fleet.Row{"actionProgress": "cached", "installationStatus": "unknown", "actionRequest": "setup"}, reason: "action progress"},
		{name: "a_stamp_does_not_travel_alone", class: fleet.ProductsOnClients,
			base: poc, mine: with(poc, fleet.Row{"modificationTime": "2026-01-02 03:04:05"}), theirs: poc,
			op: merge.Keep, reason: "the server has all"},
		{name: "host_parameter_deleted_on_server_stays_deleted", class: fleet.ConfigStates,
			base: param, mine: with(param, fleet.Row{"values": []any{"mine"}}),
			op: merge.Keep, reason: "deleted on the server since the snapshot and stays deleted"},
		{name: "host_parameter_new_on_client", class: fleet.ConfigStates, mine: param,
			op: merge.Put, want: fleet.Row{"values": []any{"old"}}, reason: "the client created the host parameter"},
		{name: "host_parameter_new_on_both_sides", class: fleet.ConfigStates, mine: param, theirs: with(param, fleet.Row{"values": []any{"theirs"}}),
			op: merge.Keep, reason: "host parameter: changed on the server meanwhile"},
		{name: "result_outlives_deletion_without_its_request", class: fleet.ProductsOnClients,
			base: poc, mine: with(poc, fleet.Row{"installationStatus": "unknown", "actionResult": "failed", "lastAction": "setup"}),
			op: merge.Put, want: fleet.Row{"installationStatus": "unknown", "actionResult": "failed", "actionRequest": "none", "targetConfiguration": nil},
			reason: "deleted on the server, but the client's own data are kept"},
		{name: "deleted_on_server_without_news_stays_deleted", class: fleet.ProductsOnClients,
			base: poc, mine: with(poc, fleet.Row{"actionProgress": "caching"}),
			op: merge.Keep, reason: "the client has no new result for it"},
		{name: "inventory_outlives_deletion", class: fleet.AuditHardwareOnHosts,
			base: hardware, mine: with(hardware, fleet.Row{"state": 0}), op: merge.Put, want: fleet.Row{"state": int64(0), "name": "card"}, reason: "kept"},
		{name: "inventory_new_on_client", class: fleet.AuditSoftwareOnClients, mine: software,
			op: merge.Put, want: fleet.Row{"usageFrequency": int64(3)}, reason: "the client created the inventory entry"},
		{name: "hardware_kind_new_on_client", class: fleet.AuditHardwares, mine: fleet.Row{"hardwareClass": "VIDEO_CONTROLLER", "name": "card"},
			op: merge.Put, want: fleet.Row{"hardwareClass": "VIDEO_CONTROLLER", "name": "card"}, reason: "created"},
		{name: "client_deletes_what_is_unchanged", class: fleet.ConfigStates, base: param, theirs: param,
			op: merge.Delete, reason: "the client deleted the host parameter and the server did not change it meanwhile"},
		{name: "client_deletes_ignoring_volatile", class: fleet.ProductsOnClients,
			base: poc, theirs: with(poc, fleet.Row{"modificationTime": "2026-01-02 03:04:05", "actionProgress": "x", "actionSequence": 4}),
			op: merge.Delete, reason: "deleted"},
		{name: "client_does_not_delete_what_changed", class: fleet.ProductsOnClients,
			base: poc, theirs: with(poc, fleet.Row{"actionRequest": "uninstall"}),
			op: merge.Keep, reason: "the server changed its action request meanwhile"},
		{name: "client_does_not_delete_when_version_changed", class: fleet.ProductsOnClients,
			base: poc, theirs: poc, moved: true, op: merge.Keep, reason: "its version on the depot changed meanwhile"},
		{name: "deleted_on_both_sides", class: fleet.ConfigStates, base: param, op: merge.Keep, reason: "both sides deleted"},
		{name: "created_and_deleted_between_two_syncs", class: fleet.ConfigStates, op: merge.Keep, reason: "nothing to say"},
		{name: "host_client_writes_only_its_system_uuid", class: fleet.Hosts, base: host, theirs: host,
			mine: with(host, fleet.Row{"systemUUID": "00000000-0000-0000-0000-000000000001", "description": "hacked", "opsiHostKey": "0123456789abcdef0123456789abcdef"}),
			op:   merge.Put, want: fleet.Row{"systemUUID": "00000000-0000-0000-0000-000000000001", "description": "desk", "opsiHostKey": nil},
			reason: "description: only the server may change it"},
		{name: "host_is_not_created_by_a_client", class: fleet.Hosts, mine: host, op: merge.Keep, reason: "may not create a host"},
		{name: "host_is_not_deleted_by_a_client", class: fleet.Hosts, base: host, theirs: host, op: merge.Keep, reason: "may not delete a host"},
		{name: "host_deleted_on_server_stays_deleted", class: fleet.Hosts, base: host, mine: with(host, fleet.Row{"systemUUID": "00000000-0000-0000-0000-000000000001"}),
			op: merge.Keep, reason: "was deleted on the server"},
		{name: "shared_inventory_is_not_deleted_by_a_client", class: fleet.AuditSoftwares, base: fleet.Row{"name": "vim"}, theirs: fleet.Row{"name": "vim"},
			op: merge.Keep, reason: "may not delete a"},
		{name: "group_membership_is_the_servers", class: fleet.Memberships,
			mine: fleet.Row{"groupType": "HostGroup", "groupId": "g", "objectId": "pc1.example.org"}, op: merge.Keep, reason: "may not create"},
		{name: "product_is_the_servers", class: fleet.Products,
			base:   fleet.Row{"id": "a", "productVersion": "1", "packageVersion": "1", "setupScript": "a.sh"},
			mine:   fleet.Row{"id": "a", "productVersion": "1", "packageVersion": "1", "setupScript": "evil.sh"},
			theirs: fleet.Row{"id": "a", "productVersion": "1", "packageVersion": "1", "setupScript": "a.sh"},
			op:     merge.Keep, reason: "setupScript: only the server may change it"},
		{name: "licence_in_use_travels", class: fleet.LicensesOnClients, base: seat, mine: with(seat, fleet.Row{"licenseKey": "BBB"}), theirs: seat,
			op: merge.Put, want: fleet.Row{"licenseKey": "BBB"}, reason: "licenseKey"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base, mine, theirs := row(t, tt.class, tt.base), row(t, tt.class, tt.mine), row(t, tt.class, tt.theirs)
			d := merge.Merge(tt.class, base, mine, theirs, tt.moved)
			if d.Op != tt.op {
				t.Fatalf("%s because %q, want %s", d.Op, d.Reason, tt.op)
			}
			whole := d.Reason
			for _, cd := range d.Columns {
				whole += "\n" + cd.Reason
			}
			if !strings.Contains(whole, tt.reason) {
				t.Errorf("reason:\n%s\nwant %q", whole, tt.reason)
			}
			for name, want := range tt.want {
				if diff := cmp.Diff(want, d.Row[name]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			if (d.Row != nil) != (d.Op == merge.Put) {
				t.Errorf("%s with row %v", d.Op, d.Row)
			}
		})
	}
}

func TestMerge_ReasonHoldsNoSecret(t *testing.T) {
	seat := row(t, fleet.LicensesOnClients, fleet.Row{"softwareLicenseId": "l", "licensePoolId": "p", "clientId": "a.b.c", "licenseKey": "base-key"})
	d := merge.Merge(fleet.LicensesOnClients, seat, with(seat, fleet.Row{"licenseKey": "my-key"}), with(seat, fleet.Row{"licenseKey": "their-key"}), false)
	for _, cd := range d.Columns {
		if strings.Contains(d.Reason+cd.Reason, "-key") {
			t.Errorf("a secret stands in %q", d.Reason+cd.Reason)
		}
	}
}

func TestMerge_MissingColumnIsLeftAlone(t *testing.T) {
	ident := fleet.Row{"productId": "a", "productType": "LocalbootProduct", "clientId": "a.b.c"}
	theirs := row(t, fleet.ProductsOnClients, with(ident, fleet.Row{"installationStatus": "installed", "actionRequest": "setup"}))
	mine := with(ident, fleet.Row{"actionRequest": "none"})
	d := merge.Merge(fleet.ProductsOnClients, theirs, mine, theirs, false)
	want := with(theirs, fleet.Row{"actionRequest": "none"})
	if diff := cmp.Diff(want, d.Row); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
}
