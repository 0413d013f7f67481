package control

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
)

// Client steers the agent of a data folder from another process of this
// machine.
type Client struct {
	rpc             *rpc.Client
	base, user, key string
	tls             *tls.Config
}

// Dial makes a client, as the machine's host; it connects with the first call.
func Dial(dataDir, hostID, hostKey string) (*Client, error) {
	address, err := Address(dataDir)
	if err != nil {
		return nil, fleet.WithHint(fleet.Errorf(fleet.Unavailable, "cannot reach the agent: %w", err), "start it with: fernwerk-agent run")
	}
	ca, err := os.ReadFile(CertPath(dataDir))
	if err != nil {
		return nil, fmt.Errorf("cannot reach the agent: %w", err)
	}
	cfg, err := pin.Config("localhost", ca, "")
	if err != nil {
		return nil, err
	}
	client, err := rpc.NewClient(rpc.Options{URL: "https://" + address + "/opsiclientd", User: hostID, TLS: cfg, UserAgent: "fernwerk-agent",
		Password: func(context.Context) (string, error) { return hostKey, nil }})
	if err != nil {
		return nil, err
	}
	return &Client{client, "https://" + address, hostID, hostKey, cfg.Clone()}, nil
}

func (c *Client) ask(ctx context.Context, answer any, method string, args ...any) error {
	v, err := c.rpc.Call(ctx, methods.Actor{}, method, methods.Pos(args...))
	if fleet.CodeOf(err) == fleet.Unavailable {
		return fleet.WithHint(err, "is the agent running? start it with: fernwerk-agent run")
	}
	if err != nil {
		return err
	}
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, answer)
	}
	return err
}

// Fire makes an event occur.
func (c *Client) Fire(ctx context.Context, event string) (change string, err error) {
	err = c.ask(ctx, &change, "fireEvent", event)
	return change, err
}

// Status asks for the agent's status.
func (c *Client) Status(ctx context.Context) (st Status, err error) {
	err = c.ask(ctx, &st, "agent_status")
	return st, err
}

// Change asks for one change.
func (c *Client) Change(ctx context.Context, id string) (d ChangeDetail, err error) {
	err = c.ask(ctx, &d, "agent_change", id)
	return d, err
}
