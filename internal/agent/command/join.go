package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/agent"
	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/agent/platform"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/filelock"
)

// tokenEnv and kernelToken are where a token comes from besides the command line.
const (
	tokenEnv    = "FERNWERK_TOKEN"
	kernelToken = "fernwerk.token="
)

// byAuthority is how a server is known unless somebody says otherwise.
const byAuthority = "authority"

// joining are the flags of join.
type joining struct {
	identity.JoinRequest
	tokenFile, firstBoot, nodeType string
	policy, trustRoot, serverTrust string
	again                          bool
}

func joinCommand(dataDir *string) *cobra.Command {
	var j joining
	c := &cobra.Command{
		Use: "join [TOKEN]", Aliases: []string{"enrol"}, Short: "Makes this machine a host of a server",
		Args: arguments,
		Long: `Makes this machine a host of a server.

With a token, which "fernwerk token create" shows: it has the server's address and
the fingerprint of its certificate authority in it, which is pinned before
anything secret is sent. A token on the command line can be seen by others on the
machine while the command runs; without one it is taken from --token-file ("-" is
standard input), from the environment's FERNWERK_TOKEN, or from fernwerk.token= on
the kernel's command line.

With a one-time password, which "fernwerk host create" shows, and the authority's
fingerprint.

A server that has no authority to pin, such as an old opsi server, can be known by
the certificate that it shows first: --server-trust first-use, with --server and a
one-time password (or, at an opsi server, the host's key). Nothing is checked at the
first connection; then no other certificate is taken until somebody deletes the
stored one: fernwerk-agent trust forget-server.

With neither, where the server allows it: --first-boot URL. Whoever answers at
that address is believed from then on; with --ca-fingerprint only the right one is.

The machine makes its own key, and gets a certificate. If an administrator has to
agree first, the command waits; ended and run again it goes on waiting.`,
		Example: "  fernwerk-agent join fw1.eyJp...\n  fernwerk-agent join --token-file /run/fernwerk.token\n" +
			"  fernwerk-agent join --server https://server:4447 --host-id pc1.example.org \\\n    --one-time-password 8f3... --ca-fingerprint ab12...",
		RunE: func(c *cobra.Command, args []string) error { return j.run(c, *dataDir, args) },
	}
	f := c.Flags()
	f.StringVar(&j.tokenFile, "token-file", "", `file that holds the token; "-" is standard input`)
	f.StringVar(&j.nodeType, "node-type", "", "what this machine is, where the token does not say")
	f.BoolVar(&j.again, "again", false, "give up the identity that is there: this machine is a copy, or shall be another host")
	f.StringVar(&j.firstBoot, "first-boot", "", "address of a server that lets machines ask without a token, https://SERVER:4447")
	f.StringVar(&j.Server, "server", "", "the server's address, https://SERVER:4447")
	f.StringVar(&j.HostID, "host-id", "", "the host's full name, as the administrator created it")
	f.StringVar(&j.OneTimePassword, "one-time-password", "", "the password that the host was created with; better in FERNWERK_ONE_TIME_PASSWORD")
	f.StringVar(&j.Fingerprint, "ca-fingerprint", "", "SHA-256 of the server's certificate authority")
	f.StringVar(&j.trustRoot, "trust-root", "", "root of the trust in content, VERSION:SHA256, with a one-time password")
	f.StringVar(&j.policy, "policy", "", "what this machine demands of content, with a one-time password: offline, delegated or plain-opsi")
	f.StringVar(&j.serverTrust, "server-trust", byAuthority, `how servers are known, with a one-time password: by their "authority", which --ca-fingerprint pins, or by the certificate that they show at "first-use", unchecked`)
	policies := cobra.FixedCompletions([]string{string(enrol.Offline), string(enrol.Delegated), string(enrol.PlainOpsi)}, cobra.ShellCompDirectiveNoFileComp)
	if err := c.RegisterFlagCompletionFunc("policy", policies); err != nil {
		panic(err) // the flag was added above
	}
	return c
}

func (j *joining) run(c *cobra.Command, dataDir string, args []string) error {
	token, err := j.token(c, args)
	if err != nil {
		return err
	}
	if err := agent.Private(dataDir); err != nil {
		return err
	}
	if j.again {
		lock, err := filelock.Acquire(filepath.Join(dataDir, "agent.lock"))
		if err != nil {
			return fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot join again: %w", err), "stop the agent first")
		}
		defer lock.Release()
		if old, err := identity.Load(dataDir); err == nil {
			// An earlier try may have got halfway.
			if err := errors.Join(identity.Settle(dataDir, old.HostID), identity.Leave(dataDir, old.HostID)); err != nil {
				return err
			}
		}
	}
	machine := platform.Machine()
	request := identity.TokenRequest{Token: token, NodeType: j.nodeType, Machine: machine, Again: j.again, Waiting: func(number string) {
		fmt.Fprintf(c.OutOrStdout(), "request %s waits: an administrator approves it with: fernwerk host approve %s\n", number, number)
	}}
	if j.serverTrust != byAuthority && (token != "" || j.firstBoot != "") {
		return misused(c, "cannot use --server-trust here: it goes with a one-time password")
	}
	var id identity.Identity
	switch {
	case token != "":
		id, err = identity.JoinByToken(c.Context(), dataDir, request)
	case j.firstBoot != "":
		if j.Fingerprint == "" {
			fmt.Fprintf(c.ErrOrStderr(), "warning: whoever answers at %s is believed from now on; --ca-fingerprint makes sure that it is the right one\n", j.firstBoot)
		}
		id, err = identity.JoinAtFirstBoot(c.Context(), dataDir, identity.FirstBoot{Server: j.firstBoot, Fingerprint: j.Fingerprint, TokenRequest: request})
	default:
		id, err = j.byPassword(c, dataDir, machine)
	}
	if err != nil {
		return err
	}
	if j.again {
		if err := identity.Settle(dataDir, id.HostID); err != nil {
			return err
		}
	}
	fmt.Fprintf(c.OutOrStdout(), "joined %s as %s\n", id.Server, id.HostID)
	if id.Policy == enrol.PlainOpsi || id.Policy == "" {
		fmt.Fprintln(c.OutOrStdout(), "policy plain-opsi: this machine installs whatever its server gives it; nothing that was signed offline is asked for")
	}
	return nil
}

