//go:build unix

package nodefile

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

const (
	ownersKnown = true
	nonblock    = syscall.O_NONBLOCK // a pipe that somebody put there
)

// account is a user with a group.
type account struct {
	name     string // "" for who is only a number
	uid, gid int
}

// accounts are the numbers of a file's owner and group.
func accounts(f nodefile.File) (a account, err error) {
	u, err := user.Lookup(f.Owner)
	if err != nil {
		return a, fmt.Errorf("there is no user %s here yet", f.Owner)
	}
	g, err := user.LookupGroup(f.Group)
	if err != nil {
		return a, fmt.Errorf("there is no group %s here yet", f.Group)
	}
	a.name = f.Owner
	if a.uid, err = strconv.Atoi(u.Uid); err == nil {
		a.gid, err = strconv.Atoi(g.Gid)
	}
	return a, err
}

func ownerOf(info fs.FileInfo) (a account, known bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return a, false
	}
	return account{uid: int(st.Uid), gid: int(st.Gid)}, true
}

func links(info fs.FileInfo) int {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}
	return int(st.Nlink)
}

func chownFile(f *os.File, who account) error { return f.Chown(who.uid, who.gid) }

func syncFolder(at *os.Root) error {
	f, err := at.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
