package methods_test

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
)

func init() {
	of := func(h string) []any { return []any{[]any{h}} }
	handArguments["resource_getList"], handArguments["resource_getDiff"] = of, of
}

// batch is schedulers, as far as the matrix needs them.
type batch struct{}

func (batch) Resources(context.Context) ([]methods.Resource, error) {
	return []methods.Resource{{HostID: own, Why: "x"}, {HostID: others, Why: "x"}}, nil
}
