package platform

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows"
)

// bootID is the time of the boot, to a minute: Windows has no other name for it.
// A clock that is set by more than that looks like a boot.
func bootID() (string, error) {
	up := windows.DurationSinceBoot()
	return fmt.Sprintf("boot-%d", time.Now().Add(-up).Round(time.Minute).Unix()), nil
}

func uptime() (time.Duration, error) { return windows.DurationSinceBoot(), nil }

// systemDataDir is the seed's %SystemDrive%\opsi.org for this program.
func systemDataDir() string {
	return filepath.Join(os.Getenv("SystemDrive")+`\`, "fernwerk", "agent")
}
