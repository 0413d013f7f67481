package opsi_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fernwerk/fernwerk/test/lab"
	"github.com/fernwerk/fernwerk/test/require"
)

// TestPeer runs the checks of peer.py against a real server, each as a subtest.
func TestPeer(t *testing.T) {
	python := require.Python(t, "requests", "msgpack", "lz4.frame")
	l := lab.New(t)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write([]byte("packed"))
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	l.Package("tool", "1", lab.Setup("true"), lab.Property("greeting", "hello"),
		lab.Files(map[string]string{"sub dir/größe #1%.txt": "contents of it", "data.gz": packed.String()}))
	const (
		host, key = "peer.example.org", "0123456789abcdef0123456789abcdef"
		mac, uuid = "00:11:22:33:44:55", "01234567-89ab-cdef-0123-456789abcdef"
		other     = "fresh.example.org"
	)
	l.Call("host_createObjects", []any{
		map[string]any{"type": "OpsiClient", "id": host, "opsiHostKey": key, "hardwareAddress": mac, "systemUUID": uuid},
		map[string]any{"type": "OpsiClient", "id": other, "oneTimePassword": "only-once", "notes": "secret"},
	})
	l.Call("productOnClient_createObjects", map[string]any{"type": "ProductOnClient", "productId": "tool", "productType": "LocalbootProduct", "clientId": host, "actionRequest": "setup"})

	c := exec.CommandContext(t.Context(), python, "peer.py")
	c.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PEER_URL="+l.Server.URL(), "PEER_CA="+filepath.Join(l.Server.Dir, "ca", "ca.pem"),
		"PEER_HOST="+host, "PEER_KEY="+key, "PEER_OTP_HOST="+other, "PEER_OTP=only-once", "PEER_MAC="+mac, "PEER_UUID="+uuid,
		"PEER_PASSWORD="+lab.Password, "PEER_DEPOT="+l.Server.ID)
	var problems bytes.Buffer
	c.Stderr = &problems
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &problems)
	}
	checks := 0
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); checks++ {
		var line struct{ Check, Error string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		t.Run(line.Check, func(t *testing.T) {
			if line.Error != "" {
				t.Error(line.Error)
			}
		})
	}
	if checks == 0 {
		t.Error("no check has run")
	}
}
