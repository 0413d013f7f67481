package control

import (
	"context"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// NodeFiles are the files that this machine has as a node of its type.
type NodeFiles interface {
	Files() (FilesStatus, error)
	// FilesNow has the server asked at once.
	FilesNow()
}

// FilesStatus is how they are.
type FilesStatus struct {
	NodeType string            `json:"nodeType"`
	Signed   bool              `json:"signed"` // only a signed list is believed
	List     string            `json:"list"`
	Asked    time.Time         `json:"asked,omitzero"`
	Problem  string            `json:"problem,omitempty"`
	Files    []nodefile.Status `json:"files"`
}

// Files asks how the files are.
func (c *Client) Files(ctx context.Context) (s FilesStatus, err error) {
	err = c.ask(ctx, &s, "agent_files")
	return s, err
}

// FilesNow has the server asked.
func (c *Client) FilesNow(ctx context.Context) error {
	var nothing any
	return c.ask(ctx, &nothing, "agent_filesNow")
}
