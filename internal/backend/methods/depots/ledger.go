package depots

import (
	"context"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Ledger is the rows of one depot at the config server, in this process or on
// the other side of the wire.
type Ledger struct {
	Backend methods.Backend
	DepotID string
	// Patience ends a call over a wire on which nothing moves any more; 0 is
	// for a backend in this process.
	Patience time.Duration
}

// As is the ledger as somebody uses it. Who it is counts as it is for a backend
// in this process; over the wire we are the depot, and name him.
func (l Ledger) As(actor methods.Actor) Book { return Book{l, actor} }

// Self is the ledger as the depot itself uses it.
func (l Ledger) Self() Book {
	return l.As(methods.Actor{Role: methods.Depot, ID: l.DepotID})
}

// Book is a ledger in somebody's hands.
type Book struct {
	Ledger
	actor methods.Actor
}

func (b Book) call(ctx context.Context, method string, args ...any) (any, error) {
	if b.Patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.Patience)
		defer cancel()
	}
	return b.Backend.Call(ctx, b.actor, method, methods.Pos(args...))
}

func (b Book) by() string {
	if b.actor.Role == methods.Depot {
		return ""
	}
	return string(b.actor.Role) + " " + b.actor.ID
}

// States are the trees that the depot has and the changes under way.
func (b Book) States(ctx context.Context) (trees []Tree, intents []Intent, err error) {
	return b.StatesOf(ctx, b.DepotID)
}

// StatesOf are those of any depot.
func (b Book) StatesOf(ctx context.Context, depot string) (trees []Tree, intents []Intent, err error) {
	m, err := rpc.As[map[string]any](b.call(ctx, "depotTree_getStates", depot))
	if err != nil {
		return nil, nil, err
	}
	if trees, err = decode[Tree](Trees, m["trees"]); err == nil {
		intents, err = decode[Intent](Intents, m["intents"])
	}
	return trees, intents, err
}

func decode[T any](class *fleet.Class, v any) ([]T, error) {
	if v == nil {
		return nil, nil
	}
	rows, err := rpc.Rows(v)
	if err != nil {
		return nil, err
	}
	out := make([]T, len(rows))
	for i, r := range rows {
		class.Decode(r, &out[i])
	}
	return out, nil
}

// Rows reads objects of a class at the config server.
func Rows[T any](ctx context.Context, b Book, class *fleet.Class, f fleet.Filter) ([]T, error) {
	var cancel context.CancelFunc = func() {}
	if b.Patience > 0 {
		ctx, cancel = context.WithTimeout(ctx, b.Patience)
	}
	defer cancel()
	v, err := b.Backend.Call(ctx, b.actor, class.Name+"_getObjects", methods.Params{Named: f})
	if err != nil {
		return nil, err
	}
	return decode[T](class, v)
}

// Begin locks the product for a change. When it has succeeded in.Since is set.
func (b Book) Begin(ctx context.Context, in *Intent, force bool, needs []Need) error {
	depends := make([]any, len(needs))
	for i, n := range needs {
		depends[i] = []any{string(n.Package), n.Condition, n.Version}
	}
	v, err := b.call(ctx, "depotTree_begin", Intents.Encode(*in), force, depends, b.by())
	if err != nil {
		return err
	}
	list, err := decode[Intent](Intents, []any{v})
	if err == nil && len(list) == 1 {
		*in = list[0]
	}
	return err
}

// Announce tells a later recovery that trees may have been moved.
func (b Book) Announce(ctx context.Context, in *Intent) error {
	in.Publishing = true
	_, err := b.call(ctx, "depotTree_announce", Intents.Encode(*in), b.by())
	return err
}

// Commit ends the change, and returns the version that was replaced.
func (b Book) Commit(ctx context.Context, in Intent, ch Change) (replaced string, err error) {
	return rpc.As[string](b.call(ctx, "depotTree_commit", Intents.Encode(in), ch.encode(), b.by()))
}

// Drop ends the change: the product is gone.
func (b Book) Drop(ctx context.Context, in Intent) error {
	_, err := b.call(ctx, "depotTree_drop", Intents.Encode(in), b.by())
	return err
}

// Undo ends a change that was not carried out.
func (b Book) Undo(ctx context.Context, in Intent) error {
	_, err := b.call(ctx, "depotTree_undo", Intents.Encode(in), b.by())
	return err
}

// Stands tells whether the change is neither committed nor undone.
func (b Book) Stands(ctx context.Context, in Intent) (bool, error) {
	_, intents, err := b.States(ctx)
	for _, i := range intents {
		if i.Product == in.Product && i.Staging == in.Staging {
			return true, nil
		}
	}
	return false, err
}
