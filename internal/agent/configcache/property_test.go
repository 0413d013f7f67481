package configcache_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// removeOld takes all versions of a product away.
func removeOld(product string) func(tx *store.Tx) error {
	return func(tx *store.Tx) error {
		if _, err := tx.Delete(fleet.Products, fleet.Filter{"id": product}); err != nil {
			return err
		}
		_, err := tx.Delete(fleet.ProductsOnDepots, fleet.Filter{"productId": product})
		return err
	}
}

// A world is a server and a client in random use.
type world struct {
	*bench
	rt      *rapid.T
	pending map[string]string // product -> version in its newest result that no server has seen
	results int
	backup  []byte
}

var products = []string{"firefox", "runtime", "vim"}

func (w *world) product() string { return rapid.SampledFrom(products).Draw(w.rt, "product") }
func (w *world) value() string {
	return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(w.rt, "value")
}

// steps are what can happen.
var steps = map[string]func(w *world){
	"server: new version": func(w *world) {
		id := w.product()
		w.server.do(admin, removeOld(id))
		w.onDepot(id, rapid.SampledFrom([]string{"1", "2"}).Draw(w.rt, "version"), rapid.SampledFrom([]string{server, depot}).Draw(w.rt, "depot"))
	},
	"server: remove a product": func(w *world) { w.server.do(admin, removeOld(w.product())) },
	"server: request": func(w *world) {
		action := rapid.SampledFrom([]string{"setup", "uninstall", "none"}).Draw(w.rt, "action")
		w.server.patch(admin, fleet.ProductsOnClients, state(w.product(), fleet.Row{"actionRequest": action}))
	},
	"server: forget a state": func(w *world) { w.server.remove(fleet.ProductsOnClients, state(w.product(), nil)) },
	"server: dependency": func(w *world) {
		r := fleet.Row{"productId": w.product(), "productVersion": "1", "packageVersion": "1", "productAction": "setup", "requiredProductId": w.product(), "requiredAction": "setup"}
		if rapid.Bool().Draw(w.rt, "remove") {
			w.server.remove(fleet.ProductDependencies, r)
		} else {
			w.server.put(admin, fleet.ProductDependencies, r)
		}
	},
	"server: parameter": func(w *world) {
		object := rapid.SampledFrom([]string{client, other, server, depot}).Draw(w.rt, "object")
		w.server.put(admin, fleet.ConfigStates, parameter(object, w.value()))
	},
	"server: remove a parameter": func(w *world) { w.server.remove(fleet.ConfigStates, parameter(client, "")) },
	"server: parameter's meaning": func(w *world) {
		if rapid.Bool().Draw(w.rt, "remove") {
			w.server.remove(fleet.Configs, fleet.Row{"id": "a.b"})
		} else {
			w.server.put(admin, fleet.Configs, fleet.Row{"id": "a.b", "defaultValues": []any{w.value()}})
		}
	},
	"server: property": func(w *world) {
		w.server.put(admin, fleet.ProductPropertyStates, fleet.Row{"productId": w.product(), "propertyId": "language", "objectId": rapid.SampledFrom([]string{client, depot}).Draw(w.rt, "object"), "values": []any{w.value()}})
	},
	"server: group": func(w *world) {
		w.server.put(admin, fleet.Groups, fleet.Row{"type": fleet.ProductGroup, "id": w.value()})
		w.server.put(admin, fleet.Memberships, fleet.Row{"groupType": fleet.ProductGroup, "groupId": w.value(), "objectId": w.product()})
	},
	"server: remove a group": func(w *world) {
		w.server.remove(fleet.Groups, fleet.Row{"type": fleet.ProductGroup, "id": w.value()})
	},
	"server: switch the depot": func(w *world) {
		w.server.put(admin, fleet.ConfigStates, fleet.Row{"configId": "clientconfig.depot.id", "objectId": client, "values": []any{rapid.SampledFrom([]string{server, depot}).Draw(w.rt, "depot")}})
	},
	"server: another client": func(w *world) {
		w.server.patch(admin, fleet.ProductsOnClients, fleet.Row{"productId": w.product(), "productType": fleet.LocalbootProduct, "clientId": other, "actionRequest": "setup"})
	},
	"server: back up": func(w *world) { w.backup = w.server.backup() },
	"server: restore": func(w *world) {
		if w.backup != nil {
			w.server.restore(w.backup)
		}
	},
	"server: trim": func(w *world) {
		w.server.do(admin, func(tx *store.Tx) error {
			pos, err := tx.Position()
			if err != nil {
				return err
			}
			return tx.Trim(pos.Revision - rapid.Int64Range(0, 3).Draw(w.rt, "keep"))
		})
	},
	"client: result":      (*world).result,
	"client: same result": func(w *world) { w.result(); w.result() },
	"client: parameter":   func(w *world) { w.client.put(agent, fleet.ConfigStates, parameter(client, w.value())) },
	"client: progress": func(w *world) {
		w.client.patch(agent, fleet.ProductsOnClients, state(w.product(), fleet.Row{"actionProgress": "caching"}))
	},
	"client: other's row":   func(w *world) { w.client.put(agent, fleet.ConfigStates, parameter(other, w.value())) },
	"client: property":      (*world).clientProperty,
	"client: forget":        func(w *world) { w.client.do(agent, forgetParameter) },
	"push":                  func(w *world) { w.try(w.push()) },
	"push: request lost":    func(w *world) { w.line.before = true; w.try(w.push()) },
	"push: answer lost":     func(w *world) { w.line.after = true; w.try(w.push()) },
	"push: change during":   func(w *world) { w.line.during = w.clientChange(); w.try(w.push()) },
	"pull":                  func(w *world) { n, _, err := w.pull(); w.try(n, nil, err) },
	"pull: answer lost":     func(w *world) { w.line.after = true; n, _, err := w.pull(); w.try(n, nil, err) },
	"pull: change during":   func(w *world) { w.line.during = w.clientChange(); n, _, err := w.pull(); w.try(n, nil, err) },
	"push and pull":         (*world).settle,
	"push and pull (again)": (*world).settle,
}

