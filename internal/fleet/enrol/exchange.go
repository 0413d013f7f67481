package enrol

import "github.com/fernwerk/fernwerk/internal/fleet"

// JoinRequest is what a machine sends that wants to be a host. It proves itself
// by a token (its text), or by the one-time password of a host that exists, or,
// where the server allows it, by nothing.
type JoinRequest struct {
	Token           string  `json:"token,omitempty"`
	HostID          string  `json:"hostId,omitempty"`
	OneTimePassword string  `json:"oneTimePassword,omitempty"`
	NodeType        string  `json:"nodeType,omitempty"`
	CSR             string  `json:"csr"` // PEM; see [ParseRequest]
	Machine         Machine `json:"machine"`
}

// JoinAnswer makes the machine a host, or says that somebody has to agree first.
type JoinAnswer struct {
	HostID  string `json:"hostId,omitempty"`
	HostKey string `json:"hostKey,omitempty"` // for opsi's protocol
	Chain   string `json:"chain,omitempty"`   // PEM
	Roots   string `json:"roots,omitempty"`   // PEM
	Policy  Policy `json:"policy,omitempty"`
	Root    *Root  `json:"trustRoot,omitempty"`
	// Pending is the number of the request that waits for an administrator; the same
	// request is sent again until there is an answer.
	Pending string `json:"pending,omitempty"`
}

// Renewal is how a host asks for a new certificate, with a new key.
type Renewal struct {
	CSR string `json:"csr"`
}

// Renewed is the answer.
type Renewed struct {
	Chain string `json:"chain"`
	Roots string `json:"roots"`
}

// MaxBody bounds each of these, and a contact, in bytes.
const MaxBody = 1 << 20

// CodeClone is in the error of a contact that another machine's mark speaks
// against, so that an agent knows what to tell.
const CodeClone = "two machines use this identity"

// Clone is the error of such a contact.
func Clone(hostID string) error {
	return fleet.WithHint(fleet.Errorf(fleet.Conflict, "cannot go on as %s: %s", hostID, CodeClone),
		"one of them becomes another host: fernwerk-agent join --again TOKEN; or this one stays %s: fernwerk host keep-identity %s at the server", hostID, hostID)
}
