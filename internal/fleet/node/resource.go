package node

// Unknown is said of a node whose scheduler cannot be asked.
const Unknown = "unknown"

// Resource is a node beside what its scheduler says of it, for people.
type Resource struct {
	HostID     string
	Name       string // the node's
	NodeType   string
	Scheduler  string
	Known      bool   // the scheduler has it
	Up         bool   // it shall take jobs
	Is         string // the scheduler's own word, or Unknown
	Epoch      int64  // the number of the node's session
	Told       int64  // the one that the scheduler was told
	Why        string // what differs, or why that is not known; "" if all is well
	Properties map[string]string
}
