package nodefile

import (
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

var (
	accountName = regexp.MustCompile(`^[a-z_][a-z0-9_.-]{0,31}$`)
	unitName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9:_.@-]{0,199}$`)
)

// maxPath and maxName are in bytes.
const (
	maxPath = 512
	maxName = 200
)

// Where no file can be: what is no disk, what everybody writes, the accounts (a
// mistake there locks everybody out), and what the agent proves itself by.
var (
	forbiddenTrees = []string{"/proc", "/sys", "/dev", "/run", "/var/run", "/tmp", "/var/tmp", "/etc/fernwerk", "/var/lib/fernwerk", "/var/lib/fernwerk-agent"}
	forbiddenFiles = []string{"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/ld.so.preload", "/etc/fstab"}
)

// ValidPath says whether a file of a node can be there.
func ValidPath(p string) error {
	switch {
	case !strings.HasPrefix(p, "/") || p == "/" || len(p) > maxPath || path.Clean(p) != p:
		return fleet.Errorf(fleet.Invalid, "%q is no absolute path in its shortest form", clip(p))
	case !utf8.ValidString(p) || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		return fleet.Errorf(fleet.Invalid, "%q has characters that no path of a node has", clip(p))
	}
	for name := range strings.SplitSeq(p[1:], "/") {
		if len(name) > maxName {
			return fleet.Errorf(fleet.Invalid, "%q has a name longer than %d bytes", clip(p), maxName)
		}
	}
	for _, tree := range forbiddenTrees {
		if p == tree || strings.HasPrefix(p, tree+"/") {
			return fleet.Errorf(fleet.Denied, "no file of a node can be in %s", tree)
		}
	}
	for _, file := range forbiddenFiles {
		if p == file || strings.HasPrefix(p, file+"/") {
			return fleet.Errorf(fleet.Denied, "no file of a node can be %s", file)
		}
	}
	return nil
}

// agentUnit is the service of who restarts services.
const agentUnit = "fernwerk-agent"

// ValidUnit says whether a service can be restarted for a file. The agent is none: a
// restart is owed until it is done, and who ends by it owes it again at each start.
func ValidUnit(name string) error {
	if name == agentUnit {
		return fleet.Errorf(fleet.Invalid, "the agent itself cannot be restarted for a file")
	}
	if !unitName.MatchString(name) || strings.HasSuffix(name, ".service") {
		return fleet.Errorf(fleet.Invalid, "%q is no name of a service such as munge, without .service", clip(name))
	}
	return nil
}

// clip keeps a text of others short enough for a message.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "..."
	}
	return s
}
