package oar

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// everything is a condition of oarnodes that holds for all resources. Without
// one it asks node by node, and prints no JSON if there is none.
const everything = "1=1"

// several stands for a property that a node's resources do not agree on.
const several = "(several)"

// Read is all resources, by network_address.
func (d *Driver) Read(ctx context.Context) (map[string]node.State, error) {
	res, err := d.Tools.Run(ctx, d.toolDir+"oarnodes", "-J", "--sql", everything)
	if err != nil {
		return nil, err
	}
	all, err := parse(res.Out)
	if err != nil {
		return nil, err
	}
	if d.Cores != nil {
		if d.cores, err = d.Cores(ctx); err != nil {
			return nil, err
		}
	}
	d.said = false
	d.at, d.count = map[string]string{}, map[string]int{}
	states := map[string]node.State{}
	by := map[string][]resource{}
	for _, r := range all {
		if name := r["network_address"]; name != "" {
			by[name] = append(by[name], r)
			d.names = nil
		}
	}
	for name, resources := range by {
		states[name] = state(resources)
		d.count[name] = len(resources)
		if ip := resources[0]["ip"]; ip != "" {
			d.at[ip] = name
		}
		if d.names == nil {
			d.know(slices.Collect(maps.Keys(resources[0])))
		}
	}
	return states, nil
}

// resource is a row of OAR's, all values as text.
type resource map[string]string

// parse reads what oarnodes -J prints, sorted by resource_id.
func parse(text []byte) ([]resource, error) {
	bad := func(err error) error {
		return fleet.Errorf(fleet.Unavailable, "cannot read what oarnodes printed: %w", err)
	}
	var rows map[string]map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&rows); err != nil {
		return nil, bad(err)
	}
	if dec.More() {
		return nil, bad(fmt.Errorf("there is more after it"))
	}
	ids := make([]int, 0, len(rows))
	for text := range rows {
		id, err := strconv.Atoi(text)
		if err != nil || strconv.Itoa(id) != text {
			return nil, bad(fmt.Errorf("%.40q is no number of a resource", text))
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var all []resource
	for _, id := range ids {
		r := resource{}
		for key, value := range rows[strconv.Itoa(id)] {
			switch v := value.(type) {
			case nil:
				r[key] = ""
			case string:
				r[key] = v
			case json.Number:
				r[key] = v.String()
			default: // a list of jobs, in some versions
			}
		}
		all = append(all, r)
	}
	return all, nil
}

// state is a node's, of its resources: it is up if any of them is.
func state(resources []resource) node.State {
	s := node.State{Properties: map[string]string{}}
	var words []string
	for i, r := range resources {
		if word := word(r); !slices.Contains(words, word) {
			words = append(words, word)
		}
		s.Up = s.Up || r["state"] == alive
		number, _ := strconv.ParseInt(r[epoch], 10, 64) // none: 0
		if i == 0 || number < s.Epoch {
			s.Epoch = number
		}
		for key, value := range r {
			if before, seen := s.Properties[key]; seen && before != value {
				value = several
			}
			s.Properties[key] = value
		}
	}
	s.Address, _ = netip.ParseAddr(resources[0]["ip"])
	s.Word = strings.Join(words, " + ")
	return s
}

// word is a resource's state with what is behind it.
func word(r resource) string {
	w := r["state"]
	if w == absent {
		switch r[upto] {
		case "0":
			w += " (" + maintain + ")"
		case ours:
			w += " (" + mark + ")"
		case forever:
			w += " (standby)"
		}
	}
	if next := r["next_state"]; next != "" && next != "UnChanged" && next != r["state"] {
		w += pending + next
	}
	return w
}
