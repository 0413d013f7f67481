package platform

import "os"

// managed: launchd is the first process, and the parent of all that it starts.
func managed() bool { return os.Getppid() == 1 }

func restartCommand() []string { return []string{"/sbin/shutdown", "-r", "now"} }
