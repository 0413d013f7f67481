// Package logs holds the methods by which clients send their logs, and people
// read them.
package logs

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	return methods.Group{Methods: []*methods.Method{
		{
			Name: "log_write", Roles: []methods.Role{methods.Operator, methods.Depot, methods.Host}, Do: logWrite, Writes: true,
			Doc:    "Keeps a log of an object; append adds to it.",
			Params: []methods.Param{{Name: "logType"}, {Name: "data"}, {Name: "objectId", Optional: true}, {Name: "append", Optional: true}},
		},
		{
			Name: "log_read", Roles: methods.Everyone, Do: logRead,
			Doc:    "The newest part of a log, at most maxSize bytes.",
			Params: []methods.Param{{Name: "logType"}, {Name: "objectId", Optional: true}, {Name: "maxSize", Optional: true}},
		},
	}}
}

func logOf(c *methods.Call) (logType, object string, err error) {
	if c.Ports().Logs == nil {
		return "", "", fleet.Errorf(fleet.NotHere, "cannot call %s: this service keeps no logs", c.Method.Name)
	}
	if logType, err = c.Text("logType"); err != nil {
		return "", "", err
	}
	if object, err = c.Text("objectId"); err != nil {
		return "", "", err
	}
	if object == "" && c.Actor.Role == methods.Host {
		object = c.Actor.ID
	}
	if object == "" {
		return "", "", fleet.Errorf(fleet.Invalid, "cannot call %s: parameter objectId is missing", c.Method.Name)
	}
	return logType, object, c.About(object)
}

func logWrite(c *methods.Call) (any, error) {
	logType, object, err := logOf(c)
	if err != nil {
		return nil, err
	}
	data, err := c.Text("data")
	if err != nil {
		return nil, err
	}
	return nil, c.Ports().Logs.Write(logType, object, []byte(data), c.Flag("append", false))
}

func logRead(c *methods.Call) (any, error) {
	logType, object, err := logOf(c)
	if err != nil {
		return nil, err
	}
	size, _ := c.Args["maxSize"].(int64)
	data, err := c.Ports().Logs.Read(logType, object, size)
	return string(data), err
}
