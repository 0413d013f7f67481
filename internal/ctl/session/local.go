package session

import (
	"io/fs"
	"os"
	"path/filepath"
)

// socketName is fernwerkd's socket in its data folder.
const socketName = "fernwerkd.sock"

// localSocket finds the server of this machine where fernwerkd keeps its data
// without a word: root's in /var/lib/fernwerk, a user's own in his data folder.
// Root looks nowhere else: who leads him elsewhere by the environment would get
// what he sends. "" is none.
func localSocket(uid int, getenv func(string) string) string {
	folders := []string{"/var/lib/fernwerk"}
	if dir := getenv("XDG_DATA_HOME"); uid > 0 && filepath.IsAbs(dir) {
		folders = append(folders, filepath.Join(dir, "fernwerk"))
	} else if home := getenv("HOME"); uid > 0 && filepath.IsAbs(home) {
		folders = append(folders, filepath.Join(home, ".local", "share", "fernwerk"))
	}
	for _, folder := range folders {
		path := filepath.Join(folder, socketName)
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
			return "unix://" + path
		}
	}
	return ""
}
