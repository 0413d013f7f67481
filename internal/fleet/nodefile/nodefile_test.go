package nodefile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

func file(path string) File {
	sum := sha256.Sum256([]byte("x\n"))
	return File{Path: path, Mode: 0o600, Owner: "root", Group: "root", Size: 2, SHA256: hex.EncodeToString(sum[:]), Restart: []string{}}
}

func TestParse_OneSpellingOnly(t *testing.T) {
	l := (&List{NodeType: "vnode"}).With(file("/etc/munge/munge.key")).With(file("/etc/a")).With(file("/root/.ssh/authorized_keys"))
	good, err := l.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Parse(good); err != nil || cmp.Diff(l, got) != "" {
		t.Fatal(err, cmp.Diff(l, got))
	}
	text := string(good)
	for name, bad := range map[string]string{
		"empty": "", "no object": "[]", "blank": text + " ", "twice": text + text, "compact": strings.ReplaceAll(text, "\n", ""),
		"other form": strings.Replace(text, `Files": 1`, `Files": 2`, 1), "unknown key": strings.Replace(text, `"nodeType"`, `"kind"`, 1),
		"capital key":      strings.Replace(text, `"mode"`, `"Mode"`, 1),
		"traversal":        strings.Replace(text, "/etc/a", "/etc/../a", 1),
		"relative":         strings.Replace(text, `"/etc/a"`, `"etc/a"`, 1),
		"folder":           strings.Replace(text, `"/etc/a"`, `"/etc/a/"`, 1),
		"setuid":           strings.Replace(text, `"0600"`, `"4600"`, 1),
		"for everybody":    strings.Replace(text, `"0600"`, `"0666"`, 1),
		"mode in short":    strings.Replace(text, `"0600"`, `"600"`, 1),
		"option as unit":   strings.Replace(text, `"restart": []`, "\"restart\": [\n    \"--now\"\n   ]", 1),
		"the agent itself": strings.Replace(text, `"restart": []`, "\"restart\": [\n    \"fernwerk-agent\"\n   ]", 1),
		"owner":            strings.Replace(text, `"owner": "root"`, `"owner": "root:root"`, 1),
		"digest":           strings.Replace(text, `"sha256": "`, `"sha256": "A`, 1),
		"huge":             strings.Replace(text, `"size": 2`, `"size": 2000000`, 1),
		"secret for all":   strings.Replace(strings.Replace(text, `"0600"`, `"0644"`, 1), `"secret": false`, `"secret": true`, 1),
		"forbidden":        strings.Replace(text, `"/etc/a"`, `"/etc/shadow"`, 1),
		"the agent's own":  strings.Replace(text, `"/root/.ssh/authorized_keys"`, `"/var/lib/fernwerk-agent/identity.json"`, 1),
		"out of order":     strings.Replace(text, `"/etc/a"`, `"/etc/z"`, 1),
		"node type":        strings.Replace(text, `"vnode"`, `"../vnode"`, 1),
		"long":             `{"x": "` + strings.Repeat("x", MaxList) + `"}`,
	} {
		if bad == text {
			t.Fatalf("%s: nothing was replaced", name)
		}
		if l, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%s was read as %v", name, l)
		}
	}
	if err := (&List{NodeType: "vnode", Files: []File{file("/a"), file("/a-b"), file("/a/b")}}).Check(); err == nil {
		t.Error("a file is a folder")
	}
}

func files() *rapid.Generator[File] {
	name := rapid.StringMatching(`[a-z][a-z0-9.<&"-]{0,8}`)
	return rapid.Custom(func(t *rapid.T) File {
		f := File{Path: "/etc/" + name.Draw(t, "name"), Mode: Mode(rapid.SampledFrom([]uint32{0o600, 0o640, 0o755, 0o400}).Draw(t, "mode")),
			Owner: rapid.StringMatching(`[a-z][a-z0-9-]{0,8}`).Draw(t, "owner"), Group: "root", Size: rapid.Int64Range(0, MaxSize).Draw(t, "size"),
			SHA256: hex.EncodeToString(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "sum")), Block: rapid.Bool().Draw(t, "block"),
			Restart: rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z][a-z@-]{0,5}`), 0, 3, rapid.ID).Draw(t, "restart")}
		if f.Secret = f.Mode&4 == 0 && rapid.Bool().Draw(t, "secret"); f.Restart == nil {
			f.Restart = []string{}
		}
		return f
	})
}

func TestList_PrintsWhatItReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &List{NodeType: "vnode", Files: []File{}}
		for _, f := range rapid.SliceOfN(files(), 0, 6).Draw(t, "files") {
			if ValidPath(f.Path) == nil {
				l = l.With(f)
			}
		}
		data, err := l.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(l, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	seed, _ := (&List{NodeType: "vnode"}).With(file("/etc/a")).Bytes()
	f.Add(seed)
	f.Add([]byte(`{"fernwerkNodeFiles":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Parse(data)
		if err != nil {
			return
		}
		if printed, err := l.Bytes(); err != nil || !bytes.Equal(printed, data) {
			t.Fatalf("%q prints as %q, %v", data, printed, err)
		}
	})
}

