package lab_test

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/test/lab"
)

// actor is nobody: the other side finds out who calls.
var actor methods.Actor

func pos(args ...any) methods.Params { return methods.Pos(args...) }

// parameter is a host parameter of the host in its own copy, nil if it is not there.
func parameter(pc *lab.Host, id string) []any {
	return values(pc.LocalRows("configState_getObjects", []any{}, map[string]any{"configId": id, "objectId": pc.ID}))
}

// serverParameter is the same on the server.
func serverParameter(l *lab.Lab, pc *lab.Host, id string) []any {
	return values(l.Rows("configState_getObjects", []any{}, map[string]any{"configId": id, "objectId": pc.ID}))
}

func values(rows []fleet.Row) []any {
	if len(rows) == 0 {
		return nil
	}
	list, _ := rows[0]["values"].([]any)
	return list
}
