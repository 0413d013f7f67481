package resolver

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// machine is a resolver whose resolv.conf is a file of the test.
type machine struct {
	t *testing.T
	Resolver
}

const own = "nameserver 192.168.1.1\nsearch home.test\n"

func newMachine(t *testing.T) machine {
	t.Helper()
	dir := t.TempDir()
	m := machine{t, Resolver{Dir: dir, Path: filepath.Join(dir, "resolv.conf")}}
	m.write(own)
	return m
}

func (m machine) write(text string) {
	m.t.Helper()
	if err := os.WriteFile(m.Path, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) is() string {
	m.t.Helper()
	text, err := os.ReadFile(m.Path)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(text)
}

func (m machine) apply(p Part) {
	m.t.Helper()
	if by, err := m.Apply(m.t.Context(), File, p); by != File || err != nil {
		m.t.Fatalf("%q %v", by, err)
	}
}

func (m machine) remove(owner string) {
	m.t.Helper()
	if err := m.Remove(m.t.Context(), owner); err != nil {
		m.t.Fatal(err)
	}
}

func part(owner, device, server string, search ...string) Part {
	return Part{Owner: owner, Device: device, Servers: []netip.Addr{netip.MustParseAddr(server)}, Search: search}
}

// What two owners bring stands side by side, around what others wrote, and goes with
// each.
func TestResolver_File(t *testing.T) {
	m := newMachine(t)
	m.apply(part("tunnel vpns", "tun0", "10.134.0.1", "grid.test"))
	if want := "# fernwerk-agent: begin (tunnel vpns)\nnameserver 10.134.0.1\n# fernwerk-agent: end\n" + own +
		"# fernwerk-agent: begin (tunnel vpns)\nsearch grid.test home.test\n# fernwerk-agent: end\n"; m.is() != want {
		t.Errorf("%s", m.is())
	}
	m.apply(part("mesh", "fwmesh", "10.134.0.1", "grid.test", "mesh.test"))
	m.apply(part("tunnel vpns", "tun1", "10.134.0.2", "grid.test"))
	if text := m.is(); strings.Count(text, "nameserver") != 3 || !strings.Contains(text, "search grid.test mesh.test home.test\n") {
		t.Errorf("%s", text)
	}
	m.write(m.is() + "options timeout:1\n")
	m.remove("tunnel vpns")
	m.remove("tunnel vpns")
	if text := m.is(); strings.Contains(text, "10.134.0.2") || !strings.Contains(text, "10.134.0.1") {
		t.Errorf("%s", text)
	}
	m.remove("mesh")
	if m.is() != own+"options timeout:1\n" {
		t.Errorf("%q", m.is())
	}
	if parts, err := m.Parts(); len(parts) != 0 || err != nil {
		t.Errorf("%v %v", parts, err)
	}
}

// A part that brings nothing, or that nobody shall be told of, changes nothing, and
// ends the owner's earlier one.
func TestResolver_Nothing(t *testing.T) {
	m := newMachine(t)
	for rule, p := range map[string]Part{File: {Owner: "mesh", Device: "fwmesh"}, None: part("mesh", "fwmesh", "10.134.0.1")} {
		m.apply(part("mesh", "fwmesh", "10.134.0.9"))
		if by, err := m.Apply(t.Context(), rule, p); by != "" || err != nil || m.is() != own {
			t.Errorf("%s: %q %v %q", rule, by, err, m.is())
		}
	}
}

// Texts of other machines reach no line of the file.
func TestResolver_Refuses(t *testing.T) {
	m := newMachine(t)
	many := part("mesh", "fwmesh", "10.134.0.1")
	for range Most {
		many.Servers = append(many.Servers, many.Servers[0])
	}
	for _, p := range []Part{many, part("mesh\n", "fwmesh", "10.134.0.1"), part("", "fwmesh", "10.134.0.1"), part("mesh", "fw mesh", "10.134.0.1"), part("mesh", "-x", "10.134.0.1"),
		part("mesh", "", "10.134.0.1"), part("mesh", "fwmesh", "fe80::1%eth0"), part("mesh", "fwmesh", "10.134.0.1", "a b"), part("mesh", "fwmesh", "10.134.0.1", "x\nnameserver 1.1.1.1"),
		part("mesh", "fwmesh", "10.134.0.1", "-a.test"), {Owner: "mesh", Device: "fwmesh", Servers: make([]netip.Addr, 1)}} {
		if by, err := m.Apply(t.Context(), File, p); err == nil {
			t.Errorf("%+v is told to %s", p, by)
		}
	}
	if m.is() != own {
		t.Errorf("%q", m.is())
	}
	m.write(strings.Repeat("#\n", maxFile))
	if _, err := m.Apply(t.Context(), File, part("mesh", "fwmesh", "10.134.0.1")); err == nil {
		t.Error("a resolv.conf of any size is read")
	}
	m.write(own)
	m.remove("mesh")
	if parts, err := m.Parts(); len(parts) != 0 || err != nil || m.is() != own {
		t.Errorf("what was refused stays: %v %v %q", parts, err, m.is())
	}
}

// A link is followed, and stays one.
func TestResolver_Link(t *testing.T) {
	m := newMachine(t)
	real := filepath.Join(m.Dir, "real.conf")
	if err := os.Rename(m.Path, real); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.conf", m.Path); err != nil {
		t.Skip(err)
	}
	m.apply(part("mesh", "fwmesh", "10.134.0.1"))
	if to, err := os.Readlink(m.Path); err != nil || to != "real.conf" || !strings.Contains(m.is(), "10.134.0.1") {
		t.Errorf("%q %v %q", to, err, m.is())
	}
	m.remove("mesh")
	if m.is() != own {
		t.Errorf("%q", m.is())
	}
	if err := os.Remove(real); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Apply(t.Context(), File, part("mesh", "fwmesh", "10.134.0.1")); err == nil || !strings.Contains(err.Error(), "is a link to") {
		t.Errorf("%v", err)
	}
}