func TestBlob_SecretTellsNothingAndBinds(t *testing.T) {
	f := file("/etc/pin")
	f.Secret = true
	salt := bytes.Repeat([]byte{7}, SaltSize)
	blob, err := f.Seal([]byte("1234"), salt)
	if err != nil {
		t.Fatal(err)
	}
	if guess := sha256.Sum256([]byte("1234")); f.SHA256 == hex.EncodeToString(guess[:]) {
		t.Error("the list has the bare digest of a secret")
	}
	if content, err := f.Open(blob); err != nil || string(content) != "1234" {
		t.Error(content, err)
	}
	for name, other := range map[string][]byte{"changed": append(salt, "1235"...), "other salt": append(bytes.Repeat([]byte{8}, SaltSize), "1234"...), "bare": []byte("1234"),
		"longer": append(bytes.Clone(blob), 'x'), "nothing": nil} {
		if content, err := f.Open(other); fleet.CodeOf(err) != fleet.Denied {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
}

func TestSplice_KeepsWhatOthersWrote(t *testing.T) {
	line := rapid.StringMatching(`[ -~]{0,20}`).Filter(func(s string) bool { return !strings.HasPrefix(s, "# fernwerk") })
	lines := func(t *rapid.T, name string, least int) string {
		text := strings.Join(rapid.SliceOfN(line, least, 5).Draw(t, name), "\n")
		if text != "" || least > 0 {
			text += "\n"
		}
		return text
	}
	rapid.Check(t, func(t *rapid.T) {
		before, after := lines(t, "before", 0), lines(t, "after", 0)
		first, second := lines(t, "first", 1), lines(t, "second", 1)
		with, err := Splice([]byte(before), []byte(first))
		if err != nil {
			t.Fatal(err)
		}
		with = append(with, after...)
		if with, err = Splice(with, []byte(second)); err != nil {
			t.Fatal(err)
		}
		got, there, err := Block(with)
		if err != nil || !there || string(got) != second {
			t.Fatalf("%q, %v, %v", got, there, err)
		}
		if without, err := Splice(with, nil); err != nil || string(without) != before+after {
			t.Fatalf("%q, want %q, %v", without, before+after, err)
		}
	})
}

func TestSplice_RefusesMarksThatAreNoPair(t *testing.T) {
	for _, text := range []string{begin + "\n", end + "\n", begin + "\n" + begin + "\n" + end + "\n", begin + "\n" + end + "\n" + end + "\n", end + "\n" + begin + "\n"} {
		if out, err := Splice([]byte(text), []byte("x\n")); err == nil {
			t.Errorf("%q became %q", text, out)
		}
	}
	for _, content := range []string{"", "no end", "a\r\n", "a\n" + end + "\n", begin + "\n", "\x00\n", "\xff\n"} {
		if _, err := Splice(nil, []byte(content)); err == nil {
			t.Errorf("%q became a block", content)
		}
	}
	if out, err := Splice([]byte("kept"), []byte("x\n")); err != nil || string(out) != "kept\n"+begin+"\nx\n"+end+"\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func FuzzSplice(f *testing.F) {
	f.Add([]byte("a\n"), []byte("b\n"))
	f.Add([]byte(begin+"\nx\n"+end+"\ny"), []byte("b\n"))
	f.Fuzz(func(t *testing.T, file, content []byte) {
		with, err := Splice(file, content)
		if err != nil {
			return
		}
		if content == nil {
			return
		}
		got, there, err := Block(with)
		if err != nil || !there || !bytes.Equal(got, content) {
			t.Fatalf("%q, %v, %v", got, there, err)
		}
	})
}

const (
	ed25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDO9GgYnOfHgRKyMkoFMNIbXqOQCfWn5pOkMh3sVMJKV"
	ecdsa   = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
)

func TestAuthorizedKeys(t *testing.T) {
	if keys, err := ParseAuthorizedKeys([]byte("# ours\n"+ed25519+" root@hub\n\n"+ecdsa+"\n"), false); err != nil || len(keys) != 2 || keys[0].String() != ed25519 {
		t.Fatal(keys, err)
	}
	options := `command="echo \"a b\" c",no-pty ` + ed25519 + "\n"
	if _, err := ParseAuthorizedKeys([]byte(options), false); err == nil || fleet.HintOf(err) == "" {
		t.Error("options were taken", err)
	}
	if keys, err := ParseAuthorizedKeys([]byte(options), true); err != nil || keys[0].String() != ed25519 {
		t.Error(keys, err)
	}
	for name, text := range map[string]string{
		"nothing": "", "comments": "# x\n", "a private key": "-----BEGIN OPENSSH PRIVATE KEY-----\n", "word": "hello\n", "old kind": strings.Replace(ed25519, "ssh-ed25519", "ssh-dss", 1) + "\n",
		"other kind": strings.Replace(ed25519, "ssh-ed25519", "ssh-rsa", 1) + "\n", "cut": ed25519[:40] + "\n", "twice": ed25519 + "\n" + ed25519 + " again\n", "zero": ed25519 + " \x00\n",
		"line end": ed25519 + "\r\n",
	} {
		if keys, err := ParseAuthorizedKeys([]byte(text), true); err == nil {
			t.Errorf("%s: %v", name, keys)
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add(ed25519 + " root@pc")
	f.Add(ecdsa)
	f.Fuzz(func(t *testing.T, line string) {
		k, err := ParseHostKey(line)
		if err != nil {
			return
		}
		if again, err := ParseHostKey(k.String()); err != nil || again != k {
			t.Fatalf("%q became %q, %v", k, again, err)
		}
		ParseAuthorizedKeys([]byte(line), true)
	})
}

// What an agent says of a problem is what a server takes, whatever was said to it.
func TestSays_IsTakenAsItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := Says(string(rapid.SliceOfN(rapid.Byte(), 0, 700).Draw(t, "bytes")) + rapid.String().Draw(t, "text"))
		if err := (&Report{Problem: text}).Check(); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
