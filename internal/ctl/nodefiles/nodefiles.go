// Package nodefiles is the commands about files that the nodes of a type have:
// what they are, who signed them, how they are on each host, and the keys of the
// hosts' SSH servers that come back.
package nodefiles

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// command is a command of this package, with what all commands share.
type command struct{ *tool.Tool }

// Commands is node-file, root-key and known-hosts.
func Commands(t *tool.Tool) []*cobra.Command {
	f := command{t}
	files := &cobra.Command{
		Use: "node-file", Short: "Files that the nodes of a type have: authorised keys, a batch system's configuration",
		Long: `Files that the nodes of a type have. Their own agents fetch them a moment after a
node came up, and keep them right.

Hosts whose policy is plain-opsi take what the server says. All others take the
files of a list that was signed offline: name the folder of content trust with
--trust, or sign afterwards with "node-file sign".`,
	}
	files.AddCommand(f.setCommand(), f.removeCommand(), f.listCommand(), f.showCommand(), f.signCommand(), f.statusCommand())
	keys := &cobra.Command{Use: "root-key", Short: "Who may log in as root on the nodes of a type, by SSH"}
	keys.AddCommand(f.rootSetCommand(), f.rootRemoveCommand())
	return []*cobra.Command{files, keys, f.knownHostsCommand()}
}

// object is a file as the server tells of it.
type object struct {
	NodeType string `json:"nodeType"`
	nodefile.File
	Signed string `json:"signed"`
}

// ask calls a method whose objects hold others.
func ask[T any](ctx context.Context, t command, method string, args ...any) (out []T, err error) {
	v, err := t.Call(ctx, method, args...)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "cannot read the server's answer: %w", err)
	}
	return out, nil
}

// kinds are a method's arguments for one node type, or for all.
func kinds(nodeType string) ([]any, error) {
	if nodeType == "" {
		return nil, nil
	}
	return []any{nodeType}, enrol.ValidNodeType(nodeType)
}

func first(given []string) string {
	if len(given) == 0 {
		return ""
	}
	return given[0]
}

func (t command) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list [NODETYPE]", Aliases: []string{"ls"}, Args: tool.Args,
		Short: "List the files of a node type, or of all",
		RunE: func(c *cobra.Command, given []string) error {
			args, err := kinds(first(given))
			if err != nil {
				return err
			}
			all, err := ask[object](c.Context(), t, "nodeFile_getObjects", args...)
			if err != nil {
				return err
			}
			rows := []fleet.Row{}
			for _, o := range all {
				rows = append(rows, row(o))
			}
			return t.List(rows, "no files", "type=nodeType", "path", "mode", "owner", "group", "size", "kind", "restart", "signed")
		},
	}
}

func row(o object) fleet.Row {
	var kind []string
	if o.Block {
		kind = append(kind, "block")
	}
	if o.Secret {
		kind = append(kind, "secret")
	}
	return fleet.Row{"nodeType": o.NodeType, "path": o.Path, "mode": o.Mode.String(), "owner": o.Owner, "group": o.Group, "size": o.Size, "sha256": o.SHA256, "block": o.Block, "secret": o.Secret,
		"kind": strings.Join(kind, " "), "restart": strings.Join(o.Restart, " "), "signed": o.Signed}
}

func (t command) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show NODETYPE [PATH]", Args: tool.Args,
		Short: "Show a file, or the whole list of a node type as it is signed",
		Long: `Show a file, or the whole list of a node type as it is signed. Contents are not
shown: the server gives them to the nodes of the type only.`,
		Example: "  fernwerk node-file show vnode > vnode.list",
		RunE: func(c *cobra.Command, given []string) error {
			if err := enrol.ValidNodeType(given[0]); err != nil {
				return err
			}
			if len(given) == 1 {
				l, err := t.list(c.Context(), given[0])
				if err != nil {
					return err
				}
				text, err := l.Bytes()
				if err == nil {
					_, err = t.Out.Write(text)
				}
				return err
			}
			all, err := ask[object](c.Context(), t, "nodeFile_getObjects", given[0])
			if err != nil {
				return err
			}
			i := slices.IndexFunc(all, func(o object) bool { return o.Path == given[1] })
			if i < 0 {
				return fleet.WithHint(fleet.Errorf(fleet.NotFound, "nodes of type %s have no file %s", given[0], given[1]), "list all with: fernwerk node-file list %s", given[0])
			}
			return t.Sheet(row(all[i]), []string{"nodeType", "path", "mode", "owner", "group", "size", "sha256", "block", "secret", "restart", "signed"})
		},
	}
}

// list is the server's list of a node type.
func (t command) list(ctx context.Context, nodeType string) (*nodefile.List, error) {
	v, err := t.Call(ctx, "nodeFile_getList", nodeType)
	if err != nil {
		return nil, err
	}
	text, _ := v.(string)
	return nodefile.Parse([]byte(text))
}

// read reads a content of at most the size of a node's file.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the content: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, nodefile.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the content: %w", err)
	}
	if len(data) > nodefile.MaxSize {
		return nil, fleet.Errorf(fleet.TooLarge, "cannot use %s: a file of a node has at most %d bytes", path, nodefile.MaxSize)
	}
	return data, nil
}
