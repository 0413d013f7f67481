package control

import (
	"context"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Agent is what the control methods steer.
type Agent interface {
	// Fire makes an event occur and returns the id of the change that it
	// started, "" if its configuration asks for nothing.
	Fire(ctx context.Context, event string) (change string, err error)
	Status(ctx context.Context) (Status, error)
	Change(ctx context.Context, id string) (ChangeDetail, error)
	Timeline(ctx context.Context, limit int) ([]Line, error)
	// Uptime is since when the machine runs.
	Uptime() (time.Duration, error)
	RunOnce
	NodeFiles
	Reboots
}

// Status is the agent at a glance.
type Status struct {
	Version string          `json:"version"`
	HostID  string          `json:"hostId"`
	Server  string          `json:"server"`
	BootID  string          `json:"bootId"`
	Running string          `json:"running"` // id of the change under way
	Event   string          `json:"event"`   // that asked for it
	Task    string          `json:"task"`    // the step under way
	Waiting int             `json:"waiting"` // changes behind it
	Flags   map[string]bool `json:"flags"`
	Unsent  int             `json:"unsent"` // objects changed here that the server does not know
	Cache   CacheStatus     `json:"cache"`
	Trust   TrustStatus     `json:"trust"`
	Reboot  *RebootStatus   `json:"reboot"`  // that waits; null if none does
	Changes []ChangeStatus  `json:"changes"` // the newest, newest first
}

// TrustStatus is what the machine demands of content, and what it holds.
type TrustStatus struct {
	Policy   enrol.Policy     `json:"policy"`
	Pinned   int64            `json:"pinned"`   // version of the root that was pinned, 0: none
	Versions map[string]int64 `json:"versions"` // of the signed documents, by role
	Stale    bool             `json:"stale"`
	Since    string           `json:"staleSince"` // RFC 3339; empty: nothing was ever held
	Checked  string           `json:"checked"`    // the server was asked last, and believed
	Problem  string           `json:"problem"`    // what was refused since
	Clock    string           `json:"clock"`      // what is wrong with the machine's clock
}

// CacheStatus is what both caches hold, and how far they are.
type CacheStatus struct {
	Pulled     string          `json:"pulled"` // time of the last pull
	Pushed     string          `json:"pushed"`
	Depot      DepotStatus     `json:"depot"` // that was chosen last
	Products   []ProductStatus `json:"products"`
	FilesDone  int64           `json:"filesDone"`
	FilesTotal int64           `json:"filesTotal"`
	BytesDone  int64           `json:"bytesDone"`
	BytesTotal int64           `json:"bytesTotal"`
	WireBytes  int64           `json:"wireBytes"`
}

// DepotStatus is where products are fetched from; it is empty before the first
// time since the agent's start.
type DepotStatus struct {
	DepotID   string   `json:"depotId"`
	Protocol  string   `json:"protocol"`
	Reason    string   `json:"reason"`
	Fallbacks []string `json:"fallbacks"` // depots that are asked when it fails
}

// ProductStatus is one product in the cache.
type ProductStatus struct {
	ProductID      string `json:"productId"`
	ProductVersion string `json:"productVersion"`
	PackageVersion string `json:"packageVersion"`
	Cached         bool   `json:"cached"`
	From           string `json:"from"`    // depot and protocol that its content came by last
	Checked        string `json:"checked"` // by what it was checked then: sha256, md5
	BytesDone      int64  `json:"bytesDone"`
	BytesTotal     int64  `json:"bytesTotal"`
}

// ChangeStatus is a change in few words.
type ChangeStatus struct {
	ID     string `json:"id"`
	Event  string `json:"event"`
	Status string `json:"status"`
	Text   string `json:"text"`
}

// ChangeDetail is a change with its steps.
type ChangeDetail struct {
	ChangeStatus
	Tasks []TaskStatus `json:"tasks"`
}

// Ended tells whether nothing more will happen to it.
func (c ChangeStatus) Ended() bool { return c.Status == "done" || c.Status == "failed" }

// TaskStatus is one step of a change.
type TaskStatus struct {
	Kind     string `json:"kind"`
	Args     string `json:"args"`
	Status   string `json:"status"`
	Attempts int64  `json:"attempts"`
	Text     string `json:"text"`
}

// Line is one line of the timeline.
type Line struct {
	At        string `json:"at"`
	Category  string `json:"category"`
	Text      string `json:"text"`
	Change    string `json:"change"`
	ProductID string `json:"productId"`
}
