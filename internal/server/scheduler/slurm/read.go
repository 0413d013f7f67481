package slurm

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

// Read is all nodes, by NodeName.
func (d *Driver) Read(ctx context.Context) (map[string]node.State, error) {
	d.awaited, d.missing, d.leaving = d.missing, map[string]int64{}, false
	res, err := d.scontrol(ctx, "-o", "show", "nodes")
	if err != nil {
		return nil, err
	}
	all, err := parse(string(res.Out))
	if err != nil {
		return nil, fleet.Errorf(fleet.Unavailable, "cannot read what scontrol printed: %w", err)
	}
	return all, nil
}

// parse reads one node a line. Fields are NAME=VALUE with a blank between; values
// of people hold blanks, and stand at the end: those of ours have none.
func parse(text string) (map[string]node.State, error) {
	all := map[string]node.State{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line == "No nodes in the system" {
			continue
		}
		name, ok := strings.CutPrefix(field(line, "NodeName"), "NodeName=")
		state, ok2 := strings.CutPrefix(field(line, "State"), "State=")
		if !ok || !ok2 || name == "" {
			return nil, fmt.Errorf("%.80q is no node", line)
		}
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("the node %.80q is there twice", name)
		}
		s := node.State{Up: takes(state), Word: state, Properties: map[string]string{}}
		s.Properties["nodeaddr"] = strings.TrimPrefix(field(line, "NodeAddr"), "NodeAddr=")
		s.Properties[node.SlurmWeight] = strings.TrimPrefix(field(line, "Weight"), "Weight=")
		if features := strings.TrimPrefix(field(line, "AvailableFeatures"), "AvailableFeatures="); features != "(null)" {
			s.Properties[node.SlurmFeatures] = strings.ReplaceAll(features, ",", "+")
		}
		if at := strings.LastIndex(line, " Extra="); at >= 0 {
			s.Properties["extra"], _, _ = strings.Cut(line[at+len(" Extra="):], " ")
		}
		if at := strings.LastIndex(line, " Comment="); at >= 0 {
			s.Properties["comment"], _, _ = strings.Cut(line[at+len(" Comment="):], " ")
		}
		if strings.Contains(line, " Reason="+reason) {
			s.Word += " (" + reason + ")"
		}
		for part := range strings.SplitSeq(s.Properties["extra"], ",") {
			if number, ok := strings.CutPrefix(part, "epoch="); ok {
				s.Epoch, _ = strconv.ParseInt(number, 10, 64)
			}
			if ip, ok := strings.CutPrefix(part, "ip="); ok {
				s.Address, _ = netip.ParseAddr(ip)
			}
		}
		all[name] = s
	}
	return all, nil
}

// field is the first word of a line that begins with NAME=.
func field(line, name string) string {
	for word := range strings.FieldsSeq(line) {
		if strings.HasPrefix(word, name+"=") {
			return word
		}
	}
	return ""
}

// takes tells whether a node in a state takes jobs: IDLE+DYNAMIC_NORM does.
func takes(state string) bool {
	base, flags, _ := strings.Cut(state, "+")
	for flag := range strings.SplitSeq(flags, "+") {
		if flag == "DRAIN" || flag == "INVALID_REG" {
			return false
		}
	}
	switch base {
	case "DOWN", "UNKNOWN", "ERROR", "FUTURE", "FAIL":
		return false
	}
	return true
}

func down(word string) bool { return strings.HasPrefix(word, "DOWN") }

// busy tells whether jobs run on a node, or were not cleared away yet.
func busy(word string) bool {
	return strings.HasPrefix(word, "ALLOCATED") || strings.HasPrefix(word, "MIXED") || strings.Contains(word, "COMPLETING")
}

// ours tells whether a node is there by its own slurmd, and told of by this driver.
func ours(is node.State) bool { return is.Epoch != 0 && strings.Contains(is.Word, "DYNAMIC_NORM") }
