package fernwerk_test

// agentModules is the whole list of modules that the agent may link on any system, each with what
// it is there for. A new line needs a reason; a line that nothing links is removed.
var agentModules = map[string]string{
	"github.com/dustin/go-humanize":        "needed by modernc.org/libc",
	"github.com/gofrs/flock":               "one agent on one data folder",
	"github.com/google/uuid":               "needed by modernc.org/libc",
	"github.com/inconshreveable/mousetrap": "needed by cobra on Windows",
	"github.com/klauspost/compress":        "zstd: the depot's streams and the request bodies",
	"github.com/mattn/go-isatty":           "needed by modernc.org/libc",
	"github.com/ncruces/go-strftime":       "needed by modernc.org/libc",
	"github.com/pierrec/lz4/v4":            "request bodies of opsi clients",
	"github.com/remyoudompheng/bigfft":     "needed by modernc.org/libc",
	"github.com/spf13/cobra":               "the command line",
	"github.com/spf13/pflag":               "needed by cobra",
	"github.com/thejerf/suture/v4":         "restarts a service that fails without ending the agent",
	"github.com/vmihailenco/msgpack/v5":    "the second encoding of the opsi protocol",
	"github.com/vmihailenco/tagparser/v2":  "needed by msgpack",
	"golang.org/x/sync":                    "errgroup, semaphore, singleflight",
	"golang.org/x/sys":                     "system calls of the three systems",
	"golang.org/x/term":                    "passwords and the width of a terminal",
	"modernc.org/libc":                     "needed by modernc.org/sqlite",
	"modernc.org/mathutil":                 "needed by modernc.org/sqlite",
	"modernc.org/memory":                   "needed by modernc.org/sqlite",
	"modernc.org/sqlite":                   "agent.db, without cgo",
	"mvdan.cc/sh/v3":                       "the built-in shell: the same script runs on every system",
}
