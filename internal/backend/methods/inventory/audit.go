// Package inventory is what a client's inventory program asks for and marks: the
// hardware classes that it looks for, and what is no longer there. Its methods
// are rows of the method table.
package inventory

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Group is the package's part of the method table: what is about what hosts consist of and what is installed on them.
// An inventory program first marks all that is known of its host as obsolete,
// then writes what it finds.
func Group() methods.Group {
	return methods.Group{Methods: []*methods.Method{
		{
			Name: "auditHardware_getConfig", Roles: methods.Everyone, Do: hardwareConfig,
			Doc:    "The hardware classes with their attributes: type, and scope (g: of the model, i: of the one device).",
			Params: []methods.Param{{Name: "language", Optional: true}},
		},
		{
			Name: "auditHardwareOnHost_setObsolete", Roles: []methods.Role{methods.Operator, methods.Depot, methods.Host}, Do: setObsolete("hostId"), Writes: true, Class: fleet.AuditHardwareOnHosts,
			Doc:    "Marks all devices of the hosts as no longer there.",
			Params: []methods.Param{{Name: "hostId"}},
		},
		{
			Name: "auditSoftwareOnClient_setObsolete", Roles: []methods.Role{methods.Operator, methods.Depot, methods.Host}, Do: setObsolete("clientId"), Writes: true, Class: fleet.AuditSoftwareOnClients,
			Doc:    "Marks all software of the clients as no longer there.",
			Params: []methods.Param{{Name: "clientId"}},
		},
	}}
}

func hardwareConfig(c *methods.Call) (any, error) {
	language, err := c.Text("language")
	return describeHardware(language), err
}

// setObsolete marks what a host had; whose it is stands in the column named
// like the parameter.
func setObsolete(of string) func(*methods.Call) (any, error) {
	return func(c *methods.Call) (any, error) {
		ids, err := c.HostIDs(of)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if err := c.MayWrite(c.Method.Class, fleet.Row{of: id}); err != nil {
				return nil, err
			}
		}
		return nil, c.Update(func(tx *store.Tx) error {
			rows, err := tx.Select(c.Method.Class, fleet.Filter{of: ids, "state": 1})
			if err != nil {
				return err
			}
			for _, r := range rows {
				r["state"] = int64(0)
				if err := tx.Put(c.Method.Class, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
}
