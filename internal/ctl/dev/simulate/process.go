package simulate

import (
	"fmt"
	"time"
)

// Process is what a process used during the load. All is 0 of a process that is
// not known, or on a system that does not tell.
type Process struct {
	PID      int     `json:"pid"`
	CPU      float64 `json:"cpu_seconds"`
	Cores    float64 `json:"cores"` // CPU by the time of the load
	Resident int64   `json:"resident_bytes"`
	Peak     int64   `json:"peak_bytes"` // since its start

	before time.Duration
}

func (p *Process) begin(pid int) {
	if u, ok := usageOf(pid); ok {
		p.PID, p.before = pid, u.cpu
	}
}

func (p *Process) end(took time.Duration) {
	u, ok := usageOf(p.PID)
	if !ok {
		return
	}
	p.CPU = (u.cpu - p.before).Seconds()
	p.Cores = p.CPU / took.Seconds()
	p.Resident, p.Peak = u.resident, u.peak
}

func (p Process) String() string {
	if p.Resident == 0 {
		return "CPU and memory are not known"
	}
	return fmt.Sprintf("%.2f cores, %d MiB resident, %d MiB at most", p.Cores, p.Resident>>20, p.Peak>>20)
}

type usage struct {
	cpu            time.Duration
	resident, peak int64 // bytes
}
