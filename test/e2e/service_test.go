package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// TestService: the agent runs as a service does, and connects the config server at
// start. What a service manager sees of it is here, with the real program.
func TestService(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := serve(t)
	line, err := site.Connect(ctx, site.Branch, s.Listen)
	must(t, err)
	t.Cleanup(line.Close)
	a := host(t, s, line.URL(), "pc1.service.test")

	t.Run("connects_the_config_server_at_start", func(t *testing.T) {
		must(t, a.Start(ctx))
		await(t, "the start's event has done its work", idle(t, a))
		st, err := a.Status(ctx)
		must(t, err)
		if first := st.Changes[len(st.Changes)-1]; first.Event != "opsiclientd_start" || first.Status != "done" || st.Cache.Pulled == "" {
			t.Errorf("%+v, last pull %q", first, st.Cache.Pulled)
		}
	})
	t.Run("one_agent_on_a_data_folder", func(t *testing.T) {
		_, errOut, code, err := a.Programs.Run(ctx, nil, "fernwerk-agent", "run", "--data", a.Data, "--control", "127.0.0.1:0")
		must(t, err)
		if code != 4 || !strings.Contains(errOut, "only one agent can use") {
			t.Errorf("a second one ended with %d: %s", code, errOut)
		}
	})
	t.Run("is_stopped_by_a_signal_with_status_0", func(t *testing.T) { must(t, a.Stop(stopTime)) })
	t.Run("starts_again_after_a_kill", func(t *testing.T) {
		must(t, a.Start(ctx))
		a.Kill()
		must(t, a.Start(ctx))
		must(t, a.Stop(stopTime))
	})
	t.Run("says_what_is_wrong_and_ends", func(t *testing.T) {
		conf := filepath.Join(a.Data, "agent.conf")
		good, err := os.ReadFile(conf)
		must(t, err)
		write(t, conf, append(good, "[event_timr]\nactiv = true\n"...))
		defer write(t, conf, good)
		for _, tt := range []struct {
			args []string
			code int
			text string
		}{
			{[]string{"run", "--data", a.Data}, 1, "line 5"},
			{[]string{"run", "--data", filepath.Join(a.Data, "nothing")}, 1, "join"},
			{[]string{"run", "--log-level", "loud"}, 2, "debug, info, warn, error"},
			{[]string{"runn"}, 2, "unknown command"},
		} {
			_, errOut, code, err := a.Programs.Run(ctx, nil, "fernwerk-agent", tt.args...)
			must(t, err)
			if code != tt.code || !strings.Contains(errOut, tt.text) {
				t.Errorf("%v ended with %d, want %d and %q: %s", tt.args, code, tt.code, tt.text, errOut)
			}
		}
	})
	t.Run("nobody_waits_for_a_server_that_does_not_answer", func(t *testing.T) {
		address := line.Addr().String()
		line.Close()
		var silent net.Listener // accepts, and says nothing: worse than nobody there
		await(t, "the line's address is free", func() (free bool, _ error) {
			l, err := net.Listen("tcp", address)
			silent = l
			return err == nil, nil
		})
		defer silent.Close()
		a.BootID = "second"
		began := time.Now()
		must(t, a.Start(ctx))
		_, err := a.Status(ctx)
		must(t, err)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v until the agent answered", took)
		}
		await(t, "it tries to reach the server", func() (bool, error) {
			st, err := a.Status(ctx)
			return st.Event == "opsiclientd_start" && st.Running != "", err
		})
		must(t, a.Stop(stopTime)) // in the middle of that
	})
}

// TestReboot_Command: a reboot that an action asks for is carried out by the
// configured command, once, also when the agent is killed over it; one that somebody
// started by hand and that has no command restarts nobody's machine.
func TestReboot_Command(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := serve(t)
	dir := t.TempDir()
	tool := filepath.Join(dir, "package")
	write(t, filepath.Join(tool, "OPSI", "control.toml"), fmt.Appendf(nil, controlFile, "driver", version))
	write(t, filepath.Join(tool, "CLIENT_DATA", "setup.sh"), []byte("echo \"${FERNWERK_STEP:-begins}\" >> "+dir+"/trace\nif [ -z \"$FERNWERK_STEP\" ]; then reboot-continue ends; fi\n"))
	must(t, s.Install(ctx, tool))
	a := host(t, s, s.URL(), "pc1.reboot.test")
	_, err := s.Call(ctx, "setProductActionRequest", "driver", "pc1.reboot.test", "setup")
	must(t, err)
	conf := filepath.Join(a.Data, "agent.conf")
	base, err := os.ReadFile(conf)
	must(t, err)
	base = append(base, "[event_on_demand]\nshutdown_warning_time = 0\n"...)
	write(t, conf, base)
	content := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(data)
	}

	must(t, a.Start(ctx))
	await(t, "the start's event has done its work", idle(t, a))
	_, err = a.Fire(ctx, "on_demand")
	must(t, err)
	await(t, "the agent has said why it does not restart the machine", func() (bool, error) {
		st, err := a.Status(ctx)
		return st.Reboot != nil && strings.Contains(st.Reboot.Trouble, "boot id is a given one"), err
	})
	must(t, a.Stop(stopTime))
	if got := content("trace"); got != "begins\n" {
		t.Errorf("ran %q", got)
	}

	restart := filepath.Join(dir, "restart me.sh")
	write(t, restart, []byte("#!/bin/sh\necho \"$#\" >> "+dir+"/restarts\n"))
	must(t, os.Chmod(restart, 0o700))
	write(t, conf, append(base, "[reboot]\ncommand = "+restart+", -r, now\n"...))
	must(t, a.Start(ctx))
	_, err = a.Ask(ctx, "agent_rebootAccept")
	must(t, err)
	await(t, "the command has run", func() (bool, error) { return content("restarts") != "", nil })
	a.Kill() // as power that goes away
	a.BootID = "second"
	must(t, a.Start(ctx))
	await(t, "the action went on, and all was reported", func() (bool, error) {
		st, err := a.Status(ctx)
		return content("trace") == "begins\nends\n" && st.Unsent == 0 && st.Running == "" && st.Waiting == 0, err
	})
	if got := content("trace"); got != "begins\nends\n" {
		t.Errorf("ran %q", got)
	}
	if got := content("restarts"); got != "2\n" {
		t.Errorf("the command ran with %q arguments, want once with 2", got)
	}
	rows, err := s.Rows(ctx, "productOnClient_getObjects", []any{}, map[string]any{"productId": "driver"})
	must(t, err)
	if len(rows) != 1 || rows[0].Str("installationStatus") != "installed" || rows[0].Str("actionRequest") != "none" {
		t.Errorf("on the server: %v", rows)
	}
}
