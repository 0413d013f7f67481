package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/archive"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// tarball writes a tar by hand, as other tools or attackers do.
func tarball(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := h.Uname // a place for the content
		h.Uname = ""
		if h.Size == 0 {
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t testing.TB, data []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func reg(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Uname: content}
}

// withData is a package around one CLIENT_DATA tar.
func withData(t testing.TB, client []byte) []byte {
	return tarball(t, reg("OPSI.tar", string(tarball(t, reg("control.toml", tomlStart)))), reg("CLIENT_DATA.tar", string(client)))
}

// A package as opsi-makepackage may leave it: data first, gzip, "./" before
// names, folders with setgid, no manifest.
func TestUnpack_OpsisOwn(t *testing.T) {
	client := tarball(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o2770},
		reg("./a/b/c.txt", "c"),
		tar.Header{Typeflag: tar.TypeDir, Name: "./a/", Mode: 0o2770},
		tar.Header{Typeflag: tar.TypeReg, Name: "./a/run", Mode: 0o770, Uname: "r"},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "./a/link", Linkname: "b/c.txt"})
	opsi := tarball(t, reg("./control", legacyStart), reg("./postinst", "#! /bin/bash\n"))
	for _, tt := range []struct {
		ending string
		press  func(testing.TB, []byte) []byte
	}{
		{".gz", gzipped}, {".zst", zstded}, {".zstd", zstded}, {"", func(_ testing.TB, b []byte) []byte { return b }},
	} {
		data := tarball(t, reg("CLIENT_DATA.tar"+tt.ending, string(tt.press(t, client))), reg("OPSI.tar"+tt.ending, string(tt.press(t, opsi))))
		got, p, m, err := unpack(t.Context(), data, archive.Limits{})
		if err != nil {
			t.Errorf("%q: %v", tt.ending, err)
			continue
		}
		want := map[string]string{"CLIENT_DATA/a": "d ", "CLIENT_DATA/a/b": "d ", "CLIENT_DATA/a/b/c.txt": "f c", "CLIENT_DATA/a/run": "x r", "CLIENT_DATA/a/link": "l b/c.txt"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.ending, diff)
		}
		if p.Manifest != nil || len(m.Entries) != 5 || p.Control.Product.ID != "tool" {
			t.Errorf("%q: package %+v, manifest %+v", tt.ending, p, m)
		}
		if e, _ := m.Find("a/b/c.txt"); e.Sum != sha256.Sum256([]byte("c")) {
			t.Errorf("%q: the sum of c.txt is %x", tt.ending, e.Sum)
		}
	}
}

