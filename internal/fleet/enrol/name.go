package enrol

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// NameRule says how hosts that join without a name are called: small letters,
// digits and -, with {n} for a number that nobody had before, {type} for the node
// type, {hostname} for what the machine calls itself. "client{n}" is the seed's.
type NameRule string

// DefaultNames is the rule without a word.
const DefaultNames NameRule = "client{n}"

const anyType = "node" // of a machine without a node type, in names

var (
	ruleText = regexp.MustCompile(`^(\{n\}|\{type\}|\{hostname\}|[a-z0-9-])+$`)
	label    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// Check refuses a rule by which two hosts get one name, or one that is none.
func (r NameRule) Check() error {
	text := string(r)
	if !ruleText.MatchString(text) {
		return fleet.Errorf(fleet.Invalid, "%q is no rule for names: small letters, digits, -, {n}, {type} and {hostname}", text)
	}
	if !strings.Contains(text, "{n}") && !strings.Contains(text, "{hostname}") {
		return fleet.Errorf(fleet.Invalid, "%q gives every host the same name: it needs {n} or {hostname}", text)
	}
	if !label.MatchString(r.expand("a", "a", 1)) {
		return fleet.Errorf(fleet.Invalid, "%q does not make names of hosts", text)
	}
	return nil
}

// Numbered tells whether each use gives another name.
func (r NameRule) Numbered() bool { return strings.Contains(string(r), "{n}") }

// Series names the numbers of a rule: all but the number is the same in them.
func (r NameRule) Series(domain, nodeType, hostname string) string {
	return strings.NewReplacer("{type}", orAny(nodeType), "{hostname}", first(hostname)).Replace(string(r)) + "." + domain
}

// Name is the n-th host's id. A host name that a rule wants and that is none is
// refused, not mended: nobody would know the machine by it.
func (r NameRule) Name(domain, nodeType, hostname string, n int64) (string, error) {
	if strings.Contains(string(r), "{hostname}") && !label.MatchString(first(hostname)) {
		return "", fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot name the host: %q is no name of a machine", first(hostname)),
			"name the machine with letters, digits and -, or have the server number its hosts: [enrolment] name")
	}
	id := r.expand(nodeType, first(hostname), n) + "." + domain
	if err := fleet.ValidHostID(id); err != nil {
		return "", fleet.Errorf(fleet.Invalid, "cannot name the host: %w", err)
	}
	return id, nil
}

func (r NameRule) expand(nodeType, hostname string, n int64) string {
	return strings.NewReplacer("{n}", strconv.FormatInt(n, 10), "{type}", orAny(nodeType), "{hostname}", hostname).Replace(string(r))
}

func orAny(nodeType string) string {
	if nodeType == "" {
		return anyType
	}
	return nodeType
}

// first is the machine's own part of its name, in small letters.
func first(hostname string) string {
	name, _, _ := strings.Cut(strings.ToLower(hostname), ".")
	return name
}

// Clean is what is kept of what a machine says of itself: it is shown to people
// and stands in files. A field that is not as it should be is left out.
func (m Machine) Clean() Machine {
	keep := func(s *string, form *regexp.Regexp) {
		if *s = strings.ToLower(*s); !form.MatchString(*s) {
			*s = ""
		}
	}
	keep(&m.Hostname, dnsName)
	keep(&m.SystemUUID, uuid)
	keep(&m.HardwareAddress, hardware)
	keep(&m.BootID, bootID)
	return m
}

var (
	uuid     = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	hardware = regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2}){5}$`)
	bootID   = regexp.MustCompile(`^[0-9a-z-]{1,64}$`)
)
