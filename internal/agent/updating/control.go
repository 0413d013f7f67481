package updating

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/agent/control"
	"github.com/fernwerk/fernwerk/internal/agent/runonce"
)

// Control is what the control interface asks of the updates.
type Control struct{ Runner *runonce.Runner }

// Updates implements [control.RunOnce].
func (c Control) Updates(ctx context.Context) ([]control.UpdateStatus, error) {
	return updateStatus(c.Runner.List(ctx))
}

// UpdatesLook implements [control.RunOnce].
func (c Control) UpdatesLook(ctx context.Context) ([]control.UpdateStatus, error) {
	return updateStatus(c.Runner.Look(ctx))
}

func updateStatus(steps []runonce.Step, err error) ([]control.UpdateStatus, error) {
	list := []control.UpdateStatus{}
	for _, s := range steps {
		list = append(list, control.UpdateStatus{Number: s.Number, ID: s.ID, Title: s.Title, Do: s.Do, State: s.State, Why: s.Why})
	}
	return list, err
}

// UpdatesNow implements [control.RunOnce].
func (c Control) UpdatesNow(context.Context) error { return c.Runner.Now() }

// UpdateLog implements [control.RunOnce].
func (c Control) UpdateLog(ctx context.Context, number string) ([]control.UpdateAttempt, error) {
	told, err := c.Runner.Log(ctx, number)
	list := []control.UpdateAttempt{}
	for _, t := range told {
		list = append(list, control.UpdateAttempt{Report: t.Report, Reported: t.Known})
	}
	return list, err
}

// UpdateDecide implements [control.RunOnce].
func (c Control) UpdateDecide(ctx context.Context, number, decision string) error {
	return c.Runner.Decide(ctx, number, decision)
}