func TestUnpack_Refuses(t *testing.T) {
	d := func(headers ...tar.Header) []byte { return withData(t, tarball(t, headers...)) }
	opsi := reg("OPSI.tar", string(tarball(t, reg("control.toml", tomlStart))))
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"climbing path", d(reg("a/../../b", "")), `".."`},
		{"absolute path", d(reg("/etc/passwd", "")), "absolute"},
		{"backslash", d(reg(`..\a`, "")), "backslash"},
		{"not UTF-8", d(reg("a\xff", "")), "UTF-8"},
		{"hard link to nothing", d(reg("a", ""), tar.Header{Typeflag: tar.TypeLink, Name: "b", Linkname: "c"}), "no file before it"},
		{"hard link to what comes later", d(tar.Header{Typeflag: tar.TypeLink, Name: "b", Linkname: "a"}, reg("a", "")), "no file before it"},
		{"hard link to a folder", d(reg("a/b", ""), tar.Header{Typeflag: tar.TypeLink, Name: "b", Linkname: "a"}), "no file before it"},
		{"hard link out", d(reg("a", ""), tar.Header{Typeflag: tar.TypeLink, Name: "b", Linkname: "../../etc/passwd"}), "no file before it"},
		{"climbing hard link", d(reg("a", ""), tar.Header{Typeflag: tar.TypeLink, Name: "../b", Linkname: "a"}), `".."`},
		{"hard link twice", d(reg("a", ""), tar.Header{Typeflag: tar.TypeLink, Name: "b", Linkname: "a"}, reg("b", "")), "twice"},
		{"pipe", d(tar.Header{Typeflag: tar.TypeFifo, Name: "a"}), "devices and pipes"},
		{"device", d(tar.Header{Typeflag: tar.TypeBlock, Name: "a"}), "devices and pipes"},
		{"absolute link", d(tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/etc"}), "absolute"},
		{"climbing link", d(tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "../x"}), "out of the tree"},
		{"through a link", d(tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "b"}, reg("a/c", "")), `"a" is a link`},
		{"below a file", d(reg("a", ""), reg("a/b", "")), `"a" is a file`},
		{"twice", d(reg("a", "1"), reg("a", "2")), "twice"},
		{"folder twice", d(tar.Header{Typeflag: tar.TypeDir, Name: "a/"}, tar.Header{Typeflag: tar.TypeDir, Name: "a/"}), "twice"},
		{"implied folder becomes a link", d(reg("a/b", ""), tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "c"}), "twice"},
		{"data behind the end", withData(t, append(tarball(t, reg("a", "")), bytes.Repeat([]byte("x"), 512)...)), "behind its end"},
		{"link in OPSI", tarball(t, reg("OPSI.tar", string(tarball(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "control", Linkname: "x"})))), "links are not allowed"},
		{"no control data", tarball(t, reg("OPSI.tar", string(tarball(t, reg("preinst", ""))))), "control.toml"},
		{"no OPSI", tarball(t, reg("CLIENT_DATA.tar", string(tarball(t)))), "no OPSI layer"},
		{"two OPSI", tarball(t, opsi, opsi), "second OPSI"},
		{"empty", nil, "cut off"},
		{"text", []byte(strings.Repeat("no archive\n", 100)), "not a package"},
		{"torn cpio", []byte("070701" + strings.Repeat("0", 2000)), "damaged or not a package"},
		{"inner cpio that is none", tarball(t, reg("OPSI.cpio", "x")), "cut off"},
		{"wrong bzip2", tarball(t, reg("OPSI.tar.bz2", "no bzip2 at all")), "damaged"},
		{"compressed as a whole", gzipped(t, tarball(t, opsi)), "compressed as a whole (gzip)"},
		{"second custom layer of one name", tarball(t, opsi, reg("CLIENT_DATA.mine.tar", string(tarball(t))), reg("CLIENT_DATA.mine.tar", string(tarball(t)))), "second CLIENT_DATA.mine"},
		{"folder over a file", tarball(t, opsi, reg("CLIENT_DATA.tar", string(tarball(t, reg("a", "")))), reg("CLIENT_DATA.x.tar", string(tarball(t, reg("a/b", ""))))), "a folder in a custom layer"},
		{"file over a folder", tarball(t, opsi, reg("CLIENT_DATA.tar", string(tarball(t, reg("a/b", "")))), reg("CLIENT_DATA.x.tar", string(tarball(t, reg("a", ""))))), "a file in a custom layer"},
		{"through a link of the base", tarball(t, opsi, reg("CLIENT_DATA.tar", string(tarball(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "b"}))), reg("CLIENT_DATA.x.tar", string(tarball(t, reg("a/c", ""))))), "a folder in a custom layer"},
		{"data behind the package", append(tarball(t, opsi), bytes.Repeat([]byte("x"), 512)...), "behind its end"},
		{"layer named like a path", tarball(t, opsi, reg("CLIENT_DATA.../../x.tar", "x")), "not a layer"},
		{"unknown compression", tarball(t, reg("OPSI.tar.rar", "x")), `unknown compression "rar"`},
		{"unknown member", tarball(t, opsi, reg("virus.exe", "x")), "not a layer"},
		{"member is a link", tarball(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "OPSI.tar", Linkname: "x"}), "not a regular file"},
		{"wrong compression", tarball(t, reg("OPSI.tar.zstd", "no zstd at all")), "damaged"},
		{"wrong gzip", tarball(t, reg("OPSI.tar.gz", "no gzip at all")), "damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, _, err := unpack(t.Context(), tt.data, archive.Limits{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestUnpack_Limits(t *testing.T) {
	// Headers that never end: each extended header is legal, together they are
	// 8 MiB out of a few hundred bytes.
	var endless bytes.Buffer
	record := tarball(t, tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("n", 200), Format: tar.FormatPAX})[:1024]
	for range 8 << 10 {
		endless.Write(record)
	}
	zeros := strings.Repeat("\x00", 1<<20)
	bomb := tarball(t, reg("OPSI.tar.zstd", string(zstded(t, tarball(t, reg("control.toml", tomlStart))))),
		reg("CLIENT_DATA.tar.zstd", string(zstded(t, tarball(t, reg("a", zeros), reg("b", zeros))))))
	tests := []struct {
		name   string
		data   []byte
		limits archive.Limits
	}{
		{"entries", withData(t, tarball(t, reg("a", ""), reg("b", ""), reg("c", ""))), archive.Limits{Entries: 2}},
		{"folders without entries of their own", withData(t, tarball(t, reg("a/b/c/d", ""))), archive.Limits{Entries: 3}},
		{"content", bomb, archive.Limits{Bytes: 2<<20 - 1}},
		{"control data", withData(t, nil), archive.Limits{ControlBytes: int64(len(tomlStart)) - 1}},
		{"headers", tarball(t, reg("OPSI.tar.zstd", string(zstded(t, endless.Bytes())))), archive.Limits{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, _, err := unpack(t.Context(), tt.data, tt.limits)
			if fleet.CodeOf(err) != fleet.TooLarge {
				t.Errorf("error %v, want one with the code %s", err, fleet.TooLarge)
			}
		})
	}
	if _, _, _, err := unpack(t.Context(), bomb, archive.Limits{Bytes: 2 << 20, Entries: 2}); err != nil {
		t.Errorf("exactly the limit: %v", err)
	}
}

