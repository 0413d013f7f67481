package control

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

// RunOnce are the run-once updates of this machine.
type RunOnce interface {
	// Updates are those that are offered, or were begun, and what is done with each.
	Updates(ctx context.Context) ([]UpdateStatus, error)
	// UpdatesNow has the server asked at once.
	UpdatesNow(ctx context.Context) error
	// UpdatesLook asks, verifies, and says what would run; nothing runs.
	UpdatesLook(ctx context.Context) ([]UpdateStatus, error)
	// UpdateLog is every attempt of an update, with what it printed.
	UpdateLog(ctx context.Context, number string) ([]UpdateAttempt, error)
	// UpdateDecide is retry or skip, for one that failed or was interrupted.
	UpdateDecide(ctx context.Context, number, decision string) error
}

// UpdateStatus is how an update stands.
type UpdateStatus struct {
	Number string `json:"number"`
	ID     string `json:"id"`
	Title  string `json:"title"`
	Do     string `json:"do"`    // run, again, resume, hold or rest
	State  string `json:"state"` // of the newest attempt; "" if there was none
	Why    string `json:"why"`
}

// UpdateAttempt is one time that an update was begun.
type UpdateAttempt struct {
	update.Report
	Reported bool `json:"reported"` // the server has it
}

// Updates asks for the updates.
func (c *Client) Updates(ctx context.Context) (list []UpdateStatus, err error) {
	err = c.ask(ctx, &list, "agent_updates")
	return list, err
}

// UpdatesNow has the server asked.
func (c *Client) UpdatesNow(ctx context.Context) error {
	var nothing any
	return c.ask(ctx, &nothing, "agent_updatesNow")
}

// UpdatesLook asks what would run.
func (c *Client) UpdatesLook(ctx context.Context) (list []UpdateStatus, err error) {
	err = c.ask(ctx, &list, "agent_updatesLook")
	return list, err
}

// UpdateLog asks for the attempts of an update.
func (c *Client) UpdateLog(ctx context.Context, number string) (list []UpdateAttempt, err error) {
	err = c.ask(ctx, &list, "agent_updateLog", number)
	return list, err
}

// UpdateDecide decides about an update.
func (c *Client) UpdateDecide(ctx context.Context, number, decision string) error {
	var nothing any
	return c.ask(ctx, &nothing, "agent_updateDecide", number, decision)
}
