package engine

import (
	"context"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/backend/store"
)

// What is cancelled is not begun; what is under way comes to its end, and the change
// behind it is done.
func TestCancel(t *testing.T) {
	d := newDisk(t)
	s := d.open(t)
	doing, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	e := New(s, slog.New(slog.DiscardHandler), map[string]Handler{
		"long": func(context.Context, Task) (Outcome, error) { close(doing); <-goOn; return Outcome{Text: "did"}, nil },
		"last": func(context.Context, Task) (Outcome, error) { close(ended); return Outcome{}, nil },
		"next": func(context.Context, Task) (Outcome, error) { t.Error("it was begun"); return Outcome{}, nil },
	})
	var ids []string
	add := func(tx *store.Tx, steps ...Step) error {
		id, err := AddTx(tx, "x", steps)
		ids = append(ids, id)
		return err
	}
	update := func(fn func(*store.Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), origin, fn); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *store.Tx) error { return add(tx, Step{Kind: "long"}, Step{Kind: "next", Always: true}) })
	update(func(tx *store.Tx) error { return add(tx, Step{Kind: "next"}) })
	update(func(tx *store.Tx) error { return add(tx, Step{Kind: "last"}) })
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- e.Serve(ctx) }()
	<-doing
	update(func(tx *store.Tx) error {
		if err := Cancel(tx, ids[0], "not wanted"); err != nil {
			return err
		}
		return Cancel(tx, ids[1], "not wanted")
	})
	close(goOn)
	<-ended
	cancel()
	<-served
	var got []string
	for _, id := range ids[:2] {
		c, tasks, err := e.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(c.Status)+" "+c.Text)
		for _, task := range tasks {
			got = append(got, string(task.Status)+" "+task.Text)
		}
	}
	want := []string{"done ", "done did", "skipped not wanted", "done not wanted", "skipped not wanted"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
