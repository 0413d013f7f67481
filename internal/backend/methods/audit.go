package methods

import (
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// auditMethods are about what hosts consist of and what is installed on them.
// An inventory program first marks all that is known of its host as obsolete,
// then writes what it finds.
func auditMethods() []*Method {
	return []*Method{
		{
			Name: "auditHardware_getConfig", Roles: everyone, call: hardwareConfig,
			Doc:    "The hardware classes with their attributes: type, and scope (g: of the model, i: of the one device).",
			Params: []Param{{Name: "language", Optional: true}},
		},
		{
			Name: "auditHardwareOnHost_setObsolete", Roles: []Role{Operator, Depot, Host}, call: setObsolete("hostId"), Writes: true, Class: fleet.AuditHardwareOnHosts,
			Doc:    "Marks all devices of the hosts as no longer there.",
			Params: []Param{{Name: "hostId"}},
		},
		{
			Name: "auditSoftwareOnClient_setObsolete", Roles: []Role{Operator, Depot, Host}, call: setObsolete("clientId"), Writes: true, Class: fleet.AuditSoftwareOnClients,
			Doc:    "Marks all software of the clients as no longer there.",
			Params: []Param{{Name: "clientId"}},
		},
	}
}

func hardwareConfig(c *Call) (any, error) {
	language, err := c.text("language")
	return describeHardware(language), err
}

// setObsolete marks what a host had; whose it is stands in the column named
// like the parameter.
func setObsolete(of string) func(*Call) (any, error) {
	return func(c *Call) (any, error) {
		ids, err := c.hostIDs(of)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if err := c.MayWrite(c.m.Class, fleet.Row{of: id}); err != nil {
				return nil, err
			}
		}
		return nil, c.update(func(tx *store.Tx) error {
			rows, err := tx.Select(c.m.Class, fleet.Filter{of: ids, "state": 1})
			if err != nil {
				return err
			}
			for _, r := range rows {
				r["state"] = int64(0)
				if err := tx.Put(c.m.Class, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
}
