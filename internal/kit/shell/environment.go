package shell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
)

// exported lists the variables that a child sees. The interpreter's view has
// inner scopes after outer ones; the last word counts.
func exported(hc interp.HandlerContext) []string {
	values := map[string]string{}
	for name, v := range hc.Env.Each {
		if v.IsSet() && v.Exported && v.Kind == expand.String {
			values[name] = v.String()
		} else {
			delete(values, name)
		}
	}
	list := make([]string, 0, len(values))
	for name, value := range values {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

func lookup(env []string) expand.Environ { return expand.ListEnviron(env...) }

// env [-i] [NAME=value]... [command [arg]...]: runs the command with a changed
// environment, or prints the environment.
func env(ctx context.Context, args []string, io IO) error {
	if len(args) > 0 && args[0] == "-i" {
		io.Env, args = nil, args[1:]
	} else if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		return usageError(fmt.Sprintf("takes -i only, not %s", args[0]))
	}
	changed := slices.Clone(io.Env)
	for len(args) > 0 {
		name, _, ok := strings.Cut(args[0], "=")
		if !ok {
			break
		}
		changed = slices.DeleteFunc(changed, func(s string) bool { return strings.HasPrefix(s, name+"=") })
		changed = append(changed, args[0])
		args = args[1:]
	}
	io.Env = changed
	if len(args) == 0 {
		slices.Sort(changed)
		for _, line := range changed {
			if _, err := fmt.Fprintln(io.Stdout, line); err != nil {
				return err
			}
		}
		return nil
	}
	if interp.IsBuiltin(args[0]) {
		return errors.New("cannot run a command of the shell itself: " + args[0])
	}
	return io.run(ctx, args, io)
}
