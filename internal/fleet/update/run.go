package update

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// State is how an attempt to run an update stands.
type State string

// The states. Of an attempt that is Running nothing is known but that it may have
// begun.
const (
	Running     State = "running"
	Done        State = "done"        // exit status 0
	Failed      State = "failed"      // another one, or its time was over
	Rebooting   State = "reboot"      // it goes on after the next boot
	Interrupted State = "interrupted" // uncertain: it may have run in part, whole, or not at all
	Skipped     State = "skipped"     // left, by its policy or by a person
	Changed     State = "changed"     // it ran, and is offered now with other content, which never runs
)

// States are all of them, in the order in which they are told.
var States = []State{Done, Running, Rebooting, Interrupted, Failed, Skipped, Changed}

// ExitReboot is the exit status by which a script says that it needs a reboot and
// is to be begun again, to go on, after the next boot.
const ExitReboot = 194

// Limits of a report.
const (
	MaxOutput = 64 << 10 // bytes kept of what a script printed: head and tail
	MaxReason = 1 << 10
	MaxReport = 256 << 10 // bytes of a report as JSON
)

// Offer is what a server answers a host that asks for updates.
type Offer struct {
	Offered   []string `json:"offered"`   // numbers that the host is to run
	Withdrawn []string `json:"withdrawn"` // numbers that it is not to run any more
	// Decisions are a person's, by the key of the attempt that they are about.
	Decisions map[string]string `json:"decisions,omitempty"`
}

// Report is what a host tells of one attempt. Its Key is the attempt's own, drawn
// before the attempt began: however often the report is sent, it counts once. A
// later one of the same attempt has a larger Revision.
type Report struct {
	Number   string `json:"number"`
	ID       string `json:"id"`
	Digest   string `json:"digest"` // SHA-256 of the file, hexadecimal
	Key      string `json:"key"`
	Revision int64  `json:"revision"`
	Attempt  int64  `json:"attempt"` // from 1; 0 for Changed
	State    State  `json:"state"`
	Exit     int64  `json:"exit"` // -1 if there is none
	Reason   string `json:"reason"`
	Output   string `json:"output"`
	Started  string `json:"started"` // UTC, 2006-01-02 15:04:05
	Ended    string `json:"ended"`
	Policy   string `json:"policy"` // what is done in this state without a person
}

// Check refuses a report that no agent of ours makes.
func (r Report) Check() error {
	bad := func(what string) error {
		return fleet.Errorf(fleet.Invalid, "cannot take the report of an update: its %s is wrong", what)
	}
	if _, err := Number(r.Number); err != nil {
		return bad("number")
	}
	known := false
	for _, s := range States {
		known = known || s == r.State && s != Running
	}
	digest, err := hex.DecodeString(r.Digest)
	switch {
	case !known:
		return bad("state")
	case err != nil || len(digest) != sha256.Size || hex.EncodeToString(digest) != r.Digest:
		return bad("digest")
	case ValidID(r.ID) != nil:
		return bad("id")
	case !keySyntax(r.Key):
		return bad("key")
	case r.Attempt < 0 || r.Attempt > 1_000_000 || r.Revision < 1 || r.Revision > 1_000_000:
		return bad("attempt")
	case len(r.Output) > MaxOutput+100 || len(r.Reason) > MaxReason || len(r.Started) > 19 || len(r.Ended) > 19:
		return bad("size")
	}
	return oneOfOrNone(r.Policy)
}

func oneOfOrNone(policy string) error {
	if policy == "" {
		return nil
	}
	if err := oneOf(policy, Stop, Continue, Retry, Ask, Skip); err != nil {
		return fleet.Errorf(fleet.Invalid, "cannot take the report of an update: %w", err)
	}
	return nil
}

// keySyntax is that of crypto/rand.Text, in lower case.
func keySyntax(key string) bool {
	if len(key) < 20 || len(key) > 64 {
		return false
	}
	for _, c := range []byte(key) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// ValidDecision checks what a person may decide about an attempt.
func ValidDecision(word string) error {
	if err := oneOf(word, Retry, Skip); err != nil {
		return fleet.Errorf(fleet.Invalid, "cannot decide so: %w", err)
	}
	return nil
}
