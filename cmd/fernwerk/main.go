// Command fernwerk is the administrator's command line; see package ctl.
package main

import (
	"context"
	"os"

	"github.com/fernwerk/fernwerk/internal/ctl"
	"github.com/fernwerk/fernwerk/internal/kit/run"
)

var version = "unknown" // set by the linker

func main() {
	run.Main(func(ctx context.Context) error { return ctl.Run(ctx, ctl.OS(version), ctl.Arguments(os.Args)) })
}
