package methods

import "context"

// Resource is a node beside what its scheduler says of it.
type Resource struct {
	HostID     string            `json:"hostId"`
	Name       string            `json:"name"` // the node's, fully qualified
	NodeType   string            `json:"nodeType"`
	Scheduler  string            `json:"scheduler"`
	Known      bool              `json:"known"` // the scheduler has it
	Up         bool              `json:"up"`    // it shall take jobs
	Is         string            `json:"is"`    // the scheduler's own word
	Epoch      string            `json:"epoch"` // the number of the node's session
	Told       string            `json:"told"`  // the one that the scheduler was told
	Why        string            `json:"why"`   // what differs, or why that is not known
	Properties map[string]string `json:"properties"`
}

// Resources are the schedulers that a server drives.
type Resources interface {
	// Resources asks the schedulers now.
	Resources(ctx context.Context) ([]Resource, error)
}
