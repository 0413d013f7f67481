// Package nodefiles holds the methods about the files of node types.
//
// A file is a way to run what one likes on a node. So the list is the
// administrators' alone, and hosts whose policy is not plain-opsi believe it only
// when it was signed offline. Contents go in, and never come out by a method.
package nodefiles

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// Group is the package's part of the method table.
func Group() methods.Group {
	administrators, watchers := []methods.Role{}, []methods.Role{methods.Operator, methods.Reader}
	kind := methods.Param{Name: "nodeType", Optional: true}
	return methods.Group{Methods: []*methods.Method{
		{Name: "nodeFile_set", Roles: administrators, Do: set, Writes: true,
			Doc:    "Gives the nodes of a type a file, or other content in it: its description, as in the list, and the blob in base64. A secret's blob begins with 32 random bytes, which are in its digest.",
			Params: []methods.Param{{Name: "nodeType"}, {Name: "file"}, {Name: "blob"}}},
		{Name: "nodeFile_remove", Roles: administrators, Do: remove, Writes: true,
			Doc:    "Takes a file from the nodes of a type: they remove what they wrote, unless it was changed there.",
			Params: []methods.Param{{Name: "nodeType"}, {Name: "path"}}},
		{Name: "nodeFile_getObjects", Roles: watchers, Do: list, Params: []methods.Param{kind},
			Doc: "The files of the nodes of a type, or of all, without their contents. Signed says whether the list that was signed offline has the file so: yes, no, or other."},
		{Name: "nodeFile_getList", Roles: watchers, Do: text, Params: []methods.Param{{Name: "nodeType"}},
			Doc: "The list of a node type as it is signed: text, in its one spelling."},
		{Name: "nodeFile_getStatus", Roles: watchers, Do: status, Params: []methods.Param{kind},
			Doc: "How the files are on hosts, as each told last."},
		{Name: "nodeFile_getHostKeys", Roles: watchers, Do: hostKeys, Params: []methods.Param{kind},
			Doc: "The public keys of hosts' SSH servers with the names that they are reached by. Hosts that were revoked are left out."},
	}}
}

// about is who keeps the files, and the node type that a call is about.
func about(c *methods.Call) (p port.NodeFiles, kind string, err error) {
	if p = c.Ports().NodeFiles; p == nil {
		return nil, "", fleet.WithHint(fleet.Errorf(fleet.NotHere, "cannot call %s: no files of nodes are kept here", c.Method.Name), "ask the config server")
	}
	kind, err = c.Text("nodeType")
	if err == nil && kind != "" {
		err = enrol.ValidNodeType(kind)
	}
	return p, kind, err
}

func set(c *methods.Call) (any, error) {
	p, kind, err := about(c)
	if err != nil {
		return nil, err
	}
	given, err := json.Marshal(c.Args["file"])
	if err != nil {
		return nil, err
	}
	var f nodefile.File
	d := json.NewDecoder(strings.NewReader(string(given)))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the description of a node's file: %w", err)
	}
	text, err := c.Text("blob")
	if err != nil {
		return nil, err
	}
	if len(text) > base64.StdEncoding.EncodedLen(nodefile.MaxBlob) {
		return nil, fleet.Errorf(fleet.TooLarge, "cannot take %s: it may have %d bytes", f.Path, nodefile.MaxSize)
	}
	blob, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the content of %s: it is not in base64", f.Path)
	}
	return nil, c.Update(func(tx *store.Tx) error { return p.Set(tx, c.Origin(), kind, f, blob) })
}

func remove(c *methods.Call) (any, error) {
	p, kind, err := about(c)
	if err != nil {
		return nil, err
	}
	path, err := c.Text("path")
	if err != nil {
		return nil, err
	}
	return nil, c.Update(func(tx *store.Tx) error { return p.Remove(tx, c.Origin(), kind, path) })
}

func list(c *methods.Call) (any, error) {
	p, kind, err := about(c)
	if err != nil {
		return nil, err
	}
	type object struct {
		NodeType string `json:"nodeType"`
		nodefile.File
		Signed string `json:"signed"`
	}
	out := []object{}
	err = c.View(func(tx *store.Tx) error {
		kinds := []string{kind}
		if kind == "" {
			if kinds, err = p.Types(tx); err != nil {
				return err
			}
		}
		for _, kind := range kinds {
			own, signed, err := p.List(tx, kind)
			if err != nil {
				return err
			}
			for _, f := range own.Files {
				out = append(out, object{kind, f, stands(f, signed)})
			}
		}
		return nil
	})
	return methods.Plain(out, err)
}

// stands says how a file stands to what was signed.
func stands(f nodefile.File, signed *nodefile.List) string {
	if signed == nil {
		return "no"
	}
	o, there := signed.Find(f.Path)
	switch {
	case !there:
		return "no"
	case o.Same(f):
		return "yes"
	}
	return "other"
}

func text(c *methods.Call) (any, error) {
	p, kind, err := about(c)
	if err != nil {
		return nil, err
	}
	var data []byte
	err = c.View(func(tx *store.Tx) error {
		own, _, err := p.List(tx, kind)
		if err == nil {
			data, err = own.Bytes()
		}
		return err
	})
	return string(data), err
}

func status(c *methods.Call) (any, error) {
	return told(c, port.NodeFiles.Status, func(h port.NodeFileHost) (string, string) { return h.HostID, h.NodeType })
}

func hostKeys(c *methods.Call) (any, error) {
	return told(c, port.NodeFiles.HostKeys, func(h port.HostKeys) (string, string) { return h.HostID, h.NodeType })
}

// told is what hosts told, of those that the caller sees and that are of the type.
func told[T any](c *methods.Call, all func(port.NodeFiles, *store.Tx) ([]T, error), of func(T) (hostID, nodeType string)) (any, error) {
	p, kind, err := about(c)
	if err != nil {
		return nil, err
	}
	var out []T
	err = c.View(func(tx *store.Tx) error {
		sees, _, err := c.InScope(tx)
		if err == nil {
			out, err = all(p, tx)
		}
		out = slices.DeleteFunc(out, func(one T) bool {
			host, is := of(one)
			return !sees(host) || kind != "" && is != kind
		})
		return err
	})
	return methods.Plain(out, err)
}
