package nodefiles

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/ctl/signing"
	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// wish is what the flags of `set` say.
type wish struct {
	from, mode, owner, group string
	secret, block            bool
	restart                  []string
	writing                  tool.Writing
	sign                     signing.Flags
}

func (t command) setCommand() *cobra.Command {
	var w wish
	c := &cobra.Command{
		Use: "set NODETYPE PATH", Aliases: []string{"add"}, Args: tool.Args,
		Short: "Give the nodes of a type a file, or other content in it",
		Long: `Give the nodes of a type a file, or other content in it. With --trust the list is
signed as well, of what was read here: no server has a word in that.

A secret lies sealed in the server's database, is given only to nodes of the type,
and nobody can guess it by what the signed list says.

With --block the content is kept between two marks in a file that others write,
too. Services after --restart are restarted after a change, if they run.`,
		Example: `  fernwerk node-file set vnode /etc/munge/munge.key --from munge.key --secret --mode 0400 --owner munge --group munge --restart munge
  fernwerk node-file set vnode /etc/slurm/slurm.conf --from slurm.conf --mode 0644 --restart slurmd --trust ~/trust`,
		RunE: func(c *cobra.Command, given []string) error {
			data, err := w.content(c)
			if err != nil {
				return err
			}
			return t.set(c.Context(), given[0], given[1], data, &w)
		},
	}
	w.add(c)
	f := c.Flags()
	f.StringVar(&w.mode, "mode", "0644", "permissions, such as 0640; of a secret 0600 without a word")
	f.StringVar(&w.owner, "owner", "root", "the owner, a name that the node knows")
	f.StringVar(&w.group, "group", "", "the group (default the owner's name)")
	f.BoolVar(&w.secret, "secret", false, "nobody but nodes of the type may get the content")
	f.BoolVar(&w.block, "block", false, "keep the content between two marks in a file that others write, too")
	f.StringSliceVar(&w.restart, "restart", nil, "services to restart after a change, if they run")
	return c
}

func (w *wish) add(c *cobra.Command) {
	c.Flags().StringVar(&w.from, "from", "", "the file here that holds the content")
	w.writing.Add(c)
	w.sign.AddDir(c)
	w.sign.Add(c)
}

func (w *wish) content(c *cobra.Command) ([]byte, error) {
	if w.from == "" {
		return nil, tool.Misused(c, "cannot give nodes a file without its content: name a file here with --from FILE")
	}
	if f := c.Flags().Lookup("mode"); f != nil && !f.Changed && w.secret {
		w.mode = "0600"
	}
	return read(w.from)
}

// file is the description that the flags make.
func (w *wish) file(path string) (f nodefile.File, err error) {
	f = nodefile.File{Path: path, Owner: w.owner, Group: w.group, Secret: w.secret, Block: w.block}
	if f.Group == "" {
		f.Group = f.Owner
	}
	for _, u := range w.restart {
		f.Restart = append(f.Restart, strings.TrimSuffix(u, ".service"))
	}
	f.Mode, err = nodefile.ParseMode(w.mode)
	return f, err
}

