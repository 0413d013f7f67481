package tunnel

import (
	"slices"
	"strings"
	"testing"
)

func FuzzBrought(f *testing.F) {
	f.Add("dev=tun0\nforeign_option_1=dhcp-option DNS 10.134.0.1\nforeign_option_2=dhcp-option DOMAIN grid.test")
	f.Add("foreign_option_1=dhcp-option DNS fe80::1%eth0\nforeign_option_2=dhcp-option DOMAIN a;b")
	f.Fuzz(func(t *testing.T, text string) {
		n := brought("tunnel vpns", strings.Split(text, "\n"))
		if err := n.Check(); err != nil && (n.Device != "" || len(n.Servers)+len(n.Search) > 0) {
			t.Errorf("%q brings %+v: %v", text, n, err)
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
