// Package action runs one action of one product: setup of firefox 128.0-1.
//
// The agent's engine calls it for each task that an event brought, with the
// product's verified folder and with what the local service answered about its
// properties. What comes out is a [Result]; [Apply] makes of it the row that is
// recorded, in the words of opsi.
//
// There are two kinds of processor. [PerProduct] is here: the product's script
// for the action, run by the built-in shell (.sh and no suffix, the same on
// every system) or by an interpreter of the machine: .py, .pl, .ps1, and on
// Windows .cmd and .bat. [WholeRun] is a program such as opsi-script, which
// takes the sequence of actions from the local service itself; it is no part
// of the agent yet, and asking for it says so.
//
// # What a script sees
//
// It starts in the product's folder, with no input, and with this environment:
//
//	FERNWERK_PRODUCT_ID       firefox
//	FERNWERK_PRODUCT_VERSION  128.0
//	FERNWERK_PACKAGE_VERSION  1
//	FERNWERK_ACTION           setup, uninstall, update, always, once or custom
//	FERNWERK_PRODUCT_DIR      the product's folder
//	FERNWERK_HOST_ID          pc1.example.org
//	FERNWERK_RPC_URL          where the service answers, and as whom:
//	FERNWERK_RPC_USER         a host id
//	FERNWERK_RPC_KEY_FILE     the file with its key
//	FERNWERK_CA_FILE          the authority that signed the service's certificate
//	FERNWERK_ATTEMPT          1; more after an interruption
//	FERNWERK_TMP              a private folder, removed when the script has ended; also
//	                          TMPDIR, TEMP and TMP
//	FERNWERK_STEP             where to go on after a reboot that the script asked for
//	FERNWERK_REBOOT_FILE      make this file to ask for a reboot; it may hold a text
//	FERNWERK_REBOOT_NEXT_FILE,
//	FERNWERK_REBOOT_CONTINUE_FILE  likewise, see below
//	FERNWERK_PROPERTY_<ID>    a property, its id in capitals with _ for all but letters
//	                          and digits; several values stand on lines of their own,
//	                          booleans are true or false
//
// beside PATH, HOME and LANG, and on Windows the variables without which
// programs do not work there (SystemRoot, ProgramFiles, ...). Nothing else of
// the agent's own environment is passed on. Of two properties whose variables
// have the same name the first by id counts. A property too large for the
// environment (30,000 bytes) is left out, and the log says so.
//
// Scripts of the built-in shell have further commands:
//
//	property NAME [DEFAULT]  print the first value of a property
//	properties NAME          print all its values, one a line
//	reboot-request [TEXT]    ask for a reboot when all actions are done
//	reboot-before-next [TEXT]
//	                         ask for one before another product's action is begun
//	reboot-continue STEP [TEXT]
//	                         ask for one in the middle: the script ends itself after
//	                         it, and is run again then with FERNWERK_STEP
//	progress TEXT            say how far it is
//
// These are opsi's ExitWindows /RebootWanted, /Reboot and /ImmediateReboot. The
// files of the environment ask the same; the first line of the last one is the
// step. Of several requests the most urgent counts.
//
// Exit code 0 is success. So are 3010 and 1641 of Windows installers, which
// also ask for a reboot: 3010 when all actions are done, 1641 at once, as the
// installer has begun it. Other systems, and the built-in shell, have only 8 bits
// to say it with. Any other exit code is a failure.
//
// # Limits
//
// A script has three hours ([DefaultTimeout]), after which it and all that it
// started is stopped. Its output goes to Job.Log as it is, head and tail of at
// most 1 MiB, between a line that says what runs and one that says how it
// ended. An action is begun at least once and perhaps again after an
// interruption, but not more than [MaxAttempts] times. The script must lie in
// the product's folder, also after following links; the agent's folders belong
// to the agent alone, so nobody can swap it between that check and its start.
// The built-in shell reads the very bytes that were compared with the manifest.
package action

import (
	"context"
	"io"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// DefaultTimeout is opsi's action_processor_timeout.
const DefaultTimeout = 10800 * time.Second

// MaxAttempts is how often an interrupted action is begun: one that takes the
// machine down each time is recorded as failed then, so that people see it.
// It is less than the engine's own limit, which would record nothing.
const MaxAttempts = 3

// Processor runs one product's action. The error says that there is no result:
// ctx ended, and the action counts as interrupted. All else that can go wrong
// is a failed Result.
type Processor interface {
	Run(ctx context.Context, job Job) (Result, error)
}

// Kind is a kind of processor.
type Kind string

// The kinds.
const (
	PerProduct Kind = "per product"
	WholeRun   Kind = "whole run"
)

// New returns a processor, NotHere for a kind that the agent does not have.
func New(kind Kind) (Processor, error) {
	if kind == PerProduct {
		return perProduct{}, nil
	}
	return nil, fleet.WithHint(
		fleet.Errorf(fleet.NotHere, "cannot run actions by a processor of kind %q: this agent has no such part", kind),
		"give the product a script that the agent runs itself (.sh)")
}

// Job says what to run.
type Job struct {
	HostID     fleet.HostID
	Product    fleet.Product // of the version that Dir holds
	Action     fleet.Action
	Dir        string             // the product's folder, absolute, verified by the caller
	Content    *manifest.Manifest // of Dir, as it was verified; nil where nobody says
	Properties map[string][]any   // by property id: strings, booleans, numbers
	RPC        RPC
	Attempt    int    // 1, or more after interruptions
	Step       string // where the script goes on after a reboot, "" at the beginning

	// Log takes what the script printed; nil discards it. An error of the
	// writer ends the log, not the action.
	Log io.Writer
	// Progress is told how far the script is, in at most 255 characters, one
	// call at a time; nil if nobody listens.
	Progress func(text string)

	Timeout time.Duration // 0 is DefaultTimeout
	Temp    string        // where the private folder is made; "" is the system's place
}

// RPC is how a script reaches the service that knows the fleet. The key itself
// is in a file, since an environment is easily printed.
type RPC struct {
	URL     string
	User    string
	KeyFile string
	CAFile  string
}

// Reboot is a request for a reboot; a greater one is more urgent.
type Reboot int

// The requests, in opsi's words RebootWanted, Reboot and ImmediateReboot.
const (
	NoReboot   Reboot = iota
	WhenDone          // when all actions are done
	BeforeNext        // before another action is begun
	Continue          // at once, and then this action again
)

// Result is how an action ended.
type Result struct {
	Status     string // fleet.Successful or fleet.Failed
	ExitCode   int    // -1 if there is none
	Reboot     Reboot // what the script asked for, successful or not
	RebootText string // what it wants to have said about that
	Step       string // with Continue: where it wants to go on
	Text       string // why it failed, and what to do about it
	Duration   time.Duration
	TimedOut   bool
}