// token is the token that is to be used, "" for another way to join.
func (j *joining) token(c *cobra.Command, args []string) (string, error) {
	other := j.Server != "" || j.HostID != "" || j.OneTimePassword != "" || j.firstBoot != ""
	switch {
	case len(args) == 1 && (other || j.tokenFile != ""), other && j.tokenFile != "":
		return "", misused(c, "cannot join in two ways at once: a token says all")
	case len(args) == 1:
		return args[0], nil
	case other:
		return "", nil
	case j.tokenFile == "-":
		return read(c.InOrStdin())
	case j.tokenFile != "":
		f, err := os.Open(j.tokenFile)
		if err != nil {
			return "", fleet.WithHint(fmt.Errorf("cannot read the token: %w", err), "make one with: fernwerk token create --print token")
		}
		defer f.Close()
		return read(f)
	}
	if t := os.Getenv(tokenEnv); t != "" {
		return t, nil
	}
	line, _ := os.ReadFile("/proc/cmdline")
	return kernel(string(line)), nil
}

// kernel finds the token on a kernel's command line.
func kernel(line string) string {
	for word := range strings.FieldsSeq(line) {
		if t, ok := strings.CutPrefix(word, kernelToken); ok {
			return t
		}
	}
	return ""
}

// mostToken bounds a token's file, in bytes.
const mostToken = 8 << 10

func read(r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, mostToken))
	if err != nil {
		return "", fmt.Errorf("cannot read the token: %w", err)
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		return "", fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot read the token: there is none"), "make one with: fernwerk token create --print token")
	}
	return string(data), nil
}

func (j *joining) byPassword(c *cobra.Command, dataDir string, machine enrol.Machine) (identity.Identity, error) {
	req := j.JoinRequest
	req.Machine, req.Again = machine, j.again
	if req.OneTimePassword == "" {
		req.OneTimePassword = os.Getenv("FERNWERK_ONE_TIME_PASSWORD")
	}
	if req.Server == "" && req.HostID == "" {
		return identity.Identity{}, misused(c, "cannot join without a token")
	}
	wanted := map[string]string{"server": req.Server, "host-id": req.HostID, "one-time-password": req.OneTimePassword}
	switch {
	case j.serverTrust == byAuthority:
		wanted["ca-fingerprint"] = req.Fingerprint
	case j.serverTrust != string(identity.FirstUse):
		return identity.Identity{}, misused(c, "%q is no way to know a server: it is %s or %s", j.serverTrust, byAuthority, identity.FirstUse)
	case req.Fingerprint != "":
		return identity.Identity{}, misused(c, "cannot use --ca-fingerprint with --server-trust %s: with the fingerprint the server is known at once", identity.FirstUse)
	default:
		req.ServerTrust = identity.FirstUse
		fmt.Fprintf(c.ErrOrStderr(), "warning: whoever answers at %s is believed from now on, and gets the password\n", req.Server)
	}
	for name, value := range wanted {
		if value == "" {
			return identity.Identity{}, misused(c, "cannot join without --%s", name)
		}
	}
	req.Policy = enrol.Policy(j.policy)
	if err := enrol.ValidPolicy(req.Policy); err != nil {
		return identity.Identity{}, misused(c, "%s", err)
	}
	if j.trustRoot != "" {
		version, digest, _ := strings.Cut(j.trustRoot, ":")
		n, err := strconv.ParseInt(version, 10, 64)
		root := enrol.Root{Version: n, SHA256: strings.ToLower(digest)}
		if err != nil || root.Check() != nil {
			return identity.Identity{}, misused(c, "%q is not VERSION:SHA256 of a root of trust", j.trustRoot)
		}
		req.Root = &root
	}
	switch {
	case req.Root == nil && req.Policy != "" && req.Policy != enrol.PlainOpsi:
		return identity.Identity{}, misused(c, "cannot demand %s content without --trust-root", req.Policy)
	case req.Policy == "" && req.Root != nil:
		req.Policy = enrol.Offline
	}
	return identity.Join(c.Context(), dataDir, req)
}
