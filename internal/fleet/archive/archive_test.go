package archive_test

import (
	"testing"

	"github.com/fernwerk/fernwerk/internal/fleet/archive"
)

func TestParseName(t *testing.T) {
	n, err := archive.ParseName("dfn_openvpn_2.4.8-4.opsi")
	if want := (archive.Name{ProductID: "dfn_openvpn", ProductVersion: "2.4.8", PackageVersion: "4"}); err != nil || n != want {
		t.Errorf("got %+v, %v", n, err)
	}
	n, err = archive.ParseName("x_1-1~site.a.opsi")
	if want := (archive.Name{ProductID: "x", ProductVersion: "1", PackageVersion: "1", Custom: "site.a"}); err != nil || n != want || n.String() != "x_1-1~site.a.opsi" {
		t.Errorf("got %+v, %v", n, err)
	}
	for _, bad := range []string{"", "x.opsi", "x_1.opsi", "x_1-.opsi", "X_1-1.opsi", "x_1-1~.opsi", "x_1-1~a~b.opsi", "x_1-1~../a.opsi", "x_1-1.tar", "../x_1-1.opsi", "x_1-1.opsi\n"} {
		if n, err := archive.ParseName(bad); err == nil {
			t.Errorf("ParseName(%q) = %+v", bad, n)
		}
	}
}

const (
	legacyStart = "[Package]\nversion: 1\n[Product]\ntype: localboot\nid: tool\nversion: 1.0\n"
	tomlStart   = "[Package]\nversion = \"1\"\n[Product]\ntype = \"LocalbootProduct\"\nid = \"tool\"\nversion = \"1.0\"\n"
)
