package port

import (
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// JoinToken is a token by which machines join, without its secret.
type JoinToken struct {
	ID       string   `json:"id"`
	State    string   `json:"state"` // good, used up, expired, revoked
	Uses     int64    `json:"uses"`
	Used     int64    `json:"used"`
	Created  string   `json:"created"`
	Expires  string   `json:"expires"`
	By       string   `json:"by"`
	NodeType string   `json:"nodeType"`
	Groups   []string `json:"groups"`
	Depot    string   `json:"depot"`
	Policy   string   `json:"policy"`
	Approve  bool     `json:"approve"`
}

// PendingHost is a machine that waits for an administrator's word.
type PendingHost struct {
	ID              string `json:"id"`
	Asked           string `json:"asked"`
	Hostname        string `json:"hostname"`
	SystemUUID      string `json:"systemUUID"`
	HardwareAddress string `json:"hardwareAddress"`
	Address         string `json:"address"`
	NodeType        string `json:"nodeType"`
	Token           string `json:"token"` // its id
}

// CloneMachine is one of two machines that use one identity.
type CloneMachine struct {
	Seen            string `json:"seen"`
	Address         string `json:"address"`
	Hostname        string `json:"hostname"`
	SystemUUID      string `json:"systemUUID"`
	HardwareAddress string `json:"hardwareAddress"`
}

// CloneHost is an identity that two machines use: the one that goes on with it,
// and the one that was refused last.
type CloneHost struct {
	ID      string       `json:"id"`
	Since   string       `json:"since"`
	Goes    CloneMachine `json:"goes"`
	Refused CloneMachine `json:"refused"`
	Count   int64        `json:"count"` // how often it was refused
	Kept    bool         `json:"kept"`  // the refused one's next contact is accepted
}

// Enrolment is the part of a server that lets machines join, and ends what they
// are known by. Each is called in a transaction.
type Enrolment interface {
	CreateToken(tx *store.Tx, by string, want JoinToken, life time.Duration) (text string, made JoinToken, err error)
	Tokens(tx *store.Tx) ([]JoinToken, error)
	RevokeToken(tx *store.Tx, id string) error
	Pending(tx *store.Tx) ([]PendingHost, error)
	Approve(tx *store.Tx, id, as string) (hostID string, err error)
	Deny(tx *store.Tx, id string) error
	Revoke(tx *store.Tx, hostID, reason string) error
	KeyLogins(tx *store.Tx, hostID string, open bool) error
	Clones(tx *store.Tx) ([]CloneHost, error)
	KeepIdentity(tx *store.Tx, hostID string) error
}
