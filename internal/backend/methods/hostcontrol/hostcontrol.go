// Package hostcontrol holds the methods that reach hosts: wake them, have their
// agent fire an event, ask what it does.
//
// Each takes the ids of clients, with "*" in them if wanted, and answers with
// one entry a host: its result, or the error that it came to. Of many hosts
// [atOnce] are asked side by side, each at most [askTime]; what one host does,
// or does not, is nobody else's matter. How a host is reached is the matter of
// [methods.Reach].
//
// hostControlSafe_X is hostControl_X for scripts: without hosts it is an error,
// where the other means all.
package hostcontrol

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

const (
	atOnce  = 100
	askTime = 15 * time.Second
	// longestAsk bounds what a caller may name.
	longestAsk  = 10 * time.Minute
	reachTime   = 3 * time.Second
	executeTime = 300 // seconds; opsi's default
)

// Group is the package's part of the method table.
func Group() methods.Group {
	var all []*methods.Method
	for _, k := range kinds() {
		for _, safe := range []bool{false, true} {
			if safe && k.noSafe {
				continue
			}
			m := &methods.Method{Name: "hostControl_" + k.name, Doc: k.doc, Params: k.params, Roles: k.roles}
			if safe {
				m.Name, m.Doc = "hostControlSafe_"+k.name, k.doc+" Hosts must be named."
			}
			wantsHosts := safe || k.wantsHosts
			m.Do = func(c *methods.Call) (any, error) { return k.do(c, wantsHosts) }
			all = append(all, m)
		}
	}
	return methods.Group{Methods: all}
}

// kind is one method, in its two forms.
type kind struct {
	name, doc  string
	params     []methods.Param
	roles      []methods.Role
	wantsHosts bool // also the form that is not safe
	noSafe     bool
	do         func(c *methods.Call, wantsHosts bool) (any, error)
}

func optional(names ...string) (list []methods.Param) {
	for _, name := range names {
		list = append(list, methods.Param{Name: name, Optional: true})
	}
	return list
}

var (
	operators      = []methods.Role{methods.Operator}
	administrators = []methods.Role{} // they always may
)

func kinds() []kind {
	hosts := optional("hostIds")
	return []kind{
		{name: "start", doc: "Wakes machines by Wake-on-LAN.", params: hosts, roles: operators, do: start},
		{name: "shutdown", doc: "Shuts machines down.", params: hosts, roles: operators, wantsHosts: true, do: asking("shutdown", nil)},
		{name: "reboot", doc: "Restarts machines.", params: hosts, roles: operators, wantsHosts: true, do: asking("reboot", nil)},
		{name: "fireEvent", doc: "Makes an event occur.", params: append([]methods.Param{{Name: "event"}}, hosts...), roles: operators,
			do: asking("fireEvent", func(c *methods.Call) []any { return []any{c.Args["event"]} })},
		{name: "showPopup", doc: "Shows a message to whoever sits there.", params: append([]methods.Param{{Name: "message"}}, optional("hostIds", "mode", "addTimestamp", "displaySeconds")...), roles: operators,
			do: asking("showPopup", popup)},
		{name: "uptime", doc: "Tells for how many seconds machines run.", params: hosts, roles: operators, do: asking("uptime", nil)},
		{name: "getActiveSessions", doc: "Tells who is logged in.", params: hosts, roles: operators, do: asking("getActiveSessions", nil)},
		{name: "processActionRequests", doc: "Processes the action requests now, of some products if they are named.", params: optional("hostIds", "productIds"), roles: operators, noSafe: true, do: process},
		{name: "opsiclientdRpc", doc: "Calls a method of the agents' control interface.", params: append([]methods.Param{{Name: "method"}}, optional("params", "hostIds", "timeout")...), roles: administrators, do: remote},
		{name: "reachable", doc: "Tells which machines can be reached.", params: optional("hostIds", "timeout"), roles: operators, do: reachable},
		{name: "execute", doc: "Has the agents execute a command; each host's own policy decides.", params: append([]methods.Param{{Name: "command"}}, optional("hostIds", "waitForEnding", "captureStderr", "encoding", "timeout")...), roles: administrators, do: execute},
	}
}

