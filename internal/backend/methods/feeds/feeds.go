// Package feeds is the methods about the feed for bare nodes: publish a signed
// script, and say what is published. Everything else about it happens away from
// the server.
package feeds

import (
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	return methods.Group{Methods: []*methods.Method{
		{
			Name: "feed_publish", Roles: []methods.Role{}, Do: publish, Writes: true,
			Doc: "Takes a clear-signed update script for bare nodes: good by the key that is here, and of no lower serial. " +
				"The key comes with the first one; replaceKey takes another.",
			Params: []methods.Param{{Name: "script"}, {Name: "key", Optional: true}, {Name: "replaceKey", Optional: true, Default: false}},
		},
		{
			Name: "feed_getState", Roles: []methods.Role{methods.Operator, methods.Reader}, Do: state,
			Doc: "The update script for bare nodes that is published: {site, serial, expires, fingerprint, sha256, published}.",
		},
	}}
}

func portOf(c *methods.Call) (port.Feed, error) {
	if f := c.Ports().Feed; f != nil {
		return f, nil
	}
	return nil, fleet.Errorf(fleet.NotHere, "cannot call %s: there is no feed here", c.Method.Name)
}

func publish(c *methods.Call) (any, error) {
	f, err := portOf(c)
	if err != nil {
		return nil, err
	}
	script, err := c.Text("script")
	if err != nil {
		return nil, err
	}
	key, err := c.Text("key")
	if err != nil {
		return nil, err
	}
	return shown(f.Publish(c.Context, c.Origin(), key, script, c.Flag("replaceKey", false)))
}

func state(c *methods.Call) (any, error) {
	f, err := portOf(c)
	if err != nil {
		return nil, err
	}
	return shown(f.State(c.Context))
}

func shown(s port.FeedState, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return map[string]any{"site": s.Site, "serial": s.Serial, "expires": s.Expires, "fingerprint": s.Fingerprint, "sha256": s.SHA256, "published": s.Published}, nil
}
