package methods_test

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/fleet/node"
)

func init() {
	of := func(h string) []any { return []any{[]any{h}} }
	handArguments["resource_getList"], handArguments["resource_getDiff"] = of, of
}

// batch is schedulers, as far as the matrix needs them.
func batch(context.Context) ([]node.Resource, error) {
	return []node.Resource{{HostID: own, Why: "x"}, {HostID: others, Why: "x"}}, nil
}
