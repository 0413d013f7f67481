package oar_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/test/require"
)

// A job runs on a node of a server, and two servers know nothing of each other.
func TestServer(t *testing.T) {
	begun := time.Now()
	s := require.OAR(t)
	t.Logf("started in %v", time.Since(begun))
	if err := s.Node("vnode-7-38.grid.test", netip.MustParseAddr("10.134.7.38")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run("oarnodesetting", "-a", "-h", "vnode-7-38.grid.test"); err != nil {
		t.Fatal(err)
	}
	other := require.OAR(t)
	if out, err := other.Run("oarnodes", "-l"); err != nil || strings.Contains(out, "vnode") {
		t.Errorf("the other server knows the node: %v %s", err, out)
	}
	job, err := s.Submit("-l", "/resource_id=1,walltime=0:01:00", "cat $OAR_NODEFILE")
	if err != nil {
		t.Fatal(err)
	}
	require.Until(t, "the job has ended", func() bool {
		out, err := s.Run("oarstat", "-s", "-j", job)
		if strings.Contains(out, "Error") {
			t.Fatal(out, err)
		}
		return strings.Contains(out, "Terminated")
	})
	if out, err := os.ReadFile(filepath.Join(s.Dir, "job", "OAR."+job+".stdout")); err != nil || string(out) != "vnode-7-38.grid.test\n" {
		t.Errorf("the job printed %q, %v", out, err)
	}
	if err := s.StopAlmighty(); err != nil {
		t.Error(err)
	}
	if err := s.StartAlmighty(); err != nil {
		t.Error(err)
	}
}
