package conf

import (
	"fmt"
	"strings"
)

// Layer is where a value comes from.
type Layer string

// The layers, in the order in which they are laid over each other.
const (
	BuiltIn       Layer = "built-in"
	FromFile      Layer = "file"
	FromSigned    Layer = "signed file"
	FromParameter Layer = "host parameter"
)

// Problem is one mistake in the configuration.
type Problem struct {
	Layer        Layer
	Line         int // in the file or the built-in text; 0 for host parameters
	Section, Key string
	Text         string
}

func (p *Problem) Error() string {
	var b strings.Builder
	switch {
	case p.Layer == FromParameter:
		return "host parameter " + strings.TrimSuffix(parameterPrefix+p.Section+"."+p.Key, ".") + ": " + p.Text
	case p.Layer == BuiltIn:
		b.WriteString("built-in ")
	case p.Layer == FromSigned:
		b.WriteString("signed configuration, ")
	}
	fmt.Fprintf(&b, "line %d: ", p.Line)
	if p.Section != "" {
		fmt.Fprintf(&b, "[%s] ", p.Section)
	}
	if p.Key != "" {
		fmt.Fprintf(&b, "%s: ", p.Key)
	}
	return b.String() + p.Text
}
