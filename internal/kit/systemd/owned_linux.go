package systemd

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// people is the first group that is not the system's own: /usr/local is Debian's staff's,
// 50, on some machines.
const people = 100

// owned refuses a program that somebody but root can replace: systemd would start for
// root whatever he puts there.
func owned(program string) error {
	path, err := filepath.EvalSymlinks(program)
	if err != nil {
		return err
	}
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		sticky := info.IsDir() && info.Mode()&fs.ModeSticky != 0 // others cannot replace there what is not theirs
		if !ok || st.Uid != 0 || info.Mode().Perm()&0o002 != 0 && !sticky || info.Mode().Perm()&0o020 != 0 && st.Gid >= people && !sticky {
			return hinted{fmt.Errorf("others than root can replace %s: %s is user %d's, mode %04o", program, at, st.Uid, info.Mode().Perm()), "copy it to /usr/local/bin, and run it there"}
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}