func (t command) set(ctx context.Context, nodeType, path string, data []byte, w *wish) error {
	f, err := w.file(path)
	if err == nil {
		err = enrol.ValidNodeType(nodeType)
	}
	if err != nil {
		return err
	}
	salt := make([]byte, nodefile.SaltSize)
	rand.Read(salt)
	blob, err := f.Seal(data, salt)
	if err == nil {
		err = f.Check()
	}
	if err != nil {
		return fleet.Errorf(fleet.CodeOf(err), "cannot give nodes of type %s %s: %w", nodeType, path, err)
	}
	if w.writing.DryRun {
		if n, err := t.Count(ctx, "nodeType", fleet.Filter{"id": nodeType}); err != nil || n == 0 {
			return cmp.Or(err, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot give nodes of type %s %s: there is no such node type", nodeType, path), "list all with: fernwerk node-type list"))
		}
		return t.Say(map[string]any{"nodeType": nodeType, "path": path, "size": f.Size, "dryRun": true}, "would give nodes of type %s %s: %s", nodeType, path, describe(f))
	}
	plain, err := methods.Plain(f, nil)
	if err != nil {
		return err
	}
	if _, err := t.Call(ctx, "nodeFile_set", nodeType, plain, base64.StdEncoding.EncodeToString(blob)); err != nil {
		return err
	}
	said := map[string]any{"nodeType": nodeType, "path": path, "size": f.Size, "sha256": f.SHA256}
	if !w.sign.Named(t.Tool) {
		if err := t.Say(said, "nodes of type %s get %s: %s", nodeType, path, describe(f)); err != nil {
			return err
		}
		t.Remark("hosts whose policy is not plain-opsi take it when it is signed: fernwerk node-file sign %s --trust DIR", nodeType)
		return nil
	}
	version, err := t.signed(nodeType, &w.sign, func(l *nodefile.List) *nodefile.List { return l.With(f) })
	if err != nil {
		return err
	}
	said["targets"] = version
	return t.Say(said, "nodes of type %s get %s: %s; signed list %d, next: fernwerk trust publish", nodeType, path, describe(f), version)
}

// describe is a file in a few words.
func describe(f nodefile.File) string {
	word := "file"
	if f.Block {
		word = "block"
	}
	if f.Secret {
		word = "secret " + word
	}
	text := word + " of " + f.Owner + ":" + f.Group + ", " + f.Mode.String()
	if len(f.Restart) > 0 {
		text += ", restarts " + strings.Join(f.Restart, ", ")
	}
	return text
}

func (t command) removeCommand() *cobra.Command {
	var w tool.Writing
	var s signing.Flags
	c := &cobra.Command{
		Use: "remove NODETYPE PATH", Aliases: []string{"rm"}, Args: tool.Args,
		Short: "Take a file from the nodes of a type",
		Long: `Take a file from the nodes of a type. They remove what they wrote; what was changed
there since, or was there before, stays, and "node-file status" says so.`,
		RunE: func(c *cobra.Command, given []string) error {
			return t.remove(c.Context(), given[0], given[1], w, &s)
		},
	}
	w.Add(c)
	s.AddDir(c)
	s.Add(c)
	return c
}

// there is an error for a file that nodes do not have: neither the server has it, nor
// the list that is signed here.
func (t command) there(ctx context.Context, nodeType, path string, s *signing.Flags) error {
	all, err := ask[object](ctx, t, "nodeFile_getObjects", nodeType)
	if err != nil || slices.ContainsFunc(all, func(o object) bool { return o.Path == path }) {
		return err
	}
	if s.Named(t.Tool) {
		d, err := s.Open(t.Tool, "")
		if err != nil {
			return err
		}
		l, err := held(d, nodeType)
		if err := errors.Join(err, d.Close()); err != nil {
			return err
		}
		if _, ok := l.Find(path); ok {
			return nil
		}
	}
	return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot take %s from nodes of type %s: it is not in the list", path, nodeType), "fernwerk node-file list %s shows what is", nodeType)
}

func (t command) remove(ctx context.Context, nodeType, path string, w tool.Writing, s *signing.Flags) error {
	if err := enrol.ValidNodeType(nodeType); err != nil {
		return err
	}
	if err := t.there(ctx, nodeType, path, s); err != nil {
		return err
	}
	if w.DryRun {
		return t.Say(map[string]any{"nodeType": nodeType, "path": path, "dryRun": true}, "would take %s from nodes of type %s", path, nodeType)
	}
	if err := t.Confirm(w.Yes, "take "+path+" from all nodes of type "+nodeType); err != nil {
		return err
	}
	// What the server forgot may be signed still.
	if _, err := t.Call(ctx, "nodeFile_remove", nodeType, path); err != nil && (fleet.CodeOf(err) != fleet.NotFound || !s.Named(t.Tool)) {
		return err
	}
	said := map[string]any{"nodeType": nodeType, "path": path}
	if !s.Named(t.Tool) {
		return t.Say(said, "took %s from nodes of type %s", path, nodeType)
	}
	version, err := t.signed(nodeType, s, func(l *nodefile.List) *nodefile.List { return l.Without(path) })
	if err != nil {
		return err
	}
	said["targets"] = version
	return t.Say(said, "took %s from nodes of type %s: signed list %d, next: fernwerk trust publish", path, nodeType, version)
}
