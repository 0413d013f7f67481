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
	taskRepeat    = "repeat"
	taskReboot    = "reboot"
)

// steps is what an event configuration asks for, in seed A's order: results
// go up before anything comes down, both caches fill, then the actions, whose
// results go up again. A failed push stops the pull.
//
// Actions always run from the product cache. A configuration that does not use
// cached products fills it first, in the same change. Then it is looked whether
// there are more, see [Agent.repeat].
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
	if fetches(c) {
		list = append(list, cacheStep(c, false))
		if !c.ProcessActions {
			add(taskCompleted, false)
		}
	}
	if c.ProcessActions {
		add(taskActions, false)
		list = append(list, afterActions(c)...)
	} else if c.PostSyncConfigToServer {
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

// afterActions ends a round of actions: what came of them goes up, whatever that
// was, and it is looked whether there are more.
func afterActions(c conf.EventConfig) []engine.Step {
	list := []engine.Step{{Kind: taskDone, Always: true}, {Kind: taskPush, Always: true}, {Kind: taskLog, Always: true}}
	if asks(c) {
		list = append(list, engine.Step{Kind: taskPull, Always: true})
	}
	return append(list, engine.Step{Kind: taskRepeat, Always: true})
}

// again is a further round.
func again(c conf.EventConfig) []engine.Step {
	var list []engine.Step
	if fetches(c) {
		list = append(list, cacheStep(c, true))
	}
	return append(append(list, engine.Step{Kind: taskActions, Always: true}), afterActions(c)...)
}

// asks tells whether the event processes what the server has now, and not what was
// cached before.
func asks(c conf.EventConfig) bool {
	return c.ProcessActions && (c.SyncConfigFromServer || !c.UseCachedConfig)
}

func fetches(c conf.EventConfig) bool {
	return c.CacheProducts || c.ProcessActions && !c.UseCachedProducts
}

func cacheStep(c conf.EventConfig, always bool) engine.Step {
	return engine.Step{Kind: taskCache, Args: strings.TrimSpace(strconv.FormatInt(c.CacheMaxBandwidth, 10) + " " + c.DepotProtocol), Always: always}
}
