package depot

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// entry is one of a tar written by hand, as no builder of ours would.
type entry struct {
	name, text string
	link       bool
}

func tarOf(t testing.TB, entries ...entry) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Mode: 0o644, Size: int64(len(e.text))}
		if e.link {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, e.text, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if !e.link {
			if _, err := io.WriteString(w, e.text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// raw is a package of two uncompressed layers.
func raw(t testing.TB, opsi, data []entry) []byte {
	return []byte(tarOf(t, entry{name: "OPSI.tar", text: tarOf(t, opsi...)}, entry{name: "CLIENT_DATA.tar", text: tarOf(t, data...)}))
}

// As opsi-makepackage leaves them: no manifest, no entries for folders.
func TestInstall_OpsiPackage(t *testing.T) {
	p := newPlace(t)
	data := raw(t, []entry{{name: "control", text: fmt.Sprintf(controlText, "1.0", "1", "")}}, []entry{{name: "./a/b/c", text: "x"}})
	r, err := p.Install(t.Context(), tester, "editor_1.0-1.opsi", bytes.NewReader(data), -1, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Files != 1 || r.Differing != 0 {
		t.Errorf("%+v", r)
	}
}

// Whatever is wrong, the error says what and what to do, and nothing changes.
func TestInstall_Refuses(t *testing.T) {
	const good = "editor_2.0-1.opsi"
	ctl := []entry{{name: "control", text: fmt.Sprintf(controlText, "2.0", "1", "")}}
	whole := func(more pkg) func(testing.TB) []byte {
		return func(t testing.TB) []byte { return editor("2.0-1", more).build(t) }
	}
	wrongSum := "fernwerk manifest 1\nf 1 " + strings.Repeat("ab", 32) + " \"a\"\n"
	for _, test := range []struct {
		name, file string
		data       func(t testing.TB) []byte
		code       fleet.Code
		says       string
	}{
		{"not a package", good, func(testing.TB) []byte { return []byte("hello") }, fleet.Invalid, "cannot open the package"},
		{"empty", good, func(testing.TB) []byte { return nil }, fleet.Invalid, "cannot open the package"},
		{"cut off", good, func(t testing.TB) []byte { d := whole(nil)(t); return d[:len(d)/2] }, fleet.Invalid, "cut off"},
		{"damaged", good, func(t testing.TB) []byte {
			d := bytes.Clone(whole(nil)(t))
			d[bytes.Index(d, []byte("CLIENT_DATA"))+600] ^= 0xff
			return d
		}, fleet.Invalid, "CLIENT_DATA"},
		{"climbs out", good, func(t testing.TB) []byte { return raw(t, ctl, []entry{{name: "../evil", text: "x"}}) }, fleet.Invalid, `".."`},
		{"absolute", good, func(t testing.TB) []byte { return raw(t, ctl, []entry{{name: "/evil", text: "x"}}) }, fleet.Invalid, "absolute"},
		{"link leads out", good, func(t testing.TB) []byte {
			return raw(t, ctl, []entry{{name: "l", text: "../../x", link: true}})
		}, fleet.Invalid, "out of the tree"},
		{"writes through a link", good, func(t testing.TB) []byte {
			return raw(t, ctl, []entry{{name: "l", text: "sub", link: true}, {name: "l/x", text: "x"}})
		}, fleet.Invalid, "not a folder"},
		{"wrong hash", good, func(t testing.TB) []byte {
			return raw(t, append(ctl, entry{name: "manifest", text: wrongSum}), []entry{{name: "a", text: "x"}})
		}, fleet.Invalid, `"a" is not as its manifest says`},
		{"no control", good, func(t testing.TB) []byte {
			return raw(t, []entry{{name: "postinst", text: "#!/bin/sh"}}, nil)
		}, fleet.Invalid, "control"},
		{"control with a fault", good, func(t testing.TB) []byte {
			return raw(t, []entry{{name: "control", text: strings.Replace(ctl[0].text, "setupScript", "setupScirpt", 1)}}, nil)
		}, fleet.Invalid, `did you mean "setupScript"`},
		{"other product", "viewer_2.0-1.opsi", whole(nil), fleet.Invalid, "the package in it is editor_2.0-1.opsi"},
		{"other version", "editor_2.1-1.opsi", whole(nil), fleet.Invalid, "the package in it is editor_2.0-1.opsi"},
		{"no file name of a package", "editor.zip", whole(nil), fleet.Invalid, "as the name of a package"},
		{"path as file name", "../editor_2.0-1.opsi", whole(nil), fleet.Invalid, "as the name of a package"},
		{"preinst fails", good, whole(pkg{"OPSI/preinst": "#!/bin/sh\nrm -r \"$CLIENT_DATA_DIR\"/*; echo no licence; exit 7\n"}), fleet.Invalid, "preinst failed: exit code 7: no licence"},
		{"postinst fails", good, whole(pkg{"OPSI/postinst": "#!/bin/sh\nrm -r \"$CLIENT_DATA_DIR\"; exit 1\n"}), fleet.Invalid, "postinst failed: exit code 1"},
		{"postinst removes the tree", good, whole(pkg{"OPSI/postinst": "#!/bin/sh\nrm -r \"$CLIENT_DATA_DIR\"\n"}), fleet.Invalid, "no such file"},
		{"postinst makes a link that leads out", good, whole(pkg{"OPSI/postinst": "#!/bin/sh\nln -s /etc \"$CLIENT_DATA_DIR/etc\"\n"}), fleet.Invalid, "its target is absolute"},
		{"postinst makes a pipe", good, whole(pkg{"OPSI/postinst": "#!/bin/sh\nmkfifo \"$CLIENT_DATA_DIR/p\"\n"}), fleet.Invalid, "neither folder, file nor link"},
		{"script is no program", good, whole(pkg{"OPSI/postinst": "just text\n"}), fleet.Invalid, "postinst failed"},
		{"files for the server", good, whole(pkg{"SERVER_DATA/etc/x": "x"}), fleet.NotHere, "SERVER_DATA"},
		{"needs another package", good, whole(pkg{"OPSI/control": fmt.Sprintf(controlText, "2.0", "1", "runtime (>= 1.2-3)")}), fleet.Conflict, "needs the package runtime (>= 1.2-3)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			p.install(t, "1.0-1", nil)
			before := p.state(t)
			data := test.data(t)
			r, err := p.Install(t.Context(), tester, test.file, bytes.NewReader(data), int64(len(data)), Options{})
			if fleet.CodeOf(err) != test.code || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Errorf("%+v, error with code %q: %v", r, fleet.CodeOf(err), err)
			}
			if err != nil && fleet.HintOf(err) == "" && !strings.Contains(err.Error(), "want <product id>") {
				t.Errorf("no hint with: %v", err)
			}
			if diff := cmp.Diff(before, p.state(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestInstall_SenderGone(t *testing.T) {
	p := newPlace(t)
	before := p.state(t)
	data := editor("1.0-1", nil).build(t)
	body := io.MultiReader(bytes.NewReader(data[:len(data)-10]), iotest.ErrReader(errors.New("connection reset")))
	_, err := p.Install(t.Context(), tester, "editor_1.0-1.opsi", body, int64(len(data)), Options{})
	if fleet.CodeOf(err) != fleet.Invalid || !strings.Contains(err.Error(), "connection reset") {
		t.Errorf("%v", err)
	}
	if diff := cmp.Diff(before, p.state(t)); diff != "" {
		t.Error(diff)
	}
}

// A disk that has no room is noticed before the upload, and in the middle of it
// before it is full.
func TestInstall_NoRoom(t *testing.T) {
	p := newPlace(t)
	p.install(t, "1.0-1", nil)
	before := p.state(t)
	data := editor("2.0-1", pkg{"CLIENT_DATA/big": strings.Repeat("0123456789abcdef", 4<<20)}).build(t) // 64 MiB, packs well
	left := 0
	p.free = func(string) (uint64, error) {
		if left--; left < 0 {
			return reserve - 1, nil
		}
		return 1 << 40, nil
	}
	for left0 := range 4 {
		left = left0
		_, err := p.Install(t.Context(), tester, "editor_2.0-1.opsi", bytes.NewReader(data), int64(len(data)), Options{})
		if fleet.CodeOf(err) != fleet.Unavailable || !errors.Is(err, ErrFull) || fleet.HintOf(err) == "" {
			t.Errorf("full after %d questions: %v", left0, err)
		}
		if diff := cmp.Diff(before, p.state(t)); diff != "" {
			t.Error(diff)
		}
	}
}
