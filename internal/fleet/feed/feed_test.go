package feed_test

import (
	"bytes"
	"crypto/sha256"
	"os/exec"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/feed"
)

var today = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func key(t testing.TB) *feed.PrivateKey {
	t.Helper()
	k, err := feed.NewKey("idhal", today)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func script(t testing.TB, serial int64, updates ...feed.Update) []byte {
	t.Helper()
	text, err := feed.Script{Header: feed.Header{Site: "idhal", Serial: serial, Expires: today.AddDate(0, 1, 0)}, Updates: updates}.Render()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func signed(t testing.TB, k *feed.PrivateKey, text []byte) []byte {
	t.Helper()
	file, err := k.Sign(text, today)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

var odd = feed.Update{ID: "000", Title: "Odd lines", Stop: true, Retry: true, Program: "cat > $OUT/here <<'EOF'\n-dash\n- dash and blank\n--\nFrom here\n\ttab\n\n-----BEGIN PGP SIGNATURE-----\n-----END PGP SIGNATURE-----\nEOF\n"}

func TestSign_ComesBackAsItIs(t *testing.T) {
	k := key(t)
	text := script(t, 17, odd)
	s, err := k.Public().Open(signed(t, k, text))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.Text, text) || s.Serial != 17 || s.Site != "idhal" || !s.Made.Equal(today) || s.Digest != sha256.Sum256(text) {
		t.Errorf("%+v", s)
	}
	for _, line := range []string{`UPDATES="/var/lib/idhal-updates"`, "if [ ! -f $UPDATES/000 ]; then", "# Serial: 17", "# Expires: 2026-12-29"} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("there is no line %q", line)
		}
	}
}

// The seed's caveats, and what facts say that readers let through.
func TestOpen_Refuses(t *testing.T) {
	k := key(t)
	text := script(t, 17, odd)
	file := string(signed(t, k, text))
	cut := func(from, to string) string {
		t.Helper()
		out := strings.Replace(file, from, to, 1)
		if out == file {
			t.Fatalf("%q is not in the file", from)
		}
		return out
	}
	for name, bad := range map[string]string{
		"text before":            "rm -rf /\n" + file,
		"text after":             file + "rm -rf /\n",
		"line before":            "\n" + file,
		"line after":             file + "\n",
		"no last line end":       strings.TrimSuffix(file, "\n"),
		"twice":                  file + file,
		"carriage returns":       strings.ReplaceAll(file, "\n", "\r\n"),
		"blank at a line's end":  cut("# Serial: 17\n", "# Serial: 17 \n"),
		"tab at a line's end":    cut("umask 022\n", "umask 022\t\n"),
		"other serial":           cut("# Serial: 17\n", "# Serial: 18\n"),
		"more headers":           cut("Hash: SHA512\n", "Hash: SHA512\nHash: SHA256\n"),
		"unknown header":         cut("Hash: SHA512\n", "Comment: x\n"),
		"Hash with more":         cut("Hash: SHA512\n", "Hash: SHA512,SHA256\n"),
		"blank in the first":     cut("SIGNED MESSAGE-----\n", "SIGNED MESSAGE----- \n"),
		"escaped without need":   cut("\numask 022\n", "\n- umask 022\n"),
		"text in the signature":  cut("-----BEGIN PGP SIGNATURE-----\n", "-----BEGIN PGP SIGNATURE-----\nrm -rf /\n"),
		"blanks in base64":       cut("\n-----END PGP SIGNATURE-----", " \n-----END PGP SIGNATURE-----"),
		"a zero byte":            cut("umask 022\n", "umask 022\x00\n"),
		"nothing":                "",
		"only text":              string(text),
		"no signature":           file[:strings.LastIndex(file, "-----BEGIN PGP SIG")],
		"a line end more inside": cut("\n-----BEGIN PGP SIGNATURE-----\n\n", "\n\n-----BEGIN PGP SIGNATURE-----\n\n"),
	} {
		if _, err := k.Public().Open([]byte(bad)); fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := key(t).Public().Open([]byte(file)); fleet.CodeOf(err) != fleet.Denied || !strings.Contains(err.Error(), "not signed with the key") {
		t.Errorf("another key: %v", err)
	}
}

// The signature that stands in the seed, of GnuPG 1.4.6: DSA with SHA-1, version 3.
func TestOpen_SeedsSignatureIsWeak(t *testing.T) {
	file := "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA1\n\nUPDATES=\"/var/lib/idhal-updates\"\n-----BEGIN PGP SIGNATURE-----\nVersion: GnuPG v1.4.6 (GNU/Linux)\n\n" +
		"iD8DBQFL6V1yWciA6gGguMwRAqU+AJ93IOh+lxAsuYFUUVlrsM6HGorUJACff4ko\ns/bE76z4S4MzZZ1EkN+UyGk=\n-----END PGP SIGNATURE-----\n"
	_, err := key(t).Public().Open([]byte(file))
	for _, want := range []string{"DSA", "SHA-1", "version 3"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: no word of %s", err, want)
		}
	}
	if !strings.Contains(fleet.HintOf(err), "fernwerk feed init") {
		t.Errorf("hint %q", fleet.HintOf(err))
	}
}