// Others write the file anew, as a DHCP client does: ours is put back.
func TestResolver_Keep(t *testing.T) {
	m := newMachine(t)
	m.apply(part("mesh", "fwmesh", "10.134.0.1"))
	want := m.is()
	m.write(own)
	if err := m.Keep(t.Context()); err != nil || m.is() != want {
		t.Errorf("%v %q", err, m.is())
	}
}

// Whoever dies while the file is written in place leaves a mixture: the next one finds
// what others wrote.
func TestResolver_Torn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(t)
		m.apply(part("mesh", "fwmesh", "10.134.0.1", "mesh.test"))
		was := m.is()
		s, err := m.load()
		if err != nil {
			rt.Fatal(err)
		}
		if rapid.Bool().Draw(rt, "shorter") {
			s.Parts[0].Search = nil
		} else {
			s.Parts[0].Search = []string{"much.longer.than.before.test", "mesh.test"}
		}
		s.Writing = &writing{was, s.text(own)}
		if err := m.save(s); err != nil {
			rt.Fatal(err)
		}
		n := rapid.IntRange(0, len(s.Writing.Text)).Draw(rt, "written")
		m.write(s.Writing.Text[:n] + was[min(n, len(was)):])
		if _, err := m.Again(t.Context(), "mesh"); err != nil || m.is() != s.text(own) {
			rt.Fatalf("%v\n%s", err, m.is())
		}
		m.remove("mesh")
		if m.is() != own {
			rt.Fatalf("%q", m.is())
		}
	})
}

// FuzzOthers: what others wrote stays whatever it is, and ours is found in it again.
func FuzzOthers(f *testing.F) {
	f.Add(own)
	f.Add("# fernwerk-agent: begin (x)\nnameserver 1.1.1.1\n")
	f.Add("# fernwerk-agent: end\nsearch\ndomain a\n\n")
	s := state{Parts: []Noted{{part("mesh", "fwmesh", "10.134.0.1", "mesh.test"), File}}}
	f.Fuzz(func(t *testing.T, text string) {
		rest := others(text)
		if others(rest) != rest {
			t.Fatalf("%q leaves %q, which has marks", text, rest)
		}
		got := others(s.text(rest))
		if got != rest && got != rest+"\n" {
			t.Errorf("%q becomes %q", rest, got)
		}
		if again := s.text(got); again != s.text(rest) && got == rest {
			t.Errorf("%q: %q", rest, again)
		}
	})
}
