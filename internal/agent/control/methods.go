package control

import (
	"context"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// methodTable answers the control interface.
type methodTable struct{ agent Agent }

// Methods are the methods of the control interface, for every way that leads to
// it: the local service, and the server's message bus.
func Methods(agent Agent) methods.Backend { return &methodTable{agent} }

// executing are opsiclientd's methods that would execute what the caller says,
// or let him in. There is no key that allows them: what a host executes was
// signed for it.
var executing = []string{"execute", "runCommand", "execPythonCode", "runOpsiScriptAsOpsiSetupUser", "loginUser", "setConfigValue", "updateConfigFile", "replaceOpsiHostKey"}

// missing are opsiclientd's methods that this agent does not have yet.
var missing = []string{"showPopup", "shutdown", "restart", "getActiveSessions", "logoffSession", "lockSession", "setBlockLogin", "cancelEvents"}

// onDemand is the event by which action requests are processed at somebody's wish.
const onDemand = "on_demand"

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
	seconds := func(name string) time.Duration { return wait(p, name) }
	switch method {
	case "reboot":
		return nil, t.agent.AskReboot(ctx, seconds("waitSeconds"))
	case "agent_reboot":
		return methods.Plain(t.agent.Reboot(ctx))
	case "agent_rebootAccept":
		return nil, t.agent.AcceptReboot(ctx)
	case "agent_rebootLater":
		return nil, t.agent.DeferReboot(ctx, seconds("seconds"))
	case "fireEvent":
		return t.agent.Fire(ctx, arg(0, "name"))
	case "processActionRequests":
		if some, _ := append(slices.Clone(p.Positional), p.Named["product_ids"])[0].([]any); len(some) > 0 {
			return nil, fleet.WithHint(fleet.Errorf(fleet.NotHere, "cannot process the actions of some products only: this agent processes all that are requested"), "leave the products out")
		}
		return t.agent.Fire(ctx, onDemand)
	case "agent_status":
		return methods.Plain(t.agent.Status(ctx))
	case "agent_change":
		return methods.Plain(t.agent.Change(ctx, arg(0, "id")))
	case "agent_updates":
		return methods.Plain(t.agent.Updates(ctx))
	case "agent_updatesNow":
		return nil, t.agent.UpdatesNow(ctx)
	case "agent_updatesLook":
		return methods.Plain(t.agent.UpdatesLook(ctx))
	case "agent_updateLog":
		return methods.Plain(t.agent.UpdateLog(ctx, arg(0, "number")))
	case "agent_updateDecide":
		return nil, t.agent.UpdateDecide(ctx, arg(0, "number"), arg(1, "decision"))
	case "agent_files":
		return methods.Plain(t.agent.Files())
	case "agent_filesNow":
		t.agent.FilesNow()
		return nil, nil
	case "timeline_getEvents":
		return methods.Plain(t.agent.Timeline(ctx, 200))
	case "isEventRunning", "isInstallationPending", "getState":
		return t.state(ctx, method, arg(0, "name"))
	case "uptime":
		up, err := t.agent.Uptime()
		return int64(up / time.Second), err
	}
	switch {
	case slices.Contains(executing, method):
		return nil, fleet.Errorf(fleet.Denied, "cannot call %s: remote execution is refused by this host", method)
	case slices.Contains(missing, method):
		return nil, fleet.Errorf(fleet.NotHere, "cannot call %s: this agent does not have it yet", method)
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

// maxWait is a year: more makes no sense, and no time overflows.
const maxWait = 366 * 24 * 3600

// wait is a number of seconds among the parameters, 0 if there is none.
func wait(p methods.Params, name string) time.Duration {
	v := p.Named[name]
	if v == nil && len(p.Positional) > 0 {
		v = p.Positional[0]
	}
	var n float64
	switch v := v.(type) {
	case int64:
		n = float64(v)
	case float64:
		n = v
	}
	return time.Duration(min(max(n, 0), maxWait)) * time.Second
}
