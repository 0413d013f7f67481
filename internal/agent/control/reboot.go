package control

import (
	"context"
	"time"
)

// Reboots is what people say to a reboot that waits.
type Reboots interface {
	// Reboot is the request that waits, nil if none does.
	Reboot(ctx context.Context) (*RebootStatus, error)
	// AcceptReboot has it carried out as soon as nothing is being installed.
	AcceptReboot(ctx context.Context) error
	// DeferReboot puts it off, for as long as is configured or for less.
	DeferReboot(ctx context.Context, by time.Duration) error
	// AskReboot asks for one.
	AskReboot(ctx context.Context, wait time.Duration) error
}

// RebootStatus is a reboot that waits. Times are UTC, "2006-01-02 15:04:05".
type RebootStatus struct {
	Text      string `json:"text"`
	Asked     string `json:"asked"`
	Due       string `json:"due"`    // carried out then, unasked
	Latest    string `json:"latest"` // cannot be put off beyond; empty: no such limit
	Holds     bool   `json:"holds"`  // product actions wait for it
	Deferrals int64  `json:"deferrals"`
	Deferred  int64  `json:"deferred"`
	Tries     int64  `json:"tries"`
	Trouble   string `json:"trouble"` // why the machine still runs
}

// Reboot asks for the reboot that waits.
func (c *Client) Reboot(ctx context.Context) (st *RebootStatus, err error) {
	err = c.ask(ctx, &st, "agent_reboot")
	return st, err
}

// AcceptReboot accepts it.
func (c *Client) AcceptReboot(ctx context.Context) error {
	var nothing any
	return c.ask(ctx, &nothing, "agent_rebootAccept")
}

// DeferReboot puts it off.
func (c *Client) DeferReboot(ctx context.Context, by time.Duration) error {
	var nothing any
	return c.ask(ctx, &nothing, "agent_rebootLater", int64(by/time.Second))
}
