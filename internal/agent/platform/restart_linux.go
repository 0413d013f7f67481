package platform

import "os"

func managed() bool { return bySystemd(os.Getenv, os.Getpid(), os.Getppid()) }

func restartCommand() []string {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		return []string{"systemctl", "reboot"}
	}
	return []string{"shutdown", "-r", "now"}
}
