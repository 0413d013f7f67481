package secureexec

import "io/fs"

func ownedAlone(fs.FileInfo) error { return nil }
