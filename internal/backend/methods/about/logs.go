package about

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

func logMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "log_write", Roles: []methods.Role{methods.Operator, methods.Depot, methods.Host}, Do: logWrite, Writes: true,
			Doc:    "Keeps a log of an object, and the one before; append adds to it.",
			Params: []methods.Param{{Name: "logType"}, {Name: "data"}, {Name: "objectId", Optional: true}, {Name: "append", Optional: true, Default: false}},
		},
		{
			Name: "log_read", Roles: methods.Everyone, Do: logRead,
			Doc:    "The newest part of a log, at most maxSize bytes.",
			Params: []methods.Param{{Name: "logType"}, {Name: "objectId", Optional: true}, {Name: "maxSize", Optional: true, Default: int64(0)}},
		},
		{
			Name: "backend_getSystemConfiguration", Roles: methods.Everyone, Do: systemConfiguration,
			Doc: "What clients have to know of the service: {log: {size_limit, keep_rotated, types}}, the size in bytes.",
		},
	}
}

func systemConfiguration(c *methods.Call) (any, error) {
	if c.Ports().Logs == nil {
		return nil, fleet.Errorf(fleet.NotHere, "cannot call %s: this service keeps no logs", c.Method.Name)
	}
	l := c.Ports().Logs.Limits()
	return map[string]any{"log": map[string]any{"size_limit": l.Size, "keep_rotated": int64(l.Rotated), "types": l.Types}}, nil
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
