package term

import (
	"io"
	"strings"
	"text/tabwriter"
)

// Table writes rows under a header, columns parted by two blanks and without
// lines, so that it can be read, copied and cut by awk. Every cell passes
// [Clean]. No rows write nothing. Columns are as wide as their text has
// characters: scripts with wide characters do not line up.
func Table(w io.Writer, header []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, cells := range append([][]string{header}, rows...) {
		for i, cell := range cells {
			if i > 0 {
				io.WriteString(t, "\t")
			}
			io.WriteString(t, Clean(cell))
		}
		io.WriteString(t, "\n")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := io.WriteString(w, strings.TrimRight(line, " \n")+"\n"); err != nil {
			return err
		}
	}
	return nil
}
