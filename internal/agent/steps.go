package agent

import (
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/agent/engine"
	"github.com/fernwerk/fernwerk/internal/fleet/conf"
)

// The kinds of tasks that an event configuration can ask for.
const (
	taskPush      = "sync_config_to_server"
	taskPull      = "sync_config_from_server"
	taskCache     = "cache_products"
	taskCompleted = "sync_completed"
	taskActions   = "process_actions"
	taskAction    = "action"
	taskDone      = "actions_done"
	taskLog       = "send_log"
	taskReboot    = "reboot"
)

// steps is what an event configuration asks for, in seed A's order: results
// go up before anything comes down, both caches fill, then the actions, whose
// results go up again. A failed push stops the pull.
//
// Actions always run from the product cache. A configuration that does not use
// cached products fills it first, in the same change.
func steps(c conf.EventConfig) []engine.Step {
	var list []engine.Step
	add := func(kind string, always bool) { list = append(list, engine.Step{Kind: kind, Always: always}) }
	direct := c.ProcessActions && !c.UseCachedConfig
	if c.SyncConfigToServer || direct {
		add(taskPush, false)
		add(taskLog, false)
	}
	if c.SyncConfigFromServer || direct {
		add(taskPull, false)
	}
	if c.CacheProducts || c.ProcessActions && !c.UseCachedProducts {
		list = append(list, engine.Step{Kind: taskCache, Args: strings.TrimSpace(strconv.FormatInt(c.CacheMaxBandwidth, 10) + " " + c.DepotProtocol)})
		if !c.ProcessActions {
			add(taskCompleted, false)
		}
	}
	if c.ProcessActions {
		add(taskActions, false)
		add(taskDone, true)
	}
	if c.PostSyncConfigToServer || c.ProcessActions {
		add(taskPush, true)
		add(taskLog, true)
	}
	if c.PostSyncConfigFromServer {
		add(taskPull, false)
	}
	if c.Reboot {
		add(taskReboot, false)
	}
	return list
}
