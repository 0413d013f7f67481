package control

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// NodeFiles are the files that this machine has as a node of its type.
type NodeFiles interface {
	Files() (nodefile.Machine, error)
	// FilesNow has the server asked at once.
	FilesNow()
}

// Files asks how the files are.
func (c *Client) Files(ctx context.Context) (s nodefile.Machine, err error) {
	err = c.ask(ctx, &s, "agent_files")
	return s, err
}

// FilesNow has the server asked.
func (c *Client) FilesNow(ctx context.Context) error {
	var nothing any
	return c.ask(ctx, &nothing, "agent_filesNow")
}
