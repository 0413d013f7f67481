// Package values is how a command line says a value of a host parameter or of a
// product property, and for whom it counts: both have the same kinds of values,
// and the same places where a value can stand.
package values

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fernwerk/fernwerk/internal/ctl/console"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/nearest"
)

// booleans are words of people for true and false.
var booleans = map[string]bool{"true": true, "yes": true, "on": true, "1": true, "false": false, "no": false, "off": false, "0": false}

// Read reads what a person wrote as values of what is defined: a Config or a
// ProductProperty, called name.
func Read(defined fleet.Row, name string, texts []string) ([]any, error) {
	if multi, _ := defined["multiValue"].(bool); !multi && len(texts) > 1 {
		return nil, &console.Misuse{Text: fmt.Sprintf("cannot set %s to %d values: it takes one", name, len(texts)), Next: "quote a value that holds blanks"}
	}
	var possible []string
	editable, _ := defined["editable"].(bool)
	list, _ := defined["possibleValues"].([]any)
	for _, v := range list {
		possible = append(possible, console.Cell(v))
	}
	boolean := strings.HasPrefix(defined.Str("type"), "Bool")
	out := make([]any, len(texts))
	for i, text := range texts {
		out[i] = text
		if boolean {
			b, ok := booleans[strings.ToLower(text)]
			if !ok {
				return nil, &console.Misuse{Text: fmt.Sprintf("cannot set %s to %q: it is true or false", name, text), Next: "write true or false"}
			}
			out[i] = b
		} else if !editable && len(possible) > 0 && !slices.Contains(possible, text) {
			return nil, &console.Misuse{Text: fmt.Sprintf("cannot set %s to %q%s", name, text, nearest.Phrase(text, possible)),
				Next: "it is one of " + strings.Join(possible, ", ")}
		}
	}
	return out, nil
}

// Say words values.
func Say(v any) string {
	list, _ := v.([]any)
	if len(list) == 0 {
		return "(no value)"
	}
	return console.Cell(list)
}
