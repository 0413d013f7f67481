package platform

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/windows/svc"
)

func managed() bool {
	is, err := svc.IsWindowsService()
	return err == nil && is
}

// restartCommand: "p:4:2" is planned, an application's installation.
func restartCommand() []string {
	return []string{filepath.Join(os.Getenv("SystemRoot"), "System32", "shutdown.exe"), "/r", "/t", "0", "/d", "p:4:2"}
}
