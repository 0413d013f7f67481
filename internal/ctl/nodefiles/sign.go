package nodefiles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/offline"
	"github.com/fernwerk/fernwerk/internal/ctl/signing"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// held is the list of a node type in a folder of content trust; one without files
// if there is none.
func held(d *offline.Dir, nodeType string) (*nodefile.List, error) {
	name := nodefile.Target(nodeType)
	if _, there := d.Find(name); !there {
		return &nodefile.List{NodeType: nodeType}, nil
	}
	data, err := d.Content(name)
	if err != nil {
		return nil, err
	}
	return nodefile.Parse(data)
}

// signed changes the list in the folder of content trust, and signs it.
func (t command) signed(nodeType string, f *signing.Flags, change func(*nodefile.List) *nodefile.List) (version int64, err error) {
	d, err := f.Open(t.Tool, "")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	l, err := held(d, nodeType)
	if err != nil {
		return 0, err
	}
	return t.put(d, f, change(l))
}

func (t command) put(d *offline.Dir, f *signing.Flags, l *nodefile.List) (version int64, err error) {
	text, err := l.Bytes()
	if err == nil {
		err = d.Add(nodefile.Target(l.NodeType), text, nil)
	}
	if err != nil {
		return 0, err
	}
	if !d.Changed() {
		return d.List().Version, nil
	}
	ring, err := f.Ring(t.Tool)
	if err != nil {
		return 0, err
	}
	return d.Sign(ring, time.Now())
}

func (t command) signCommand() *cobra.Command {
	var f signing.Flags
	var w tool.Writing
	var file string
	c := &cobra.Command{
		Use: "sign NODETYPE", Args: tool.Args,
		Short: "Sign the list of a node type as the server has it",
		Long: `Sign the list of a node type as the server has it, or as it is in a file that
"node-file show NODETYPE" printed: then no network is needed. It says what changes
against what was signed before, and asks.

A server that was taken over says here what it likes. Compare the digests of files
that are no secrets with sha256sum, or use "node-file set --trust", which signs what
it reads itself.`,
		Example: "  fernwerk node-file sign vnode --trust /media/stick/trust\n  fernwerk node-file sign vnode --list vnode.list --trust /media/stick/trust",
		RunE: func(c *cobra.Command, given []string) error {
			return t.sign(c.Context(), given[0], file, &f, w)
		},
	}
	c.Flags().StringVar(&file, "list", "", "a file with the list, instead of asking the server")
	w.Add(c)
	f.AddDir(c)
	f.Add(c)
	return c
}

func (t command) sign(ctx context.Context, nodeType, file string, f *signing.Flags, w tool.Writing) (err error) {
	if err := enrol.ValidNodeType(nodeType); err != nil {
		return err
	}
	var l *nodefile.List
	if file == "" {
		l, err = t.list(ctx, nodeType)
	} else {
		l, err = readList(file)
	}
	if err == nil && l.NodeType != nodeType {
		err = fleet.Errorf(fleet.Invalid, "cannot sign for nodes of type %s: the list is that of %s", nodeType, l.NodeType)
	}
	if err != nil {
		return err
	}
	d, err := f.Open(t.Tool, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	before, err := held(d, nodeType)
	if err != nil {
		return err
	}
	changes := compare(before, l)
	said := map[string]any{"nodeType": nodeType, "changes": changes, "dryRun": w.DryRun}
	if len(changes) == 0 {
		return t.Say(said, "signed already")
	}
	for _, line := range changes {
		t.Remark("%s", line)
	}
	if w.DryRun {
		return t.Say(said, "would sign this for nodes of type %s", nodeType)
	}
	if err := t.Confirm(w.Yes, "sign this for all nodes of type "+nodeType); err != nil {
		return err
	}
	version, err := t.put(d, f, l)
	if err != nil {
		return err
	}
	said["targets"] = version
	return t.Say(said, "signed the files of nodes of type %s: list %d; next: fernwerk trust publish", nodeType, version)
}

func readList(path string) (*nodefile.List, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, nodefile.MaxList+1))
	if err != nil {
		return nil, err
	}
	return nodefile.Parse(data)
}

// compare says what is to be signed that was not signed before.
func compare(before, after *nodefile.List) (changes []string) {
	changes = []string{}
	for _, f := range after.Files {
		o, there := before.Find(f.Path)
		switch {
		case !there:
			changes = append(changes, fmt.Sprintf("new: %s, %s, sha256 %s", f.Path, describe(f), f.SHA256))
		case !o.Same(f):
			changes = append(changes, fmt.Sprintf("changed: %s, %s, sha256 %s (was %s, sha256 %s)", f.Path, describe(f), f.SHA256, describe(o), o.SHA256))
		}
	}
	for _, f := range before.Files {
		if _, there := after.Find(f.Path); !there {
			changes = append(changes, "gone: "+f.Path)
		}
	}
	return changes
}
