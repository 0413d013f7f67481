// Package barenode holds what a machine gets that has wget, gpg, sh and openssl and
// no agent: the runner of the feed with its key pinning, gen_certif, and what
// starts them. They are shell scripts for any POSIX sh, and need no other program
// than those and coreutils.
//
// `fernwerk feed node-files` writes them; test/e2e runs them with the real
// programs, in a root of their own.
package barenode

import (
	"embed"
	"io/fs"
)

//go:embed files
var files embed.FS

// Executable are the files that are programs; the others are data.
var Executable = []string{"fernwerk-feed", "gen_certif", "install.sh"}

// Files are the files, in one folder.
func Files() fs.FS {
	sub, err := fs.Sub(files, "files")
	if err != nil {
		panic(err) // it was embedded above
	}
	return sub
}