func TestUnpack_ManifestDisagrees(t *testing.T) {
	m, err := manifest.New([]manifest.Entry{
		{Path: "a", Type: manifest.File, Size: 1, Sum: sha256.Sum256([]byte("1"))},
		{Path: "b", Type: manifest.File, Size: 1, Sum: sha256.Sum256([]byte("2"))},
	})
	if err != nil {
		t.Fatal(err)
	}
	opsi := reg("OPSI.tar", string(tarball(t, reg("control.toml", tomlStart), reg("manifest", string(m.Text())))))
	for _, tt := range []struct {
		name   string
		client []tar.Header
		want   string
	}{
		{"equal", []tar.Header{reg("b", "2"), reg("a", "1")}, ""},
		{"changed", []tar.Header{reg("a", "1"), reg("b", "3")}, `"b" is not as its manifest says`},
		{"missing", []tar.Header{reg("b", "2")}, `its manifest lists "a"`},
		{"more", []tar.Header{reg("a", "1"), reg("a2", ""), reg("b", "2")}, `"a2" is not in its manifest`},
		{"executable", []tar.Header{reg("a", "1"), {Typeflag: tar.TypeReg, Name: "b", Mode: 0o755, Uname: "2"}}, `"b" is not as`},
	} {
		_, _, _, err := unpack(t.Context(), tarball(t, opsi, reg("CLIENT_DATA.tar", string(tarball(t, tt.client...)))), archive.Limits{})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, _, _, err := unpack(t.Context(), tarball(t, opsi), archive.Limits{}); err == nil {
		t.Error("a package without its CLIENT_DATA was taken")
	}
}

// small is a package of our own for tests that try every byte.
func small(t testing.TB) []byte {
	data, _ := build(t, fstest.MapFS{
		"OPSI/control.toml": control(), "CLIENT_DATA/a b": {Data: []byte("hello")}, "CLIENT_DATA/d/run": {Data: []byte("#!/bin/sh\n"), Mode: 0o755},
	})
	return data
}

func TestUnpack_CutOff(t *testing.T) {
	data := small(t)
	for n := range len(data) {
		if _, _, _, err := unpack(t.Context(), data[:n], archive.Limits{}); err == nil {
			t.Fatalf("a package cut to %d of %d bytes was taken", n, len(data))
		}
	}
}

// A flipped bit is an error or changes nothing (padding, times in headers).
func TestUnpack_FlippedBits(t *testing.T) {
	data := small(t)
	want, _, m, err := unpack(t.Context(), data, archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1 << rand.IntN(8)
		got, _, gotM, err := unpack(t.Context(), bad, archive.Limits{})
		if err != nil {
			refused++
			continue
		}
		if !cmp.Equal(want, got) || m.Digest() != gotM.Digest() {
			t.Fatalf("byte %d flipped: another tree was taken", i)
		}
	}
	if refused == 0 {
		t.Error("no flip was noticed")
	}
}

func TestUnpack_HandlerStops(t *testing.T) {
	p, err := archive.Open(bytes.NewReader(small(t)), int64(len(small(t))), archive.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("disk is full")
	if _, err := p.Unpack(t.Context(), func(archive.Layer, manifest.Entry, io.Reader) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v, want the handler's", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Unpack(ctx, func(archive.Layer, manifest.Entry, io.Reader) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	// Content that the handler leaves is skipped, and still checked.
	if _, err := p.Unpack(t.Context(), func(archive.Layer, manifest.Entry, io.Reader) error { return nil }); err != nil {
		t.Error(err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(small(f))
	f.Add(withData(f, tarball(f, reg("a/b", "c"), tar.Header{Typeflag: tar.TypeSymlink, Name: "a/l", Linkname: "b"})))
	f.Add(tarball(f, reg("OPSI.tar.gz", string(gzipped(f, tarball(f, reg("control", legacyStart)))))))
	f.Add(tarball(f, reg("OPSI.tar.zst", string(zstded(f, tarball(f, reg("control", legacyStart))))),
		reg("CLIENT_DATA.x.tar", string(tarball(f, reg("a", "1")))),
		reg("CLIENT_DATA.tar", string(tarball(f, reg("a", ""), tar.Header{Typeflag: tar.TypeLink, Name: "b", Linkname: "a"})))))
	for _, seed := range cpioSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		limits := archive.Limits{Entries: 100, Bytes: 1 << 20, ControlBytes: 1 << 20}
		got, p, m, err := unpack(t.Context(), data, limits)
		if err != nil {
			return
		}
		if m.Size() > limits.Bytes || len(got) > limits.Entries {
			t.Fatalf("%d bytes in %d entries came out", m.Size(), len(got))
		}
		if _, err := manifest.New(m.Entries); err != nil {
			t.Fatal(err)
		}
		if p.Manifest != nil && p.Manifest.Digest() != m.Digest() {
			t.Fatal("the content is not what the manifest says")
		}
	})
}

// cpioSeeds are packages of `cpio -o`, each form with a control file in a layer
// of its own form.
var cpioSeeds = func() []string {
	ascii := func(name, content string) string {
		s := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00", 7, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
		s += strings.Repeat("\x00", -len(s)&3) + content
		return s + strings.Repeat("\x00", -len(content)&3)
	}
	old := func(name, content string) string {
		return fmt.Sprintf("070707%06o%06o%06o%06o%06o%06o%06o%011o%06o%011o%s\x00%s", 1, 7, 0o100644, 0, 0, 1, 0, 0, len(name)+1, len(content), name, content)
	}
	binaries := func(order binary.AppendByteOrder) func(name, content string) string {
		return func(name, content string) string {
			var b []byte
			for _, n := range []int{0o070707, 1, 7, 0o100644, 0, 0, 1, 0, 0, 0, len(name) + 1, len(content) >> 16, len(content) & 0xffff} {
				b = order.AppendUint16(b, uint16(n))
			}
			s := string(b) + name + "\x00"
			s += strings.Repeat("\x00", len(s)&1) + content
			return s + strings.Repeat("\x00", len(content)&1)
		}
	}
	var seeds []string
	for _, form := range []func(name, content string) string{ascii, old, binaries(binary.LittleEndian), binaries(binary.BigEndian)} {
		opsi := form("control", legacyStart) + form("TRAILER!!!", "")
		client := form("./a", "x") + form("b/c", "yy") + form("TRAILER!!!", "")
		seeds = append(seeds, form("OPSI.cpio", opsi)+form("CLIENT_DATA.cpio", client)+form("TRAILER!!!", ""))
	}
	return seeds
}()

// The spellings as their manuals have them, byte by byte, and cut at each byte.
func TestUnpack_CPIOByHand(t *testing.T) {
	for i, seed := range cpioSeeds {
		got, _, _, err := unpack(t.Context(), []byte(seed), archive.Limits{})
		want := map[string]string{"CLIENT_DATA/a": "f x", "CLIENT_DATA/b": "d ", "CLIENT_DATA/b/c": "f yy"}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("form %d: %v\n%s", i, err, diff)
		}
		for n := range len(seed) - 1 {
			if _, _, _, err := unpack(t.Context(), []byte(seed[:n]), archive.Limits{}); err == nil {
				t.Fatalf("form %d, cut to %d of %d bytes, was taken", i, n, len(seed))
			}
		}
	}
}