// clients are the rows of the clients that the call names, credentials included.
func clients(c *methods.Call, wantsHosts bool) (rows []fleet.Row, err error) {
	ids, err := c.Texts("hostIds")
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 && wantsHosts {
		return nil, fleet.Errorf(fleet.NotFound, "cannot call %s: no host ids given", c.Method.Name)
	}
	filter := fleet.Filter{"type": fleet.OpsiClient}
	if len(ids) > 0 {
		filter["id"] = lower(ids)
	}
	err = c.View(func(tx *store.Tx) error {
		seen, err := c.SelectVisible(tx, fleet.Hosts, filter)
		if err != nil {
			return err
		}
		for _, r := range seen { // what the caller may not read of them, we need
			whole, err := tx.ByKey(fleet.Hosts, fleet.Hosts.Key(r))
			if err != nil {
				return err
			}
			rows = append(rows, whole)
		}
		return nil
	})
	if err == nil && len(rows) == 0 {
		err = fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot call %s: no matching host ids found", c.Method.Name), "see: fernwerk host list")
	}
	return rows, err
}

func lower(ids []string) (list []any) {
	for _, id := range ids {
		list = append(list, strings.ToLower(id))
	}
	return list
}

// each does something for every host, some at once, and gathers what it came to.
func each(ctx context.Context, hosts []fleet.Row, within time.Duration, do func(context.Context, fleet.Row) (any, error)) map[string]any {
	var mu sync.Mutex
	all := make(map[string]any, len(hosts))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, host := range hosts {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, within)
			defer cancel()
			result, err := do(ctx, host)
			one := map[string]any{"result": result, "error": nil}
			if err != nil {
				one = map[string]any{"result": nil, "error": text(err)}
			}
			mu.Lock()
			defer mu.Unlock()
			all[host.Str("id")] = one
			return nil
		})
	}
	g.Wait()
	return all
}

// text is an error in one line: the hint belongs to it, since there is no other
// place for it in the answer.
func text(err error) string {
	s := err.Error()
	if errors.Is(err, context.DeadlineExceeded) && !strings.Contains(s, "time") {
		s = "no answer in time: " + s
	}
	if hint := fleet.HintOf(err); hint != "" {
		s += " (" + hint + ")"
	}
	return s
}

// asking makes a method that has a host's agent answer one of its own.
func asking(method string, params func(*methods.Call) []any) func(*methods.Call, bool) (any, error) {
	return func(c *methods.Call, wantsHosts bool) (any, error) {
		var list []any
		if params != nil {
			list = params(c)
		}
		return ask(c, wantsHosts, askTime, method, list)
	}
}

func ask(c *methods.Call, wantsHosts bool, within time.Duration, method string, params []any) (any, error) {
	reach, err := c.Reach()
	if err != nil {
		return nil, err
	}
	hosts, err := clients(c, wantsHosts)
	if err != nil {
		return nil, err
	}
	return each(c.Context, hosts, within, func(ctx context.Context, host fleet.Row) (any, error) {
		return reach.Ask(ctx, host, method, slices.Clone(params))
	}), nil
}

func popup(c *methods.Call) []any {
	mode, _ := c.Args["mode"].(string)
	if mode == "" {
		mode = "prepend"
	}
	list := []any{c.Args["message"], mode, c.Flag("addTimestamp", true)}
	if s := c.Args["displaySeconds"]; s != nil {
		list = append(list, s)
	}
	return list
}

