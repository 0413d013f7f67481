// Package content is about what hosts run and who signed it: an administrator
// hands in what he signed offline, looks at what the server has, and sees what the
// server itself had to sign.
//
// The documents are public by nature, so whoever may look at the fleet may read
// them here; hosts fetch them at /v1/trust. Handing in is the administrators',
// and even they can only hand in what the keys of the trust root signed.
package content

import (
	"encoding/base64"
	"slices"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// maxContents is how many contents one call may bring; each is at most 1 MiB.
const maxContents = 64

// Group is the package's part of the method table.
func Group() methods.Group {
	look := []methods.Role{methods.Operator, methods.Reader, methods.Depot}
	return methods.Group{Methods: []*methods.Method{
		{
			Name: "trust_getDocuments", Roles: look, Do: documents,
			Doc:    "What was signed about content: {roots (from a version on), targets, depot, snapshot, timestamp, online (the server's public keys by role), contents (SHA-256)}.",
			Params: []methods.Param{{Name: "rootsFrom", Optional: true}},
		},
		{
			Name: "trust_getContent", Roles: look, Do: content,
			Doc:    "What a target with content holds, in base64.",
			Params: []methods.Param{{Name: "sha256"}},
		},
		{
			Name: "trust_publish", Roles: []methods.Role{}, Do: publish, Writes: true,
			Doc:    "Takes roots and targets that were signed offline, and contents in base64; all or nothing. Returns the versions that count now.",
			Params: []methods.Param{{Name: "roots", Optional: true}, {Name: "targets", Optional: true}, {Name: "contents", Optional: true}},
		},
		{
			Name: "trust_makeKeys", Roles: []methods.Role{}, Do: makeKeys, Writes: true,
			Doc: "Makes online keys for the next root to name; returns the public ones by role.",
		},
		{
			Name: "trust_getTree", Roles: look, Do: tree,
			Doc:    "Who signed the tree that a depot has of a product, and which of its hosts refuse it: {signed, known, platforms, refused, refusing, silent}.",
			Params: []methods.Param{{Name: "depotId"}, {Name: "productId"}},
		},
	}}
}

func portOf(c *methods.Call) (port.Trust, error) {
	if t := c.Ports().Trust; t != nil {
		return t, nil
	}
	return nil, fleet.WithHint(fleet.Errorf(fleet.NotHere, "cannot call %s: no documents are kept here", c.Method.Name), "ask the config server")
}

func documents(c *methods.Call) (any, error) {
	t, err := portOf(c)
	if err != nil {
		return nil, err
	}
	from := int64(1)
	switch v := c.Args["rootsFrom"].(type) {
	case nil:
	case int64:
		from = v
	case int:
		from = int64(v)
	case float64:
		from = int64(v)
	default:
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: parameter rootsFrom wants a version", c.Method.Name)
	}
	d, err := t.Documents(c.Context, from)
	if err != nil {
		return nil, err
	}
	online := map[string]any{}
	for role, key := range d.Online {
		online[role] = key
	}
	return map[string]any{"roots": list(d.Roots), "targets": d.Targets, "depot": d.Depot, "snapshot": d.Snapshot, "timestamp": d.Timestamp,
		"online": online, "contents": list(d.Contents)}, nil
}

func list(texts []string) []any {
	out := make([]any, len(texts))
	for i, s := range texts {
		out[i] = s
	}
	return out
}

func content(c *methods.Call) (any, error) {
	t, err := portOf(c)
	if err != nil {
		return nil, err
	}
	sum, err := c.Text("sha256")
	if err != nil {
		return nil, err
	}
	var data []byte
	err = c.View(func(tx *store.Tx) (err error) { data, err = t.Content(tx, sum); return err })
	return base64.StdEncoding.EncodeToString(data), err
}

func publish(c *methods.Call) (any, error) {
	t, err := portOf(c)
	if err != nil {
		return nil, err
	}
	var p port.TrustPublication
	if p.Roots, err = c.Texts("roots"); err != nil {
		return nil, err
	}
	if p.Targets, err = c.Text("targets"); err != nil {
		return nil, err
	}
	contents, err := c.Texts("contents")
	if err != nil {
		return nil, err
	}
	if len(contents) > maxContents {
		return nil, fleet.Errorf(fleet.TooLarge, "cannot call %s: %d contents, it takes %d at once", c.Method.Name, len(contents), maxContents)
	}
	for i, text := range contents {
		data, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: content %d is not base64", c.Method.Name, i+1)
		}
		p.Contents = append(p.Contents, data)
	}
	done, err := t.Publish(c.Context, c.Origin(), p)
	if err != nil {
		return nil, err
	}
	return map[string]any{"root": done.Root, "targets": done.Targets, "depot": done.Depot, "snapshot": done.Snapshot, "timestamp": done.Timestamp}, nil
}

func makeKeys(c *methods.Call) (any, error) {
	t, err := portOf(c)
	if err != nil {
		return nil, err
	}
	keys, err := t.MakeKeys(c.Context, c.Origin())
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for role, key := range keys {
		out[role] = key
	}
	return out, nil
}

func tree(c *methods.Call) (any, error) {
	t, err := portOf(c)
	if err != nil {
		return nil, err
	}
	depot, err := c.Text("depotId")
	if err != nil {
		return nil, err
	}
	product, err := c.Text("productId")
	if err != nil {
		return nil, err
	}
	var j *port.TrustJudgement
	err = c.View(func(tx *store.Tx) (err error) {
		if j, err = t.Judge(tx, depot, product); err != nil || len(j.Refused) == 0 {
			return err
		}
		// Numbers are for everybody, names for those who may see the host.
		seen, err := c.SelectVisible(tx, fleet.Hosts, fleet.Filter{"id": j.Refused})
		j.Refused = nil
		for _, r := range seen {
			j.Refused = append(j.Refused, r.Str("id"))
		}
		slices.Sort(j.Refused)
		return err
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"signed": j.Signed, "known": j.Known, "platforms": list(j.Platforms), "refused": list(j.Refused), "refusing": int64(j.Refusing),
		"silent": int64(j.Silent)}, nil
}
