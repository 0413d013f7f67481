package shell

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// eachInput calls do with each file named, or with the input for none or "-".
func eachInput(ctx context.Context, files []string, std IO, do func(name string, r io.Reader) error) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, name := range files {
		if name == "-" {
			if err := do(name, cancelable{ctx, std.Stdin}); err != nil {
				return err
			}
			continue
		}
		f, err := os.Open(std.Path(name))
		if err != nil {
			return err
		}
		err = do(name, cancelable{ctx, f})
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// cancelable ends a reader with its context.
type cancelable struct {
	ctx context.Context
	r   io.Reader
}

func (c cancelable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// cat [file...]
func cat(ctx context.Context, args []string, std IO) error {
	_, files, err := operands(args, "", 0)
	if err != nil {
		return err
	}
	return eachInput(ctx, files, std, func(_ string, r io.Reader) error {
		_, err := io.Copy(std.Stdout, r)
		return err
	})
}

// sha256sum [file...]: hash, two blanks, name.
func sha256sum(ctx context.Context, args []string, std IO) error {
	_, files, err := operands(args, "", 0)
	if err != nil {
		return err
	}
	return eachInput(ctx, files, std, func(name string, r io.Reader) error {
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			return err
		}
		_, err := fmt.Fprintf(std.Stdout, "%x  %s\n", h.Sum(nil), name)
		return err
	})
}

// lineCount reads the options of head and tail.
func lineCount(args []string) (int, []string, error) {
	// The old form, -5.
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && args[0][1] >= '0' && args[0][1] <= '9' {
		args = append([]string{"-n", args[0][1:]}, args[1:]...)
	}
	opts, files, err := split(args, "n:")
	if err != nil {
		return 0, nil, err
	}
	n := 10
	if text, ok := opts['n']; ok {
		if n, err = strconv.Atoi(text); err != nil || n < 0 || text[0] == '+' {
			return 0, nil, usageError(fmt.Sprintf("-n takes a number of lines, not %q", text))
		}
	}
	return n, files, nil
}

// head [-n lines] [file...]
func head(ctx context.Context, args []string, std IO) error {
	n, files, err := lineCount(args)
	if err != nil {
		return err
	}
	return eachInput(ctx, files, std, func(_ string, r io.Reader) error {
		lines := bufio.NewReader(r)
		for range n {
			line, err := lines.ReadBytes('\n')
			if _, werr := std.Stdout.Write(line); werr != nil {
				return werr
			}
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// tail [-n lines] [file...]
func tail(ctx context.Context, args []string, std IO) error {
	n, files, err := lineCount(args)
	if err != nil {
		return err
	}
	return eachInput(ctx, files, std, func(_ string, r io.Reader) error {
		var last [][]byte
		lines := bufio.NewReader(r)
		for {
			line, err := lines.ReadBytes('\n')
			if len(line) > 0 {
				last = append(last, line)
				if len(last) > n {
					last = last[1:]
				}
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
		for _, line := range last {
			if _, err := std.Stdout.Write(line); err != nil {
				return err
			}
		}
		return nil
	})
}

// basename path [suffix]
func basename(_ context.Context, args []string, std IO) error {
	_, names, err := operands(args, "", 1)
	if err != nil {
		return err
	}
	base := path.Base(filepath.ToSlash(names[0]))
	if len(names) > 1 && base != names[1] {
		base = strings.TrimSuffix(base, names[1])
	}
	_, err = fmt.Fprintln(std.Stdout, base)
	return err
}

// dirname path
func dirname(_ context.Context, args []string, std IO) error {
	_, names, err := operands(args, "", 1)
	if err != nil {
		return err
	}
	name := strings.TrimRight(filepath.ToSlash(names[0]), "/")
	if name == "" && names[0] != "" {
		name = "/"
	}
	_, err = fmt.Fprintln(std.Stdout, path.Dir(name))
	return err
}

// sleep seconds: a fraction, or a number with s, m or h.
func sleep(ctx context.Context, args []string, _ IO) error {
	if len(args) != 1 {
		return usageError("takes one duration")
	}
	number, unit := args[0], time.Second
	switch {
	case strings.HasSuffix(number, "s"):
		number = strings.TrimSuffix(number, "s")
	case strings.HasSuffix(number, "m"):
		number, unit = strings.TrimSuffix(number, "m"), time.Minute
	case strings.HasSuffix(number, "h"):
		number, unit = strings.TrimSuffix(number, "h"), time.Hour
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n < 0 || math.IsNaN(n) || n*float64(unit) > math.MaxInt64/2 {
		return usageError(fmt.Sprintf("cannot read duration %q", args[0]))
	}
	timer := time.NewTimer(time.Duration(n * float64(unit)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