// seconds is a timeout that the caller names, else what is usual.
func seconds(c *methods.Call, name string, usual time.Duration) (time.Duration, error) {
	var n float64
	switch v := c.Args[name].(type) {
	case nil:
		return usual, nil
	case int64:
		n = float64(v)
	case float64:
		n = v
	default:
		return 0, fleet.Errorf(fleet.Invalid, "cannot call %s: parameter %s wants seconds", c.Method.Name, name)
	}
	if n <= 0 {
		return usual, nil
	}
	return min(time.Duration(n*float64(time.Second)), longestAsk), nil
}

func remote(c *methods.Call, wantsHosts bool) (any, error) {
	method, err := c.Text("method")
	if err != nil {
		return nil, err
	}
	within, err := seconds(c, "timeout", askTime)
	if err != nil {
		return nil, err
	}
	var params []any
	switch p := c.Args["params"].(type) {
	case nil:
	case []any:
		params = p
	default:
		return nil, fleet.Errorf(fleet.Invalid, "cannot call %s: parameter params wants a list", c.Method.Name)
	}
	return ask(c, wantsHosts, within, method, params)
}

func execute(c *methods.Call, wantsHosts bool) (any, error) {
	within, err := seconds(c, "timeout", executeTime*time.Second)
	if err != nil {
		return nil, err
	}
	params := []any{c.Args["command"], c.Flag("waitForEnding", true), c.Flag("captureStderr", true), c.Args["encoding"], int64(within.Seconds())}
	return ask(c, wantsHosts, within+askTime, "execute", params)
}

func start(c *methods.Call, wantsHosts bool) (any, error) {
	reach, err := c.Reach()
	if err != nil {
		return nil, err
	}
	hosts, err := clients(c, wantsHosts)
	if err != nil {
		return nil, err
	}
	return each(c.Context, hosts, askTime, func(ctx context.Context, host fleet.Row) (any, error) {
		if host.Str("hardwareAddress") == "" {
			return nil, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot wake %s: its hardware address is not known", host.Str("id")), "note it with: fernwerk host change %s --mac aa:bb:cc:dd:ee:ff", host.Str("id"))
		}
		return "sent", reach.Wake(ctx, host)
	}), nil
}

func reachable(c *methods.Call, wantsHosts bool) (any, error) {
	reach, err := c.Reach()
	if err != nil {
		return nil, err
	}
	within, err := seconds(c, "timeout", reachTime)
	if err != nil {
		return nil, err
	}
	hosts, err := clients(c, wantsHosts)
	if err != nil {
		return nil, err
	}
	all := each(c.Context, hosts, within, func(ctx context.Context, host fleet.Row) (any, error) { return reach.Reachable(ctx, host), nil })
	for id, one := range all {
		all[id] = one.(map[string]any)["result"]
	}
	return all, nil
}

// process has the agents process action requests. With products named, it is an
// error of a host that none of them has a request there.
func process(c *methods.Call, wantsHosts bool) (any, error) {
	products, err := c.Texts("productIds")
	if err != nil {
		return nil, err
	}
	if len(products) == 0 {
		return ask(c, wantsHosts, askTime, "processActionRequests", nil)
	}
	reach, err := c.Reach()
	if err != nil {
		return nil, err
	}
	hosts, err := clients(c, wantsHosts)
	if err != nil {
		return nil, err
	}
	requested := map[string][]any{}
	err = c.View(func(tx *store.Tx) error {
		for _, host := range hosts {
			id := host.Str("id")
			rows, err := tx.Select(fleet.ProductsOnClients, fleet.Filter{"clientId": id, "productId": products})
			if err != nil {
				return err
			}
			for _, r := range rows {
				if a := r.Str("actionRequest"); a != "" && a != "none" {
					requested[id] = append(requested[id], r["productId"])
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return each(c.Context, hosts, askTime, func(ctx context.Context, host fleet.Row) (any, error) {
		list := requested[host.Str("id")]
		if len(list) == 0 {
			return nil, fleet.Errorf(fleet.NotFound, "no action is requested of %s on %s", strings.Join(products, ", "), host.Str("id"))
		}
		return reach.Ask(ctx, host, "processActionRequests", []any{list})
	}), nil
}
