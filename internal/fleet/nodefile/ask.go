package nodefile

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Where a host asks, with its own certificate, and where it gets a blob.
const (
	AskPath  = "/v1/files"
	BlobPath = "/v1/files/blob"
)

// Request is what a host sends (POST [AskPath]).
type Request struct {
	// Holds is the digest of the list that it follows, "" for none; Signed says that
	// it believes signed lists only.
	Holds  string `json:"holds,omitempty"`
	Signed bool   `json:"signed,omitempty"`
	// Report is how its files are, where that is not what it told before.
	Report *Report `json:"report,omitempty"`
	// HostKeys are the public keys of its SSH server, where they are not what it
	// told before.
	HostKeys []string `json:"hostKeys,omitempty"`
}

// Answer is what it gets.
type Answer struct {
	NodeType string `json:"nodeType"`
	// List is the server's list, where the host does not hold it and believes it.
	List []byte `json:"list,omitempty"`
	// Every is when to ask again, in seconds.
	Every int `json:"every"`
	// Tell asks for the report and the keys: the server has none.
	Tell bool `json:"tell,omitempty"`
}

// BlobRequest names a blob (POST [BlobPath]).
type BlobRequest struct {
	SHA256 string `json:"sha256"`
}

// BlobAnswer is the blob.
type BlobAnswer struct {
	Blob []byte `json:"blob"`
}

// The states of a file on a host.
const (
	InPlace = "in place" // as the list says
	Waits   = "waits"    // for a user, a folder, the server: it is tried again
	Refused = "refused"  // it would not be safe, or was not what was signed
	Failed  = "failed"   // something went wrong
	Left    = "left"     // it is no longer in the list, but was changed here, and stays
	Removed = "removed"  // it was no longer in the list
)

// States are all of them.
var States = []string{InPlace, Waits, Refused, Failed, Left, Removed}

// Report is how the files of a host are.
type Report struct {
	List    string   `json:"list"`              // digest of the list that it follows
	Problem string   `json:"problem,omitempty"` // of the list as a whole
	Files   []Status `json:"files"`
}

// Status is how a file is.
type Status struct {
	Path    string    `json:"path"`
	SHA256  string    `json:"sha256"` // the digest that the list has, or had
	State   string    `json:"state"`
	Problem string    `json:"problem,omitempty"`
	Since   time.Time `json:"since"`
	// Repaired is when a change that was made here was put right last.
	Repaired time.Time `json:"repaired,omitzero"`
}

// Machine is how the files of a machine are, for people at it.
type Machine struct {
	NodeType string    `json:"nodeType"`
	Signed   bool      `json:"signed"` // only a signed list is believed
	List     string    `json:"list"`   // digest of the list that is followed
	Asked    time.Time `json:"asked,omitzero"`
	Problem  string    `json:"problem,omitempty"`
	Files    []Status  `json:"files"`
}

// maxProblem is in bytes.
const maxProblem = 500

// MaxRequest is the most bytes of a request.
const MaxRequest = 256 << 10

// Check says whether a report is one that an agent writes.
func (r *Report) Check() error {
	if len(r.Files) > 4*MaxFiles || r.Problem != Says(r.Problem) || !validSum(r.List, true) {
		return fleet.Errorf(fleet.Invalid, "cannot take the report of a node's files: it is none of an agent's")
	}
	for i, f := range r.Files {
		if ValidPath(f.Path) != nil || !validSum(f.SHA256, false) || !slices.Contains(States, f.State) || f.Problem != Says(f.Problem) ||
			i > 0 && r.Files[i-1].Path >= f.Path {
			return fleet.Errorf(fleet.Invalid, "cannot take the report of a node's files: %q is none of an agent's", clip(f.Path))
		}
	}
	return nil
}

// Says shortens a problem to what a report may hold, on one line: each is a line of a
// host's history.
func Says(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, text)
	if len(text) > maxProblem {
		text = strings.ToValidUTF8(text[:maxProblem-3], "") + "..."
	}
	return text
}

func validSum(sum string, empty bool) bool {
	if sum == "" {
		return empty
	}
	return len(sum) == 64 && !strings.ContainsFunc(sum, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) })
}
