package nodefile

import (
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// maxKeyFile is the most bytes of a file with a public key.
const maxKeyFile = 16 << 10

// hostKeys are the public keys of this machine's SSH server, without comments, one
// of each kind. What is no such key is left out.
func (s *Service) hostKeys() (keys []string) {
	files, err := filepath.Glob(filepath.Join(s.Root, "etc/ssh/ssh_host_*_key.pub"))
	if err != nil {
		return nil // a fault of the pattern only
	}
	var kinds []string
	for _, path := range files {
		line, err := readKey(path)
		if err != nil {
			continue
		}
		k, err := nodefile.ParseHostKey(line)
		if err == nil && !slices.Contains(kinds, k.Kind) && len(keys) < nodefile.MaxHostKeys {
			keys, kinds = append(keys, k.String()), append(kinds, k.Kind)
		}
	}
	slices.Sort(keys)
	return keys
}

func readKey(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	return string(data), err
}