func TestFollows(t *testing.T) {
	k := key(t)
	open := func(serial int64, updates ...feed.Update) feed.Signed {
		s, err := k.Public().Open(signed(t, k, script(t, serial, updates...)))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first, other, later := open(17), open(17, odd), open(18)
	held := first.After(feed.Held{}, today)
	for _, c := range []struct {
		name string
		s    feed.Signed
		held feed.Held
		now  time.Time
		want string
	}{
		{"the first", first, feed.Held{}, today, ""},
		{"again", first, held, today, ""},
		{"a later one", later, held, today, ""},
		{"an older one", first, later.After(held, today), today, "lower than 18"},
		{"another one of that serial", other, held, today, "another one of serial 17"},
		{"on its last day", first, held, time.Date(2026, 12, 29, 23, 59, 0, 0, time.UTC), ""},
		{"the day after", first, held, time.Date(2026, 12, 30, 0, 0, 0, 0, time.UTC), "expired"},
		{"a clock that fell back", first, feed.Held{Clock: today.AddDate(0, 2, 0)}, time.Unix(0, 0), "expired"},
	} {
		err := c.s.Follows(c.held, c.now)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if got := first.After(feed.Held{}, time.Unix(0, 0)).Clock; !got.Equal(today) {
		t.Errorf("the floor of the clock is %v, not when the script was signed", got)
	}
}

func TestRender_Refuses(t *testing.T) {
	good := feed.Header{Site: "idhal", Serial: 1, Expires: today}
	for want, s := range map[string]feed.Script{
		"not a site":        {Header: feed.Header{Site: "a\nb", Serial: 1, Expires: today}},
		"serial 0":          {Header: feed.Header{Site: "a", Expires: today}},
		"expires":           {Header: feed.Header{Site: "a", Serial: 1}},
		"absolute path":     {Header: good, Markers: "/var/lib/$(id)"},
		"three to nine":     {Header: good, Updates: []feed.Update{{ID: "0;"}}},
		"title":             {Header: good, Updates: []feed.Update{{ID: "000", Title: "a\nrm"}}},
		"two of this":       {Header: good, Updates: []feed.Update{{ID: "000"}, {ID: "000"}}},
		"bash":              {Header: good, Updates: []feed.Update{{ID: "000", Program: "#!/bin/bash\n"}}},
		"backslash":         {Header: good, Updates: []feed.Update{{ID: "000", Program: "echo \\\n"}}},
		"blanks":            {Header: good, Updates: []feed.Update{{ID: "000", Program: "echo \n"}}},
		"carriage return":   {Header: good, Updates: []feed.Update{{ID: "000", Program: "echo\r\n"}}},
		"control character": {Header: good, Updates: []feed.Update{{ID: "000", Program: "echo \x1b[2J"}}},
		"UTF-8":             {Header: good, Updates: []feed.Update{{ID: "000", Program: "echo \xff"}}},
		"comes after 000":   {Header: good, Updates: []feed.Update{{ID: "001", After: []string{"000"}}}},
		"bytes":             {Header: good, Updates: []feed.Update{{ID: "001", Program: strings.Repeat("echo\n", feed.MaxFile/5)}}},
	} {
		if _, err := s.Render(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// Whatever can be rendered comes back through a signature, and is what a shell reads.
func TestSign_Property(t *testing.T) {
	k := key(t)
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.StringMatching(`(- |--|From |#|	)?[a-zé$"<-]{0,12}`)
		body := strings.Join(rapid.SliceOfN(line, 0, 8).Draw(t, "lines"), "\n")
		text, err := feed.Script{Header: feed.Header{Site: "s", Serial: rapid.Int64Range(1, feed.MaxSerial).Draw(t, "serial"), Expires: today},
			Updates: []feed.Update{{ID: "000", Program: body}}}.Render()
		if err != nil {
			t.Skip(err)
		}
		file, err := k.Sign(text, today)
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.IntRange(0, len(file)-1).Draw(t, "at")
		if s, err := k.Public().Open(file); err != nil || !bytes.Equal(s.Text, text) {
			t.Fatal(err)
		}
		// A bit of the text or the frame that turns is noticed; of the signature's armour
		// some bits mean nothing.
		if at < bytes.LastIndex(file, []byte("-----BEGIN PGP SIGNATURE")) {
			file[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			if s, err := k.Public().Open(file); err == nil && !bytes.Equal(s.Text, text) {
				t.Fatalf("a turned bit at %d is not noticed", at)
			}
		}
	})
}

func TestKey(t *testing.T) {
	k := key(t)
	sealed, err := k.Seal("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := feed.OpenKey(sealed, "wrong"); fleet.CodeOf(err) != fleet.Denied {
		t.Error(err)
	}
	back, err := feed.OpenKey(sealed, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	public, err := k.Public().Print()
	if err != nil {
		t.Fatal(err)
	}
	read, err := feed.ReadKey(public)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read.Open(signed(t, back, script(t, 1))); err != nil {
		t.Error(err)
	}
	print := read.Fingerprint()
	if len(print) != 40 || read.CheckFingerprint(strings.ToLower(print[:20]+" "+print[20:])) != nil || read.CheckFingerprint(print[1:]+"0") == nil {
		t.Error(print)
	}
	if _, err := k.Seal(""); err == nil {
		t.Error("sealed with nothing")
	}
	for name, bad := range map[string][]byte{"private": sealed, "two": append(bytes.Clone(public), public...), "text before": append([]byte("x\n"), public...), "nothing": nil} {
		if _, err := feed.ReadKey(bad); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

// A shell agrees that what is rendered is a script, and runs each update once.
func TestRender_ShellRunsOnce(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh")
	}
	dir, out := t.TempDir(), t.TempDir()
	run := func(updates ...feed.Update) string {
		t.Helper()
		text, err := feed.Script{Header: feed.Header{Site: "s", Serial: 1, Expires: today}, Markers: dir + "/markers", Updates: updates}.Render()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(sh)
		cmd.Stdin = bytes.NewReader(text)
		cmd.Env = []string{"OUT=" + out, "PATH=/usr/bin:/bin"}
		said, err := cmd.CombinedOutput()
		if err != nil {
			return string(said) + err.Error()
		}
		return string(said)
	}
	shell := func(program string) { t.Helper(); exec.Command(sh, "-c", program).Run() }
	again := feed.Update{ID: "001", Title: "One", Program: "cd /; echo ran >> $OUT/001; exit 0"}
	if said := run(odd, again); strings.Count(said, ": done") != 2 {
		t.Fatal(said)
	}
	if said := run(odd, again); said != "" {
		t.Errorf("the second time: %s", said)
	}
	fails := feed.Update{ID: "002", Title: "Two", Program: "exit 3"}
	if said := run(fails, feed.Update{ID: "003", After: []string{"002"}}, feed.Update{ID: "004"}); !strings.Contains(said, "status 3") || !strings.Contains(said, "waits for update 002") ||
		!strings.Contains(said, "update 004: done") || !strings.HasSuffix(said, "exit status 1") {
		t.Error(said)
	}
	fails.Stop = true
	if said := run(fails, feed.Update{ID: "005"}); !strings.Contains(said, "nothing after it runs") || strings.Contains(said, "005") {
		t.Error(said)
	}
	shell("echo begun > " + dir + "/markers/006.begun; cp " + dir + "/markers/006.begun " + dir + "/markers/007.begun; cp " + dir + "/markers/006.begun " + dir + "/markers/008.begun")
	if said := run(feed.Update{ID: "006", Retry: true}, feed.Update{ID: "007", Skip: true, Program: "exit 9"}, feed.Update{ID: "008", Program: "exit 9"}); !strings.Contains(said, "runs again") ||
		!strings.Contains(said, "is skipped") || !strings.Contains(said, "may have done its work") || strings.Contains(said, "status 9") {
		t.Error(said)
	}
}

func FuzzOpen(f *testing.F) {
	k := key(f)
	file := signed(f, k, script(f, 1))
	f.Add(file)
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\n\n\n-----BEGIN PGP SIGNATURE-----\n\niD8D\n-----END PGP SIGNATURE-----\n"))
	want, err := k.Public().Open(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := k.Public().Open(data)
		if err == nil && s.Digest != want.Digest {
			t.Errorf("another text is good: %q", s.Text)
		}
	})
}

func FuzzReadKey(f *testing.F) {
	public, err := key(f).Public().Print()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(public)
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := feed.ReadKey(data); err == nil && len(k.Fingerprint()) < 40 {
			t.Errorf("fingerprint %q", k.Fingerprint())
		}
	})
}
