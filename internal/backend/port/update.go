package port

import (
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

// Updates are the run-once updates that a server publishes. Errors carry a
// fleet.Code.
type Updates interface {
	// Publish offers a signed update to a part of the fleet, in hundredths of a per
	// cent; one that is published already gets another part.
	Publish(tx *store.Tx, by store.Origin, number, share int) (Update, error)
	// Withdraw has hosts that did not run it yet not run it.
	Withdraw(tx *store.Tx, by store.Origin, number int) (Update, error)
	// Decide is a person's word, retry or skip, on the newest attempt of a host that
	// failed or was interrupted.
	Decide(tx *store.Tx, by store.Origin, host string, number int, word string) error
	// Report takes what a host tells; known is false if no such update was ever
	// published.
	Report(tx *store.Tx, host string, r update.Report) (known bool, err error)
	// Status are the updates, or one with its hosts if number is not negative. Hosts
	// that are not seen are not counted.
	Status(tx *store.Tx, number int, sees func(host string) bool) ([]Update, error)
	// Output is what an update's attempts printed on a host, the oldest first.
	Output(tx *store.Tx, host string, number int) ([]UpdateHost, error)
}

// Update is a published update.
type Update struct {
	Number      string         `json:"number"`
	ID          string         `json:"id"`
	Title       string         `json:"title"`
	Digest      string         `json:"digest"`
	Audience    string         `json:"audience"`
	Share       string         `json:"ring"` // of the fleet: "5%"
	Published   bool           `json:"published"`
	PublishedAt string         `json:"publishedAt"`
	PublishedBy string         `json:"publishedBy"`
	WithdrawnAt string         `json:"withdrawnAt"`
	WithdrawnBy string         `json:"withdrawnBy"`
	Offered     int            `json:"offered"` // hosts that are to run it
	States      map[string]int `json:"states"`  // hosts by the state of their newest attempt; waiting: offered, and nothing told yet
	Hosts       []UpdateHost   `json:"hosts,omitempty"`
}

// UpdateHost is how an update stands on a host, by its newest attempt.
type UpdateHost struct {
	HostID   string `json:"hostId"`
	State    string `json:"state"`
	Attempt  int64  `json:"attempt"`
	Exit     int64  `json:"exit"`
	Reason   string `json:"reason"`
	Policy   string `json:"policy"`
	Decision string `json:"decision"` // made here, and not yet followed
	Digest   string `json:"digest"`
	Started  string `json:"started"`
	Ended    string `json:"ended"`
	Output   string `json:"output,omitempty"`
}
