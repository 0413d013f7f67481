package where

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is how a fact compares.
type Kind int

// The kinds of facts.
const (
	Text Kind = iota
	Age
	Version
)

// Fact is something that is known of a host. Of is what it is about, where it
// is about something: the product of "product:firefox.version".
type Fact struct{ Name, Of string }

// Known is a row of the table of facts.
type Known struct {
	Name string
	Kind Kind
	Of   bool // it is about something: "param:ID", "product:ID.version"
	Doc  string
}

// Table is all that a condition can ask.
var Table = []Known{
	{"id", Text, false, "the host's id"},
	{"description", Text, false, "what people call it"},
	{"notes", Text, false, "what else is noted"},
	{"inventory", Text, false, "the inventory number"},
	{"ip", Text, false, "the address that it last came from"},
	{"mac", Text, false, "the hardware address"},
	{"uuid", Text, false, "the system UUID"},
	{"created", Age, false, "how long ago it was created"},
	{"last-seen", Age, false, "how long ago it was here, or never"},
	{"depot", Text, false, "the depot that serves it"},
	{"group", Text, false, "a host group that it is in, groups within groups included"},
	{"installed", Text, false, "a product that is installed"},
	{"requested", Text, false, "a product of which an action is requested"},
	{"failed", Text, false, "a product whose last action failed"},
	{"software", Text, false, "the name of software that its inventory found"},
	{"wan", Text, false, "on, off, or partly"},
	{"product:ID.version", Version, true, "the version of a product that it has"},
	{"product:ID.status", Text, true, "installed, not_installed or unknown"},
	{"product:ID.request", Text, true, "the action that is requested, or none"},
	{"product:ID.result", Text, true, "successful, failed or none"},
	{"param:ID", Text, true, "the value of a host parameter that counts for it"},
}

// Names are the facts' names as one writes them.
func Names() []string {
	out := make([]string, len(Table))
	for i, k := range Table {
		out[i] = k.Name
	}
	return out
}

// known finds a fact's row by its Name, such as "product.version".
func (f Fact) known() Known {
	i := slices.IndexFunc(Table, func(k Known) bool { return strings.Replace(k.Name, ":ID", "", 1) == f.Name })
	return Table[i]
}

func (f Fact) String() string {
	prefix, rest, of := strings.Cut(f.known().Name, ":ID")
	if !of {
		return f.Name
	}
	return prefix + ":" + f.Of + rest
}

// parseFact reads a fact as it is written.
func parseFact(word string) (Fact, error) {
	for _, k := range Table {
		prefix, rest, of := strings.Cut(k.Name, ":ID")
		if !of && word == k.Name {
			return Fact{Name: word}, nil
		}
		if !of {
			continue
		}
		about, ok := strings.CutPrefix(word, prefix+":")
		if about, ok2 := strings.CutSuffix(about, rest); ok && ok2 && about != "" {
			return Fact{Name: prefix + rest, Of: strings.ToLower(about)}, nil
		}
	}
	return Fact{}, fmt.Errorf("there is no fact %q", word)
}
