package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestScheduler(t *testing.T) {
	for text, want := range map[string]string{
		"[scheduler]\nuse = [\"oar\", \"slurm\"]\n[scheduler.oar]\nbin = \"/usr/sbin\"\nprefix = [\"sudo\", \"-n\"]\nlimit = 30\n": "",
		"[scheduler]\nuse = [\"exec\"]\n[scheduler.exec]\nprogram = [\"/usr/local/sbin/nodes\", \"--cluster\", \"a\"]\n":           "",
		"[scheduler]\nuse = [\"condor\"]\n":                                  "not oar, slurm or exec",
		"[scheduler]\nuse = [\"oar\", \"oar\"]\n":                            "twice",
		"[scheduler]\nuse = [\"exec\"]\n":                                    "absolute path",
		"[scheduler]\nuse = [\"exec\"]\n[scheduler.exec]\nprogram = [\"x\"]": "absolute path",
		"[scheduler.exec]\nprogram = [\"/x\"]\n":                             "not in use",
		"[scheduler.oar]\nbin = \"sbin\"\n":                                  "absolute path",
		"[scheduler.slurm]\nlimit = 51\n":                                    "up to 50",
		"[scheduler.slurm]\nprefix = [\"\"]\n":                               "first word",
		"[scheduler.slurm]\nprefx = [\"\"]\n":                                "prefix",
	} {
		file := filepath.Join(t.TempDir(), "fernwerkd.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := Load(file, &Config{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
