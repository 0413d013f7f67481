package control

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Agent is what the control methods steer.
type Agent interface {
	// Fire makes an event occur and returns the id of the change that it
	// started, "" if its configuration asks for nothing.
	Fire(ctx context.Context, event string) (change string, err error)
	Status(ctx context.Context) (Status, error)
	Change(ctx context.Context, id string) (ChangeDetail, error)
	Timeline(ctx context.Context, limit int) ([]Line, error)
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
	Changes []ChangeStatus  `json:"changes"` // the newest, newest first
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

// methodTable answers the control interface.
type methodTable struct{ agent Agent }

var _ methods.Backend = (*methodTable)(nil)

// Call implements [methods.Backend]. Names and parameters are opsiclientd's
// where it has the method.
func (t *methodTable) Call(ctx context.Context, _ methods.Actor, method string, p methods.Params) (any, error) {
	arg := func(i int, name string) string {
		if s, ok := p.Named[name].(string); ok {
			return s
		}
		if i < len(p.Positional) {
			s, _ := p.Positional[i].(string)
			return s
		}
		return ""
	}
	switch method {
	case "fireEvent":
		return t.agent.Fire(ctx, arg(0, "name"))
	case "agent_status":
		return methods.Plain(t.agent.Status(ctx))
	case "agent_change":
		return methods.Plain(t.agent.Change(ctx, arg(0, "id")))
	case "timeline_getEvents":
		return methods.Plain(t.agent.Timeline(ctx, 200))
	case "isEventRunning", "isInstallationPending", "getState":
		return t.state(ctx, method, arg(0, "name"))
	}
	return nil, fleet.Errorf(fleet.NotFound, "cannot call %q: the control interface has no such method", method)
}

func (t *methodTable) state(ctx context.Context, method, name string) (any, error) {
	st, err := t.agent.Status(ctx)
	if err != nil {
		return nil, err
	}
	switch method {
	case "isEventRunning":
		return st.Running != "" && (name == "" || st.Event == name), nil
	case "isInstallationPending":
		name = "installation_pending"
	}
	return st.Flags[name], nil
}
