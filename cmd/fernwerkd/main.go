// Command fernwerkd is Fernwerk's server.
package main

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/kit/run"
	"github.com/fernwerk/fernwerk/internal/server/command"
)

// version is set by the linker.
var version = "unknown"

func main() {
	run.Main(func(ctx context.Context) error { return command.Run(ctx, version) })
}
