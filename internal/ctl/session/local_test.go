package session

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestLocalSocket(t *testing.T) {
	data := t.TempDir()
	env := map[string]string{"XDG_DATA_HOME": data, "HOME": "/nowhere"}
	getenv := func(name string) string { return env[name] }
	folder := filepath.Join(data, "fernwerk")
	path := filepath.Join(folder, socketName)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := localSocket(1000, getenv); got != "" {
		t.Errorf("a plain file is the socket %s", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := localSocket(1000, getenv); got != "unix://"+path {
		t.Errorf("found %q", got)
	}
	if got := localSocket(0, getenv); got == "unix://"+path {
		t.Error("root was led elsewhere by the environment")
	}
}
