package updates

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fernwerk/fernwerk/internal/ctl/tool"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

func (t command) lintCommand() *cobra.Command {
	return &cobra.Command{
		Use: "lint FILE...", Args: tool.Args,
		Short: "Check updates before they are signed",
		RunE:  func(_ *cobra.Command, given []string) error { return t.lint(given) },
	}
}

func (t command) lint(paths []string) error {
	var rows []fleet.Row
	var good []update.Header
	failed := 0
	for _, path := range paths {
		f, _, err := read(path)
		row := fleet.Row{"file": path, "number": "", "id": "", "problem": ""}
		if err != nil {
			failed++
			row["problem"] = err.Error()
		} else {
			row["number"], row["id"] = update.Name(f.Number), f.ID
			good = append(good, f.Header)
		}
		rows = append(rows, row)
	}
	if err := together(good); err != nil {
		failed++
		rows = append(rows, fleet.Row{"file": "all of them", "number": "", "id": "", "problem": err.Error()})
	}
	for i := range rows { // one line a row
		rows[i]["problem"] = strings.ReplaceAll(rows[i].Str("problem"), "\n", "; ")
	}
	if err := t.List(rows, "nothing", "file", "number", "id", "problem"); err != nil {
		return err
	}
	if failed > 0 {
		return fleet.Errorf(fleet.Invalid, "%d of %d updates cannot be used so", failed, len(paths))
	}
	return nil
}

// together checks those that are there: what one comes after may be elsewhere.
func together(list []update.Header) error {
	there := map[int]bool{}
	for _, h := range list {
		there[h.Number] = true
	}
	for i := range list {
		list[i].After = slices.DeleteFunc(slices.Clone(list[i].After), func(n int) bool { return !there[n] })
	}
	return update.Check(list)
}

// read reads a file of at most the size of an update.
func read(path string) (*update.File, []byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read update: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, update.MaxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read update %s: %w", path, err)
	}
	u, err := update.Parse(data)
	return u, data, err
}