func forgetParameter(tx *store.Tx) error { return tx.Remove(fleet.ConfigStates, parameter(client, "")) }

func (w *world) clientProperty() {
	w.client.put(agent, fleet.ProductPropertyStates, fleet.Row{"productId": w.product(), "propertyId": "language", "objectId": client, "values": []any{w.value()}})
}

// result records the end of an action; its version is a mark of its own.
func (w *world) result() {
	id := w.product()
	w.results++
	r := state(id, done)
	r["productVersion"] = fmt.Sprint(w.results)
	w.client.patch(agent, fleet.ProductsOnClients, r)
	w.pending[id] = fmt.Sprint(w.results)
}

// clientChange draws what happens on the client while an answer is on its way.
func (w *world) clientChange() func() {
	value, result := w.value(), rapid.Bool().Draw(w.rt, "result")
	id := w.product()
	return func() {
		w.line.during = nil
		if !result {
			w.client.put(agent, fleet.ConfigStates, parameter(client, value))
			return
		}
		w.results++
		r := state(id, done)
		r["productVersion"] = fmt.Sprint(w.results)
		w.client.patch(agent, fleet.ProductsOnClients, r)
		w.pending[id] = fmt.Sprint(w.results)
	}
}

// try takes the end of a push or pull: only the line may be to blame.
func (w *world) try(_ int, _ []string, err error) {
	if err != nil && !errors.Is(err, errLine) {
		w.rt.Fatalf("%v", err)
	}
	w.checkPending()
}

// checkPending checks that the client still has what no server has seen.
func (w *world) checkPending() {
	for id, version := range w.pending {
		got := w.client.row(fleet.ProductsOnClients, state(id, nil))
		if got["productVersion"] != version || got["actionResult"] != "successful" {
			w.rt.Fatalf("the unsent result %s of %s is lost: %v", version, id, got)
		}
	}
}

// delivered checks after a push came to the server that the results in it are there.
func (w *world) delivered(method string, arg, answer any) {
	if method != "replica_push" || answer.(map[string]any)["repeated"] == true {
		return
	}
	for _, v := range arg.(map[string]any)["changes"].([]any) {
		change := v.(map[string]any)
		mine, _ := change["mine"].(map[string]any)
		if change["class"] != fleet.ProductsOnClients.Name || mine == nil {
			continue
		}
		id := mine["productId"].(string)
		got := w.server.row(fleet.ProductsOnClients, state(id, nil))
		if got["productVersion"] != mine["productVersion"] || got["actionResult"] != mine["actionResult"] {
			w.rt.Fatalf("the server lost the result of %s: it has %v, sent was %v", id, got, mine)
		}
		if w.pending[id] == mine["productVersion"] {
			delete(w.pending, id)
		}
	}
}

// settle pushes and pulls over a good line; then the client has what the server has.
func (w *world) settle() {
	w.try(w.push())
	n, _, err := w.pull()
	w.try(n, nil, err)
	if len(w.pending) > 0 {
		w.rt.Fatalf("after a push the server has not seen %v", w.pending)
	}
	if got := w.client.unsent(); len(got) > 0 {
		w.rt.Fatalf("after a push the tracker holds %v", got)
	}
	want := map[string]map[string]fleet.Row{}
	for name, rows := range w.fullPull().Rows {
		want[name] = byKey(w.rt, classNamed(name), rows)
	}
	got := map[string]map[string]fleet.Row{}
	err = w.client.View(w.t.Context(), func(tx *store.Tx) error {
		for _, c := range fleet.Classes() {
			rows, err := tx.Select(c, nil)
			if err != nil {
				return err
			}
			if len(rows) > 0 {
				got[c.Name] = byKey(w.rt, c, rows)
			}
		}
		return nil
	})
	if err != nil {
		w.rt.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		w.rt.Fatalf("working copy (-full pull +client):\n%s", d)
	}
}

func classNamed(name string) *fleet.Class {
	i := slices.IndexFunc(fleet.Classes(), func(c *fleet.Class) bool { return c.Name == name })
	return fleet.Classes()[i]
}

// byKey is rows in canonical form, without volatile columns.
func byKey(t *rapid.T, c *fleet.Class, rows []fleet.Row) map[string]fleet.Row {
	out := map[string]fleet.Row{}
	for _, r := range rows {
		row, err := c.Check(r, fleet.Creating)
		if err != nil {
			t.Fatal(err)
		}
		for _, col := range c.Columns {
			if col.Volatile {
				delete(row, col.Name)
			}
		}
		out[c.Key(row)] = row
	}
	return out
}

// After any interleaving of changes on both sides, lost requests, lost answers,
// restored backups and changes under way: what no server has seen is never
// lost, what a server merged it has, and after a push and a pull the working
// copy is what a full pull gives.
func TestSync_AnyInterleaving(t *testing.T) {
	names := slices.Sorted(maps.Keys(steps))
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{bench: newBench(t), rt: rt, pending: map[string]string{}}
		defer w.server.conn.Close()
		defer w.client.conn.Close()
		w.line.came = w.delivered
		for _, id := range products {
			w.onDepot(id, "1", server)
		}
		for range rapid.IntRange(5, 30).Draw(rt, "steps") {
			name := rapid.SampledFrom(names).Draw(rt, "step")
			steps[name](w)
			w.line.before, w.line.after, w.line.during = false, false, nil // not used up if nothing was to send
		}
		w.settle()
	})
}
