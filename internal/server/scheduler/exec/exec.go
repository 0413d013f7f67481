// Package exec has any program keep the nodes of a scheduler that Fernwerk does
// not know.
//
// The program is started for every question, without arguments of ours and
// without a shell. It gets one JSON object ([Question]) on standard input and
// prints one ([Answer]); what it prints on standard error is for people, and is
// in the message if it fails. Exit code 0 and an answer without "error" is
// success. A question may come twice. The schema is in docs/howto/schedulers.md.
package exec

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
	"github.com/fernwerk/fernwerk/internal/server/scheduler/tool"
)

// Name is the driver's.
const Name = "exec"

// Version of the schema.
const Version = 1

// Question is what the program is asked: to "read" all nodes, or to "apply" a
// change to one.
type Question struct {
	Version int    `json:"version"`
	Do      string `json:"do"`
	Node    *Node  `json:"node,omitempty"`
	Found   bool   `json:"found,omitempty"` // it was among those read
	Gone    bool   `json:"gone,omitempty"`  // it is no longer a node; only its name is there
	Why     string `json:"why,omitempty"`   // for people
}

// Node is a node, as it shall be in a question, as it is in an answer.
type Node struct {
	Name           string            `json:"name"`
	Up             bool              `json:"up"`
	Address        string            `json:"address,omitempty"`
	Epoch          int64             `json:"epoch,omitempty"` // the session's number; an answer that gives it back is asked to apply only what is new
	Properties     map[string]string `json:"properties,omitempty"`
	Word           string            `json:"word,omitempty"` // answer: the scheduler's own for the state
	Host           string            `json:"host,omitempty"`
	NodeType       string            `json:"nodeType,omitempty"`
	Resources      string            `json:"resources,omitempty"` // core or node
	ConnectedSince string            `json:"connectedSince,omitempty"`
	ClientAddress  string            `json:"clientAddress,omitempty"`
	ClientName     string            `json:"clientName,omitempty"`
}

// Answer is what the program prints.
type Answer struct {
	Nodes []Node `json:"nodes,omitempty"` // to "read"
	Error string `json:"error,omitempty"` // why it did not do it
}

// Driver is for one goroutine.
type Driver struct {
	Tools   tool.Runner
	Program []string // with arguments of the administrator's
}

// Name is the driver's.
func (d *Driver) Name() string { return Name }

// Wants chooses the nodes of types that are for the program.
func (d *Driver) Wants(n node.Node) bool { return n.Scheduler == Name }

// Again is never: what the program says counts.
func (d *Driver) Again() time.Duration { return 0 }

// Differs says what a change would be for.
func (d *Driver) Differs(want node.Node, is node.State, found bool) string {
	return node.Differs(want, is, found)
}

// Read is all nodes that the program tells.
func (d *Driver) Read(ctx context.Context) (map[string]node.State, error) {
	a, err := d.ask(ctx, Question{Do: "read"})
	if err != nil {
		return nil, err
	}
	all := map[string]node.State{}
	for _, n := range a.Nodes {
		if _, twice := all[n.Name]; twice {
			return nil, fleet.Errorf(fleet.Unavailable, "cannot use the answer of %s: the node %.80q is there twice", d.Program[0], n.Name)
		}
		s := node.State{Up: n.Up, Epoch: n.Epoch, Properties: n.Properties, Word: n.Word}
		if n.Address != "" {
			if s.Address, err = netip.ParseAddr(n.Address); err != nil {
				return nil, fleet.Errorf(fleet.Unavailable, "cannot use the answer of %s: %.80q is no address", d.Program[0], n.Address)
			}
		}
		all[n.Name] = s
	}
	return all, nil
}

// Apply has the program make one node what it shall be.
func (d *Driver) Apply(ctx context.Context, c node.Change) error {
	n := c.Node
	if err := tool.Check(n); err != nil {
		return err
	}
	told := &Node{Name: n.Name, Up: n.Up}
	if !c.Gone {
		told.Address, told.Epoch, told.Properties = n.Address.String(), n.Epoch, n.Properties
		told.Host, told.NodeType, told.Resources = n.HostID, n.NodeType, n.Resources
	}
	if n.Up {
		told.ConnectedSince, told.ClientName = n.ConnectedSince.UTC().Format(time.RFC3339), tool.Told(n.ClientName)
		if n.ClientAddress.IsValid() {
			told.ClientAddress = n.ClientAddress.Unmap().String()
		}
	}
	_, err := d.ask(ctx, Question{Do: "apply", Node: told, Found: c.Found, Gone: c.Gone, Why: c.Why})
	return err
}

func (d *Driver) ask(ctx context.Context, q Question) (Answer, error) {
	q.Version = Version
	text, err := json.Marshal(q)
	if err != nil {
		return Answer{}, err
	}
	res, err := d.Tools.Feed(ctx, append(text, '\n'), d.Program...)
	if err != nil {
		return Answer{}, err
	}
	a, err := parse(res.Out)
	switch {
	case err != nil:
		return a, fleet.Errorf(fleet.Unavailable, "cannot read the answer of %s: %w", d.Program[0], err)
	case a.Error != "":
		return a, fleet.Errorf(fleet.Unavailable, "cannot %s by %s: %s", q.Do, d.Program[0], tool.Said([]byte(a.Error)))
	}
	return a, nil
}

// parse reads one answer and nothing after it.
func parse(text []byte) (a Answer, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil {
		return a, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return a, fmt.Errorf("there is more after it")
	}
	return a, nil
}
