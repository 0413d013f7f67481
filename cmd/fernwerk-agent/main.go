// Command fernwerk-agent runs on every managed machine.
package main

import "github.com/fernwerk/fernwerk/internal/agent/command"

var version = "devel"

func main() { command.Run(version) }
