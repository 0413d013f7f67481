package depots

import "github.com/fernwerk/fernwerk/internal/backend/methods"

func clientMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "getDepotSelectionAlgorithm", Roles: methods.Everyone, Do: selectionAlgorithm,
			Doc: "Python text by which an opsi client chooses among the depots that have what it needs; Fernwerk's agents get the way by name, in clientconfig.depot.selection_mode.",
		},
		{
			Name: "accessControl_getCaller", Roles: methods.Everyone, Do: caller,
			Doc: "Who the caller is: {id, role}.",
		},
	}
}

func caller(c *methods.Call) (any, error) {
	return map[string]any{"id": c.Actor.ID, "role": string(c.Actor.Role)}, nil
}
