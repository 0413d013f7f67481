package console

// Misuse is a command line that cannot be meant: exit code 2.
type Misuse struct {
	Text string
	Next string // what to do instead
}

func (m *Misuse) Error() string { return m.Text }

// Hint is what to do instead.
func (m *Misuse) Hint() string { return m.Next }

// ExitCode is 2, see docs/reference/exit-codes.md.
func (m *Misuse) ExitCode() int { return 2 }
