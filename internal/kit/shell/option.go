package shell

import (
	"fmt"
	"strings"
)

// options are the single-letter options of a call and their values.
type options map[rune]string

func (o options) has(letters string) bool {
	for _, l := range letters {
		if _, ok := o[l]; ok {
			return true
		}
	}
	return false
}

// split takes the options off args. allowed lists their letters, one that needs
// a value followed by a colon, as getopt has it.
func split(args []string, allowed string) (options, []string, error) {
	found := options{}
	for len(args) > 0 {
		arg := args[0]
		if arg == "--" {
			return found, args[1:], nil
		}
		if len(arg) < 2 || arg[0] != '-' {
			break
		}
		args = args[1:]
		letters := arg[1:]
		for i, l := range letters {
			at := strings.IndexRune(allowed, l)
			if at < 0 || l == ':' {
				return nil, nil, usageError(fmt.Sprintf("unknown option %s (it takes %s)", arg, describe(allowed)))
			}
			if !strings.HasPrefix(allowed[at+1:], ":") {
				found[l] = ""
				continue
			}
			value := letters[i+1:]
			if value == "" {
				if len(args) == 0 {
					return nil, nil, usageError(fmt.Sprintf("option -%c needs a value", l))
				}
				value, args = args[0], args[1:]
			}
			found[l] = value
			break
		}
	}
	return found, args, nil
}

func describe(allowed string) string {
	if allowed == "" {
		return "none"
	}
	var names []string
	for _, l := range strings.ReplaceAll(allowed, ":", "") {
		names = append(names, "-"+string(l))
	}
	return strings.Join(names, " ")
}

// operands is split with a lower bound for what remains.
func operands(args []string, allowed string, least int) (options, []string, error) {
	opts, rest, err := split(args, allowed)
	if err == nil && len(rest) < least {
		err = usageError("needs more arguments")
	}
	return opts, rest, err
}
