package tunnel

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a tunnel brings stands before everything else while it is up, and goes with it;
// what others wrote meanwhile stays.
func TestResolver_File(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	const own = "nameserver 192.168.1.1\n"
	if err := os.WriteFile(path, []byte(own), 0o644); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	apply := func(name string, env ...string) string {
		t.Helper()
		by, err := resolver{name, path}.apply(t.Context(), "file", brought(append(env, "dev=tun0")))
		if err != nil {
			t.Fatal(err)
		}
		return by
	}
	if by := apply("vpns", "foreign_option_1=dhcp-option DNS 10.134.0.1", "foreign_option_2=dhcp-option DOMAIN Grid.test"); by != "file" {
		t.Errorf("told: %q", by)
	}
	if want := "# fernwerk-agent: tunnel vpns\nnameserver 10.134.0.1\nsearch grid.test\n# fernwerk-agent: end of tunnel vpns\n" + own; read() != want {
		t.Errorf("%q", read())
	}
	apply("other", "foreign_option_1=dhcp-option DNS 10.135.0.1")
	apply("vpns", "foreign_option_1=dhcp-option DNS 10.134.0.2")
	if text := read(); strings.Count(text, "nameserver") != 3 || strings.Contains(text, "10.134.0.1\n") {
		t.Errorf("%q", text)
	}
	if err := os.WriteFile(path, []byte(read()+"options timeout:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"vpns", "other", "vpns"} {
		if err := (resolver{name, path}).remove(t.Context(), "file", "tun0"); err != nil {
			t.Fatal(err)
		}
	}
	if read() != own+"options timeout:1\n" {
		t.Errorf("%q", read())
	}
	if by := apply("vpns"); by != "" || read() != own+"options timeout:1\n" {
		t.Error("a tunnel that brings nothing changes something")
	}
	if by, err := (resolver{"vpns", path}).apply(t.Context(), "none", brought([]string{"dev=tun0", "foreign_option_1=dhcp-option DNS 10.134.0.1"})); by != "" || err != nil || strings.Contains(read(), "10.134") {
		t.Error("nobody was to be told")
	}
}

func FuzzBrought(f *testing.F) {
	f.Add("dev=tun0\nforeign_option_1=dhcp-option DNS 10.134.0.1\nforeign_option_2=dhcp-option DOMAIN grid.test")
	f.Add("foreign_option_1=dhcp-option DNS fe80::1%eth0\nforeign_option_2=dhcp-option DOMAIN a;b")
	f.Fuzz(func(t *testing.T, text string) {
		n := brought(strings.Split(text, "\n"))
		for _, line := range strings.Split(strings.TrimSuffix(n.lines(), "\n"), "\n") {
			word := strings.Fields(line)
			if line != "" && (len(word) < 2 || word[0] != "nameserver" && word[0] != "search") {
				t.Errorf("%q has the line %q", text, line)
			}
		}
		if n.device != "" && !deviceName.MatchString(n.device) || len(n.dns) > most || len(n.search) > most {
			t.Errorf("%+v", n)
		}
	})
}

// A tunnel's server can set addresses, routes, DNS and ciphers here, and nothing else.
func TestArguments(t *testing.T) {
	all := Place{Name: "vpns", Dir: "/x"}.arguments()
	if i := slices.Index(all, "--script-security"); i < 0 || all[i+1] != "0" {
		t.Error("scripts are allowed")
	}
	if !slices.Equal(all[len(all)-3:], []string{"--pull-filter", "ignore", ""}) {
		t.Error("what is not accepted is not ignored")
	}
	for _, bad := range []string{"redirect-gateway", "setenv", "script", "plugin", "up ", "block-outside-dns", "auth-token", "echo", "inactive"} {
		if slices.ContainsFunc(pulled, func(p string) bool { return strings.HasPrefix(bad, p) || strings.HasPrefix(p, bad) }) {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestRemember(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []Place{{Name: "vpns", Dir: "/etc/openvpn"}, {Name: "vpns", Dir: "/a", Up: true}, {Name: "vpns", Dir: "/b", Up: true}, {Name: "other", Dir: "/a", Up: true}, {Name: "other", Dir: "/a"}} {
		if err := Remember(dir, p); err != nil {
			t.Fatal(err)
		}
	}
	want := []Place{{"vpns", "/etc/openvpn", false}, {"vpns", "/a", false}, {"vpns", "/b", true}, {"other", "/a", true}}
	if all, err := Places(dir); err != nil || !slices.Equal(all, want) {
		t.Errorf("%v %v", all, err)
	}
	for _, wasUp := range []bool{true, false} {
		if was, err := Leave(dir, "vpns"); err != nil || was != wasUp {
			t.Errorf("left: %v %v", was, err)
		}
	}
}

func TestStatus_State(t *testing.T) {
	var st Status
	for _, text := range []string{"", "1,2", "1796000000,CONNECTED,ERROR,10.134.7.38,203.0.113.1", "1796000000,CONNECTED,SUCCESS,x,203.0.113.1"} {
		if st.state(text); st.State == Connected {
			t.Errorf("%q is up", text)
		}
	}
	st.state("1796000000,CONNECTED,SUCCESS,10.134.7.38,203.0.113.1,4242,,")
	if st.State != Connected || st.Address != "10.134.7.38" || st.Server != "203.0.113.1" {
		t.Errorf("%+v", st)
	}
	if st.state("1796000001,RECONNECTING,connection-reset,,"); st.State != Connecting {
		t.Errorf("%+v", st)
	}
}
