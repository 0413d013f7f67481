package methods

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/mesh"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// Ports are the parts that a server and an agent answer with differently.
type Ports struct {
	// Logs keeps the log files that clients send.
	Logs Logs
	// Reach is the way to hosts.
	Reach Reach
	// Accounts are the people who may log in.
	Accounts Accounts
	// Depot is the depot that this process serves.
	Depot DepotServer
	// Certificates signs those of depot servers.
	Certificates Certificates
	// Feed is the update script for bare nodes.
	Feed port.Feed
	// Trust holds what was signed about content.
	Trust port.Trust
	// Updates are the run-once updates that this server publishes.
	Updates port.Updates
	// Enrolment lets machines join.
	Enrolment port.Enrolment
	// Authority are the certificates of the server's certificate authority, PEM.
	Authority func() []byte
	// Nodes is what is known of nodes.
	Nodes port.Nodes
	// Mesh says how nodes reach each other.
	Mesh func(tx *store.Tx) ([]mesh.Way, error)
	// MeshAuthority replaces the mesh's authority.
	MeshAuthority port.MeshAuthority
	// Resources asks the schedulers about nodes.
	Resources func(ctx context.Context) ([]node.Resource, error)
	// Tunnels are those that this server runs.
	Tunnels port.Tunnels
	// NodeFiles are the files of node types.
	NodeFiles port.NodeFiles
	// Info is what backend_info says.
	Info map[string]any
}

// Logs keeps one log a type and object.
type Logs interface {
	Write(logType, object string, data []byte, appendTo bool) error
	Read(logType, object string, maxSize int64) ([]byte, error)
	Limits() LogLimits
}

// LogLimits are what whoever sends logs has to know.
type LogLimits struct {
	Size    int64 // bytes of one log
	Rotated int   // former logs that are kept
	Types   []string
}

// CodeMissing is in the error of a login that was right but for a one-time code,
// so that a program knows what to ask for.
const CodeMissing = "a one-time code is missing"

// Account is somebody who may log in, without what proves it.
type Account struct {
	Name      string   `json:"name"`
	Role      Role     `json:"role"`
	Groups    []string `json:"groups"` // host groups; none is the whole fleet
	Created   string   `json:"created"`
	LastLogin string   `json:"lastLogin"`
	Codes     bool     `json:"codes"` // a one-time code is asked for besides the password
}

// Accounts keeps the accounts. What changes one is journaled under the origin.
type Accounts interface {
	// Groups are the host groups that somebody is bound to; none is the whole
	// fleet. Who has no account any more is Denied.
	Groups(tx *store.Tx, actor Actor) ([]string, error)
	// Changing judges a change of a row of [fleet.Users] and makes the account
	// follow it.
	Changing(tx *store.Tx, before, after fleet.Row) error
	// Refused notes that somebody called what is not allowed to him.
	Refused(actor Actor, method string)

	List(tx *store.Tx) ([]Account, error)
	// Create makes an account, and a password if it is empty; it returns the password.
	Create(ctx context.Context, by store.Origin, a Account, password string) (string, error)
	Remove(ctx context.Context, by store.Origin, name string) error
	SetRole(ctx context.Context, by store.Origin, name string, role Role, groups []string) error
	SetPassword(ctx context.Context, by store.Origin, name, password string) (string, error)
	// Verify checks a password; a wrong one counts as a failed login.
	Verify(ctx context.Context, name, password string) error
	// BeginCodes makes a secret for one-time codes; it counts when a code of it
	// was confirmed. It returns the secret, and the otpauth address with it.
	BeginCodes(ctx context.Context, by store.Origin, name string) (secret, uri string, err error)
	ConfirmCodes(ctx context.Context, by store.Origin, name, code string) error
	RemoveCodes(ctx context.Context, by store.Origin, name string) error
}
