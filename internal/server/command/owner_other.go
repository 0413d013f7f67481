//go:build !unix

package command

import (
	"io/fs"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

func ownerOf(fs.FileInfo) (string, error) {
	return "", fleet.Errorf(fleet.NotHere, "cannot print a configuration of Samba here: Samba runs on Unix")
}
