// Package conf is the agent's configuration: the format of opsiclientd.conf,
// its keys, and what event configurations inherit.
package conf

import "time"

// Type is what makes an event occur.
type Type string

// The types of events, by opsi's names.
const (
	DaemonStartup Type = "daemon startup"
	Timer         Type = "timer"
	SyncCompleted Type = "sync completed"
	OnDemand      Type = "on demand"
	NetConnection Type = "net connection"
)

// Event is one event configuration with all that it inherits.
type Event struct {
	Name          string   // "sync_completed", "opsiclientd_start{cache_ready}"
	Main          string   // the name without the precondition: what fireEvent names
	Type          Type     //
	Active        bool     //
	Preconditions []string // flags that must all be true

	StartInterval time.Duration // timer: the first time
	Interval      time.Duration // timer: after that

	SyncConfigToServer       bool
	SyncConfigFromServer     bool
	UseCachedConfig          bool
	CacheProducts            bool
	UseCachedProducts        bool
	CacheMaxBandwidth        int64 // bytes a second; 0 or less is unlimited
	CacheDynamicBandwidth    bool
	ProcessActions           bool
	PostSyncConfigToServer   bool
	PostSyncConfigFromServer bool
	Reboot                   bool
}
