package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

var errCut = errors.New("it is cut off")

// maxMembers bounds the layers, custom ones included.
const maxMembers = 100

// index finds the layers in the outer archive.
func (p *Package) index(size int64) error {
	head := make([]byte, 6)
	n, err := p.r.ReadAt(head, 0)
	if head = head[:n]; err != nil && err != io.EOF {
		return err
	}
	p.layers = map[Layer][]member{}
	in := io.NewSectionReader(p.r, 0, size)
	switch {
	case isCPIO(head):
		err = p.indexCPIO(in, size)
	case compressed(head) != "":
		return fleet.WithHint(fmt.Errorf("it is compressed as a whole (%s)", compressed(head)), "unpack it once and use what comes out")
	default:
		err = p.indexTar(in, size)
	}
	if err != nil {
		return err
	}
	for layer, members := range p.layers {
		slices.SortStableFunc(members, func(a, b member) int { // the base first
			switch {
			case a.custom == "" && b.custom != "":
				return -1
			case a.custom != "" && b.custom == "":
				return 1
			}
			return 0
		})
		p.layers[layer] = members
	}
	rest := allowance{r: in}
	if err := rest.end(); err != nil {
		return outerError(err)
	}
	return nil
}

// compressed names the compression of a file by its first bytes.
func compressed(head []byte) string {
	for magic, name := range map[string]string{"\x1f\x8b": "gzip", "BZh": "bzip2", "\x28\xb5\x2f\xfd": "zstd", "\xfd7zXZ\x00": "xz", "PK\x03\x04": "zip"} {
		if len(head) >= len(magic) && string(head[:len(magic)]) == magic {
			return name
		}
	}
	return ""
}

// indexTar relies on tar's reader taking whole blocks: the section's position
// after a header is where the content starts.
func (p *Package) indexTar(in *io.SectionReader, size int64) error {
	last := int64(0)
	for {
		outer := tar.NewReader(&allowance{r: in, left: 1 << 20})
		h, err := outer.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return outerError(err)
		}
		if err := p.add(h, position(in), size); err != nil {
			return err
		}
		if last, err = in.Seek(h.Size+(-h.Size&511), io.SeekCurrent); err != nil {
			return err
		}
	}
	if position(in) < last+1024 {
		return fmt.Errorf("its end mark is missing: %w", errCut)
	}
	return nil
}

func (p *Package) indexCPIO(in *io.SectionReader, size int64) error {
	room := &allowance{r: in}
	outer := newCPIO(room)
	for {
		room.left = headerRoom
		h, err := outer.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return outerError(err)
		}
		if h == nil {
			continue
		}
		if err := p.add(h, position(in), size); err != nil {
			return err
		}
		if _, err := in.Seek(h.Size, io.SeekCurrent); err != nil {
			return err
		}
		outer.passed()
	}
}

func position(in *io.SectionReader) int64 {
	n, _ := in.Seek(0, io.SeekCurrent) // counts, and cannot fail
	return n
}

// add notes a layer whose bytes are at start.
func (p *Package) add(h *tar.Header, start, size int64) error {
	m, err := parseMember(h.Name)
	if err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return fmt.Errorf("%s is not a regular file", h.Name)
	}
	count := 0
	for layer, members := range p.layers {
		count += len(members)
		if layer == m.layer && slices.ContainsFunc(members, func(o member) bool { return o.custom == m.custom }) {
			return fmt.Errorf("there is a second %s layer", m.title())
		}
	}
	if count == maxMembers {
		return fleet.Errorf(fleet.TooLarge, "it has more than %d layers", maxMembers)
	}
	if m.start, m.size = start, h.Size; m.size > size-m.start {
		return fmt.Errorf("%s: %w", h.Name, errCut)
	}
	p.layers[m.layer] = append(p.layers[m.layer], m)
	if m.custom != "" && !slices.Contains(p.Custom, m.custom) {
		p.Custom = append(p.Custom, m.custom)
	}
	return nil
}

// title is the name of the folder that the member came from.
func (m member) title() string {
	if m.custom == "" {
		return string(m.layer)
	}
	return string(m.layer) + "." + m.custom
}

func outerError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errCut) {
		return errCut
	}
	if fleet.CodeOf(err) == fleet.TooLarge {
		return err
	}
	return fmt.Errorf("it is damaged or not a package: %w", err)
}
