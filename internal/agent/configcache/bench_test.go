package configcache_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/configcache"
	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/replica"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

const (
	client = "pc1.example.org"
	other  = "pc2.example.org"
	server = "server.example.org"
	depot  = "depot1.example.org"
)

var (
	admin = store.Origin{Actor: "administrator anna"}
	agent = store.Origin{Actor: "agent"}
)

// A database is a store whose file can be copied and put back, as a backup is.
type database struct {
	t    *testing.T
	path string
	own  []*fleet.Class
	conn *sqldb.DB
	*store.Store
}

var seconds atomic.Int64

func clock() time.Time {
	return time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC).Add(time.Duration(seconds.Add(1)) * time.Second)
}

func newDatabase(t *testing.T, dir, name string, own ...*fleet.Class) *database {
	d := &database{t: t, path: filepath.Join(dir, name), own: own}
	d.open()
	t.Cleanup(func() { d.conn.Close() })
	return d
}

func (d *database) open() {
	var err error
	if d.conn, err = sqlite.Open(d.path); err != nil {
		d.t.Fatal(err)
	}
	if d.Store, err = store.Open(context.Background(), d.conn, clock, d.own...); err != nil {
		d.t.Fatal(err)
	}
}

func (d *database) backup() []byte {
	d.conn.Close() // folds the write-ahead log into the file
	defer d.open()
	data, err := os.ReadFile(d.path)
	if err != nil {
		d.t.Fatal(err)
	}
	return data
}

func (d *database) restore(data []byte) {
	d.conn.Close()
	defer d.open()
	if err := os.WriteFile(d.path, data, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *database) do(origin store.Origin, fn func(tx *store.Tx) error) {
	d.t.Helper()
	if err := d.Update(context.Background(), origin, fn); err != nil {
		d.t.Fatal(err)
	}
}

// put creates or replaces a row.
func (d *database) put(origin store.Origin, c *fleet.Class, r fleet.Row) {
	d.t.Helper()
	d.do(origin, func(tx *store.Tx) error { return tx.Put(c, r) })
}

// patch changes some columns of a row, and creates it where there is none.
func (d *database) patch(origin store.Origin, c *fleet.Class, r fleet.Row) {
	d.t.Helper()
	d.do(origin, func(tx *store.Tx) error {
		err := tx.Patch(c, r)
		if fleet.CodeOf(err) == fleet.NotFound {
			err = tx.Put(c, r)
		}
		return err
	})
}

func (d *database) remove(c *fleet.Class, r fleet.Row) {
	d.t.Helper()
	d.do(admin, func(tx *store.Tx) error { return tx.Remove(c, r) })
}

// row is the row with an identity, or nil.
func (d *database) row(c *fleet.Class, ident fleet.Row) (r fleet.Row) {
	d.t.Helper()
	err := d.View(context.Background(), func(tx *store.Tx) (err error) { r, err = tx.ByKey(c, c.Key(ident)); return err })
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func (d *database) unsent() (keys []string) {
	d.t.Helper()
	err := d.View(context.Background(), func(tx *store.Tx) error {
		st, _, err := configcache.Load(tx)
		if err != nil {
			return err
		}
		tracked, err := tx.Since(st.Mark)
		for _, o := range tracked {
			keys = append(keys, o.Class.Name+" "+o.Key)
		}
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return keys
}

// A bench is a server and one client of it, with the line between them.
type bench struct {
	t      *testing.T
	server *database
	client *database
	line   *line
	cache  *configcache.Cache
}

func newBench(t *testing.T) *bench {
	dir := t.TempDir()
	b := &bench{t: t, server: newDatabase(t, dir, "server.db", catalog.Classes()...), client: newDatabase(t, dir, "agent.db", configcache.States)}
	b.line = &line{b: b}
	b.cache = configcache.New(b.client.Store, b.line, client, slog.New(slog.DiscardHandler))
	b.server.do(admin, func(tx *store.Tx) error {
		for _, r := range []fleet.Row{
			{"type": fleet.OpsiConfigserver, "id": server, "opsiHostKey": serverKey},
			{"type": fleet.OpsiDepotserver, "id": depot, "opsiHostKey": serverKey},
			{"type": fleet.OpsiClient, "id": client, "opsiHostKey": clientKey},
			{"type": fleet.OpsiClient, "id": other, "opsiHostKey": otherKey, "description": "of others"},
		} {
			if err := tx.Put(fleet.Hosts, r); err != nil {
				return err
			}
		}
		return tx.Put(fleet.Configs, fleet.Row{"id": "clientconfig.depot.id", "defaultValues": []any{server}})
	})
	return b
}

const (
	clientKey = "11111111111111111111111111111111"
	otherKey  = "22222222222222222222222222222222"
	serverKey = "33333333333333333333333333333333"
)

func (b *bench) push() (int, []string, error) { return b.cache.Push(context.Background()) }

func (b *bench) pull() (int, bool, error) { return b.cache.Pull(context.Background(), false) }

// sync pushes and pulls over a line that works.
func (b *bench) sync() (notes []string) {
	b.t.Helper()
	_, notes, err := b.push()
	if err == nil {
		_, _, err = b.pull()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return notes
}

// service is the server's answerer, over the database as it is now.
func (b *bench) service() *methods.Service { return catalog.New(b.server.Store, methods.Ports{}) }

// fullPull is what the server answers to a client that has nothing.
func (b *bench) fullPull() (a replica.PullAnswer) {
	b.t.Helper()
	v, err := b.service().Call(context.Background(), methods.Actor{Role: methods.Host, ID: client}, "replica_pull", methods.Pos(client, map[string]any{}))
	if err != nil {
		b.t.Fatal(err)
	}
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, &a)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

var errLine = errors.New("the line broke")

// A line is the way to the server. It authenticates the client, and breaks on demand.
type line struct {
	b      *bench
	before bool   // the next request is lost
	after  bool   // the next answer is lost
	during func() // happens while the next answer is on its way
	came   func(method string, arg, answer any)
}

func (l *line) Call(ctx context.Context, _ methods.Actor, method string, p methods.Params) (any, error) {
	before, after, during := l.before, l.after, l.during
	l.before, l.after, l.during = false, false, nil
	params, err := overTheWire(p.Positional)
	if err != nil {
		return nil, err
	}
	if before {
		return nil, errLine
	}
	answer, err := l.b.service().Call(ctx, methods.Actor{Role: methods.Host, ID: client, Address: "192.0.2.1"}, method, methods.Pos(params.([]any)...))
	if err != nil {
		return nil, err
	}
	if l.came != nil {
		l.came(method, params.([]any)[1], answer)
	}
	if during != nil {
		during()
	}
	if after {
		return nil, errLine
	}
	return overTheWire(answer)
}

// overTheWire does to data what JSON does.
func overTheWire(v any) (any, error) { return methods.Plain(v, nil) }
