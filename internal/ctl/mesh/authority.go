package mesh

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
)

// most is how many hosts are named.
const most = 20

func authorityCommand(t *tool.Tool) *cobra.Command {
	return &cobra.Command{
		Use: "authority", Args: tool.Args,
		Short: "Show until when the mesh's authority is good, and how far its replacement is",
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := t.Call(c.Context(), "mesh_getAuthority")
			if err != nil {
				return err
			}
			return say(t, got)
		},
	}
}

func rotateCommand(t *tool.Tool) *cobra.Command {
	var w tool.Writing
	var finish bool
	c := &cobra.Command{
		Use: "rotate-authority", Args: tool.Args,
		Short: "Have another authority take the place of the mesh's",
		Long: `Have another authority take the place of the one that signs for the mesh's nodes. It
goes on by itself: nodes learn to believe both, then get certificates of the new one
with their questions, then the old one is believed no more. No connection ends. A
node that is away meanwhile is waited for until its certificate is over, a week at
most; one that comes later is in the mesh with its next question. --finish waits for
nobody, where others may have the old authority's key.`,
		Example: "  fernwerk mesh rotate-authority\n  fernwerk mesh authority\n  fernwerk mesh rotate-authority --finish",
		RunE: func(c *cobra.Command, _ []string) error {
			what := "begin to replace the mesh's authority"
			if finish {
				what = "drop the mesh's old authority"
				got, err := t.Call(c.Context(), "mesh_getAuthority")
				if err != nil {
					return err
				}
				if hosts := waiting(got); len(hosts) > 0 {
					what += fmt.Sprintf(": %d hosts have not moved (%s) and are out of the mesh until they ask", len(hosts), names(hosts))
				}
			}
			if w.DryRun {
				return t.Say(map[string]any{"finish": finish, "dryRun": true}, "would %s", what)
			}
			if err := t.Confirm(w.Yes, what); err != nil {
				return err
			}
			got, err := t.Call(c.Context(), "mesh_rotateAuthority", finish)
			if err != nil {
				return err
			}
			return say(t, got)
		},
	}
	c.Flags().BoolVar(&finish, "finish", false, "drop the old one now")
	w.Add(c)
	return c
}

func waiting(got any) (hosts []string) {
	r, _ := got.(map[string]any)
	list, _ := r["waiting"].([]any)
	for _, h := range list {
		hosts = append(hosts, fmt.Sprint(h))
	}
	return hosts
}

func names(hosts []string) string {
	if len(hosts) > most {
		return strings.Join(hosts[:most], ", ") + fmt.Sprintf(" and %d more", len(hosts)-most)
	}
	return strings.Join(hosts, ", ")
}

// say says how far it is.
func say(t *tool.Tool, got any) error {
	r, _ := got.(map[string]any)
	text := fmt.Sprintf("the mesh's authority is good until %v", r["until"])
	hosts := waiting(got)
	switch mesh.Stage(fmt.Sprint(r["stage"])) {
	case mesh.Learning:
		text = "the mesh's authority is being replaced: nodes learn of the next one"
	case mesh.Moving:
		text = "the mesh's authority is being replaced: nodes get certificates of the next one"
	case mesh.Settled:
		if len(hosts) > 0 {
			return t.Say(got, "%s; out of it until they ask: %s", text, names(hosts))
		}
	}
	if len(hosts) > 0 {
		text += fmt.Sprintf("; %d have not, of those who ask or may come back: %s", len(hosts), names(hosts))
	}
	return t.Say(got, "%s", text)
}
