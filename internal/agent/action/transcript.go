package action

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
)

const (
	maxTranscript = 1 << 20 // bytes
	maxTail       = 1 << 10 // bytes in which the last line is looked for
)

// transcript is what an action printed, between two lines of ours. It never
// fails: a full disk must not fail an installation that went well.
type transcript struct {
	mu   sync.Mutex
	clip *secureexec.Clip
	tail []byte
}

func newTranscript(w io.Writer) *transcript {
	if w == nil {
		w = io.Discard
	}
	return &transcript{clip: secureexec.NewClip(w, maxTranscript)}
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clip.Write(p)
	t.tail = append(t.tail, p[max(0, len(p)-maxTail):]...)
	t.tail = t.tail[max(0, len(t.tail)-maxTail):]
	return len(p), nil
}

// lastLine is the last line of output that says anything.
func (t *transcript) lastLine() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(t.tail))
	return short(text[strings.LastIndexByte(text, '\n')+1:])
}

// begin says what runs.
func (t *transcript) begin(job Job, at time.Time) {
	line := fmt.Sprintf("=== %s, attempt %d, %s", job.title(), max(job.Attempt, 1), at.UTC().Format(time.RFC3339))
	if job.Attempt > 1 {
		line += " (the attempt before was interrupted)"
	}
	if job.Step != "" {
		line += ", goes on at " + job.Step
	}
	t.clip.Write([]byte(line + "\n"))
}

// end says how it ended, and completes the log.
func (t *transcript) end(job Job, r Result) {
	line := fmt.Sprintf("%s, exit code %d, %v", r.Status, r.ExitCode, r.Duration.Round(time.Millisecond))
	if r.ExitCode < 0 {
		line = fmt.Sprintf("%s, %v", r.Status, r.Duration.Round(time.Millisecond))
	}
	if r.Reboot > NoReboot {
		line += ", reboot requested"
	}
	if r.Reboot == Continue {
		line += ", to go on at " + r.Step
	}
	if r.Status == fleet.Failed {
		line += ": " + short(r.Text)
	}
	t.close(job, line)
}

func (t *transcript) interrupted(job Job, d time.Duration, cause error) {
	t.close(job, fmt.Sprintf("interrupted after %v: %v", d.Round(time.Millisecond), cause))
}

func (t *transcript) close(job Job, line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.tail); n > 0 && t.tail[n-1] != '\n' {
		t.clip.Write([]byte("\n"))
	}
	fmt.Fprintf(t.clip, "=== %s: %s\n", job.title(), line)
	t.clip.Close()
}

func (job Job) title() string {
	return fmt.Sprintf("%s %s-%s %s", job.Product.ID, job.Product.ProductVersion, job.Product.PackageVersion, job.Action)
}
