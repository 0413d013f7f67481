package hosts

import (
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/where"
)

func selectionMethods() []*methods.Method {
	return []*methods.Method{
		{
			Name: "host_select", Roles: []methods.Role{methods.Operator, methods.Reader, methods.Depot}, Do: selectHosts,
			Doc:    "The ids of the clients that meet a condition, sorted, such as: group = branch and last-seen < 30d.",
			Params: []methods.Param{{Name: "where"}},
		},
	}
}

// selectHosts answers from the other methods, as the caller sees them: nobody
// learns by a condition what he may not read.
func selectHosts(c *methods.Call) (any, error) {
	text, err := c.Text("where")
	if err != nil {
		return nil, err
	}
	condition, err := where.Parse(text)
	if err != nil {
		return nil, err
	}
	s := census{call: c, texts: map[where.Fact]map[string][]string{}}
	if err := c.View(func(tx *store.Tx) error { s.now = tx.Now(); return nil }); err != nil {
		return nil, err
	}
	if s.hosts, err = s.rows("host_getObjects", fleet.Filter{"type": fleet.OpsiClient}); err != nil {
		return nil, err
	}
	for _, f := range condition.Facts() {
		if err := s.gather(f); err != nil {
			return nil, err
		}
	}
	ids := []any{}
	for _, h := range s.hosts {
		if condition.Match(subject{&s, h}) {
			ids = append(ids, h["id"])
		}
	}
	slices.SortFunc(ids, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	return ids, nil
}

// census is what is known of all clients, as far as a condition asks.
type census struct {
	call  *methods.Call
	now   time.Time
	hosts []fleet.Row
	texts map[where.Fact]map[string][]string // by client; facts that are columns are not here
}

// columns are the facts that stand in a host's own row.
var columns = map[string]string{
	"id": "id", "description": "description", "notes": "notes", "inventory": "inventoryNumber", "ip": "ipAddress",
	"mac": "hardwareAddress", "uuid": "systemUUID", "created": "created", "last-seen": "lastSeen",
}

// gather reads what a fact needs, for all clients at once.
func (s *census) gather(f where.Fact) error {
	if columns[f.Name] != "" || s.texts[f] != nil {
		return nil
	}
	s.texts[f] = map[string][]string{}
	tell := func(r fleet.Row, client, column string) {
		if v := r.Str(column); v != "" {
			s.texts[f][r.Str(client)] = append(s.texts[f][r.Str(client)], v)
		}
	}
	const onClient = "productOnClient_getObjects"
	switch f.Name {
	case "depot":
		return s.each("configState_getClientToDepotserver", nil, func(r fleet.Row) { tell(r, "clientId", "depotId") })
	case "group":
		return s.groups(f)
	case "installed":
		return s.each(onClient, fleet.Filter{"installationStatus": "installed"}, func(r fleet.Row) { tell(r, "clientId", "productId") })
	case "requested":
		return s.each(onClient, nil, func(r fleet.Row) {
			if v := r.Str("actionRequest"); v != "" && v != string(fleet.None) {
				tell(r, "clientId", "productId")
			}
		})
	case "failed":
		return s.each(onClient, fleet.Filter{"actionResult": "failed"}, func(r fleet.Row) { tell(r, "clientId", "productId") })
	case "software":
		return s.each("auditSoftwareOnClient_getObjects", nil, func(r fleet.Row) { tell(r, "clientId", "name") })
	case "product.version":
		return s.each(onClient, fleet.Filter{"productId": f.Of}, func(r fleet.Row) {
			if v := r.Str("productVersion"); v != "" {
				r["version"] = v + "-" + r.Str("packageVersion")
				tell(r, "clientId", "version")
			}
		})
	case "product.status":
		return s.each(onClient, fleet.Filter{"productId": f.Of}, func(r fleet.Row) { tell(r, "clientId", "installationStatus") })
	case "product.request":
		return s.each(onClient, fleet.Filter{"productId": f.Of}, func(r fleet.Row) { tell(r, "clientId", "actionRequest") })
	case "product.result":
		return s.each(onClient, fleet.Filter{"productId": f.Of}, func(r fleet.Row) { tell(r, "clientId", "actionResult") })
	case "wan":
		return s.parameters(wanParameterIDs(), func(client string, values map[string]any) {
			s.texts[f][client] = []string{wanMode(values)}
		})
	case "param":
		return s.parameters([]string{f.Of}, func(client string, values map[string]any) {
			for _, v := range values {
				s.texts[f][client] = texts(v)
			}
		})
	}
	return fleet.Errorf(fleet.NotHere, "cannot ask for the fact %s: this service does not know it", f)
}

// texts are the values of a host parameter in words.
func texts(v any) []string {
	values, _ := v.([]any)
	out := make([]string, 0, len(values))
	for _, v := range values {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case bool:
			out = append(out, map[bool]string{true: "true", false: "false"}[v])
		}
	}
	return out
}

// rows asks a method for objects.
func (s *census) rows(method string, f fleet.Filter) ([]fleet.Row, error) {
	v, err := s.call.Ask(method, []any{}, map[string]any(f))
	if err != nil {
		return nil, err
	}
	return rowsOf(v), nil
}

func rowsOf(v any) []fleet.Row {
	if rows, ok := v.([]fleet.Row); ok {
		return rows
	}
	list, _ := v.([]any)
	rows := make([]fleet.Row, 0, len(list))
	for _, e := range list {
		switch e := e.(type) {
		case fleet.Row:
			rows = append(rows, e)
		case map[string]any:
			rows = append(rows, e)
		}
	}
	return rows
}

func (s *census) each(method string, f fleet.Filter, fn func(fleet.Row)) error {
	var rows []fleet.Row
	var err error
	if strings.HasSuffix(method, "_getObjects") {
		rows, err = s.rows(method, f)
	} else {
		var v any
		if v, err = s.call.Ask(method); err == nil {
			rows = rowsOf(v)
		}
	}
	for _, r := range rows {
		fn(r)
	}
	return err
}

func (s *census) parameters(ids []string, fn func(client string, values map[string]any)) error {
	v, err := s.call.Ask("configState_getValues", ids)
	if err != nil {
		return err
	}
	for client, values := range v.(map[string]any) {
		fn(client, values.(map[string]any))
	}
	return nil
}

// groups tells each client's groups, and those around them.
func (s *census) groups(f where.Fact) error {
	all, err := s.rows("group_getObjects", fleet.Filter{"type": fleet.HostGroup})
	if err != nil {
		return err
	}
	parent := map[string]string{}
	for _, g := range all {
		parent[g.Str("id")] = g.Str("parentGroupId")
	}
	return s.each("objectToGroup_getObjects", fleet.Filter{"groupType": fleet.HostGroup}, func(r fleet.Row) {
		client := r.Str("objectId")
		for id := r.Str("groupId"); id != "" && !slices.Contains(s.texts[f][client], id); id = parent[id] {
			s.texts[f][client] = append(s.texts[f][client], id)
		}
	})
}

// subject is one client of the census.
type subject struct {
	s   *census
	row fleet.Row
}

func (h subject) Texts(f where.Fact) []string {
	if col := columns[f.Name]; col != "" {
		if v := h.row.Str(col); v != "" {
			return []string{v}
		}
		return nil
	}
	return h.s.texts[f][h.row.Str("id")]
}

func (h subject) Age(f where.Fact) time.Duration {
	at, err := time.Parse(time.DateTime, h.row.Str(columns[f.Name]))
	if err != nil {
		return where.Never
	}
	return max(0, h.s.now.Sub(at)) // clocks of two replicas differ
}
