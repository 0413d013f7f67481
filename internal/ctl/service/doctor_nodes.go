package service

import (
	"context"
	"fmt"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// nodeChecks look at what nodes have beside the software of a host.
func (t command) nodeChecks() []check {
	return []check{
		{"schedulers", false, t.countRows("resource_getDiff", func(fleet.Row) bool { return true }, "nodes are not in their scheduler as they shall be", "fernwerk resource diff")},
		{"names", false, t.countRows("dns_getRecords", func(r fleet.Row) bool { return r.Str("problem") != "" }, "names have a problem", "fernwerk dns list")},
		{"node files", false, t.countRows("nodeFile_getStatus", amiss, "hosts have files of nodes that are not in place", "fernwerk node-file status --problems")},
	}
}

// amiss tells whether a host told of a problem with the files of its node type.
func amiss(host fleet.Row) bool {
	if host.Str("problem") != "" {
		return true
	}
	files, _ := host["files"].([]any)
	for _, f := range files {
		if file, _ := f.(map[string]any); file["problem"] != "" && file["problem"] != nil || file["state"] != nodefile.InPlace {
			return true
		}
	}
	return false
}

// countRows is a check that finds objects of a method which are as they shall not be.
func (t command) countRows(method string, bad func(fleet.Row) bool, what, next string) func(context.Context) finding {
	return func(ctx context.Context) finding {
		v, err := t.Call(ctx, method)
		switch code := fleet.CodeOf(err); {
		case code == fleet.NotFound, code == fleet.NotHere, code == fleet.Denied:
			return fine("this server or account has nothing to do with it")
		case err != nil:
			return finding{"bad", err.Error(), fleet.HintOf(err)}
		}
		n := 0
		list, _ := v.([]any)
		for _, e := range list {
			if r, ok := e.(map[string]any); ok && bad(r) {
				n++
			}
		}
		if n > 0 {
			return finding{"warning", fmt.Sprintf("%d %s", n, what), next}
		}
		return fine("none")
	}
}
