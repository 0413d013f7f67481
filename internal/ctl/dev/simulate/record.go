package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// Record is what a server answered as done: host and the number of the last
// check-in, which it must never lose.
type Record struct {
	Answered map[string]int `json:"answered"`
}

func (c *crowd) record() *Record {
	r := &Record{Answered: map[string]int{}}
	for _, h := range c.hosts {
		h.mu.Lock()
		if h.answered > 0 {
			r.Answered[h.id] = h.answered
		}
		h.mu.Unlock()
	}
	return r
}

// Save keeps a record in a file.
func (r *Record) Save(path string) error {
	data, err := json.Marshal(r)
	if err == nil {
		err = atomicfile.WriteFile(path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the record of the simulation: %w", err)
	}
	return nil
}

// Load reads a record.
func Load(path string) (*Record, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the record of the simulation: %w", err)
	}
	r := &Record{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("cannot read the record of the simulation in %s: %w", path, err)
	}
	return r, nil
}

// Verdict is what a server still knows of a record.
type Verdict struct {
	Hosts    int      `json:"hosts"`
	CheckIns int      `json:"check_ins"` // answered, of all hosts
	Lost     []string `json:"lost"`      // hosts whose last answered check-in is not there
}

// Verify asks the server for what it answered. Lost check-ins are an error.
func Verify(ctx context.Context, admin methods.Backend, r *Record) (Verdict, error) {
	v := Verdict{Hosts: len(r.Answered), Lost: []string{}}
	result, err := admin.Call(ctx, methods.Actor{}, "productOnClient_getObjects",
		methods.Pos([]any{"packageVersion"}, map[string]any{"productId": product, "clientId": "*." + Domain}))
	if err != nil {
		return v, err
	}
	rows, err := rpc.Rows(result)
	if err != nil {
		return v, err
	}
	has := make(map[string]int, len(rows))
	for _, row := range rows {
		if has[row.Str("clientId")], err = strconv.Atoi(row.Str("packageVersion")); err != nil {
			return v, fmt.Errorf("cannot verify: %s has an odd result: %w", row.Str("clientId"), err)
		}
	}
	for id, n := range r.Answered {
		if v.CheckIns += n; has[id] < n {
			v.Lost = append(v.Lost, id)
		}
	}
	if len(v.Lost) > 0 {
		return v, fleet.Errorf(fleet.Internal, "the server lost answered check-ins of %d of %d hosts, among them %s", len(v.Lost), v.Hosts, v.Lost[0])
	}
	return v, nil
}
