package chunkindex_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fernwerk/fernwerk/internal/fleet/chunkindex"
	"github.com/fernwerk/fernwerk/internal/fleet/manifest"
)

// chunk makes a chunk of a size; equal names are equal chunks.
func chunk(name string, size int) chunkindex.Chunk {
	return chunkindex.Chunk{Size: size, Sum: sha256.Sum256([]byte(name))}
}

// tree makes the index of files named a, b, ...; each is a list of chunks.
func tree(t testing.TB, files ...[]chunkindex.Chunk) *chunkindex.Index {
	t.Helper()
	var entries []manifest.Entry
	lists := make(map[string][]chunkindex.Chunk)
	for i, list := range files {
		e := manifest.Entry{Path: fmt.Sprintf("%c", 'a'+i), Type: manifest.File, Sum: sha256.Sum256([]byte{byte(i)})}
		for _, c := range list {
			e.Size += int64(c.Size)
		}
		if len(list) == 1 {
			e.Sum = list[0].Sum
		} else if len(list) > 1 {
			lists[e.Path] = list
		}
		entries = append(entries, e)
	}
	m, err := manifest.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	x, err := chunkindex.New(m, lists)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestOrdinals_EqualChunksAreOne(t *testing.T) {
	p, q, r := chunk("p", 20000), chunk("q", 30000), chunk("r", 500)
	x := tree(t, []chunkindex.Chunk{p, q}, nil, []chunkindex.Chunk{r}, []chunkindex.Chunk{q, p, q, r}, []chunkindex.Chunk{p})
	if diff := cmp.Diff([]chunkindex.Chunk{p, q, r}, x.Chunks); diff != "" {
		t.Error(diff)
	}
	for i, want := range [][]uint32{{0, 1}, {}, {2}, {1, 0, 1, 2}, {0}} {
		if got := x.Of(i); !slices.Equal(got, want) {
			t.Errorf("file %d: chunks %v, want %v", i, got, want)
		}
	}
	if got, want := x.Size(chunkindex.Ranges{{0, 1}, {2, 3}}), int64(20500); got != want {
		t.Errorf("size %d, want %d", got, want)
	}
}

func TestText_Golden(t *testing.T) {
	x := tree(t, []chunkindex.Chunk{chunk("p", 20000), chunk("q", 7)}, []chunkindex.Chunk{chunk("r", 16385)}, []chunkindex.Chunk{chunk("s", 16384)})
	text := string(x.Tree.Text())
	want := fmt.Sprintf("fernwerk tree index 1\nmanifest %d\n%schunks\n20000 %x\n7 %x\nwhole\n",
		len(text), text, sha256.Sum256([]byte("p")), sha256.Sum256([]byte("q")))
	if diff := cmp.Diff(want, string(x.Text())); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestParse_Refuses(t *testing.T) {
	p, q := chunk("p", 20000), chunk("q", 30000)
	good := string(tree(t, []chunkindex.Chunk{p, q}, []chunkindex.Chunk{chunk("r", 17000)}).Text())
	lineP := fmt.Sprintf("20000 %x\n", p.Sum)
	lineQ := fmt.Sprintf("30000 %x\n", q.Sum)
	sub := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the index has no %q", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	tests := []struct{ name, text, want string }{
		{"empty", "", "unexpected EOF"},
		{"other version", sub("index 1", "index 2"), "want the line"},
		{"manifest size with zero", sub("manifest ", "manifest 0"), "manifest's size"},
		{"manifest too long", sub("manifest ", "manifest 9"), "cannot read the manifest"},
		{"path leaves the tree", strings.Replace(sub(`"a"`, `"../a"`), "manifest 1", "manifest 1", 1), "manifest"},
		{"no chunks line", sub("chunks\n", ""), "want the line"},
		{"short", good[:len(good)-3], "unexpected EOF"},
		{"text behind", good + "whole\n", "text follows"},
		{"large size", sub(lineP, strings.Replace(lineP, "20000", "262145", 1)), "cannot have 262145"},
		{"negative size", sub(lineP, strings.Replace(lineP, "20000", "-1", 1)), "cannot have -1"},
		{"plus sign", sub(lineP, "+"+lineP), "want a chunk's size"},
		{"upper case", sub(lineP, strings.ToUpper(lineP)), "want a chunk's size"},
		{"behind the file", sub(lineQ, strings.Replace(lineQ, "30000", "30001", 1)), "ends behind the file"},
		{"small chunk", sub(lineP, fmt.Sprintf("16383 %x\n", p.Sum)), "is not the last"},
		{"whole in the middle", sub(lineQ, "whole\n"), "want a chunk's size"},
		{"list of one", sub("whole\n", fmt.Sprintf("17000 %x\n", p.Sum)), "one chunk has no list"},
		{"one sum, two sizes", sub(lineP, fmt.Sprintf("20000 %x\n", q.Sum)), "and 20000 elsewhere"},
		{"endless line", good[:len(good)-6] + strings.Repeat("x", 5000), "too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := chunkindex.Parse(strings.NewReader(tt.text), chunkindex.Limits{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	for _, l := range []chunkindex.Limits{{Bytes: int64(len(good)) - 1}, {Entries: 1}, {Chunks: 2}} {
		if _, err := chunkindex.Parse(strings.NewReader(good), l); err == nil {
			t.Errorf("read with the limits %+v", l)
		}
	}
	exact := chunkindex.Limits{Bytes: int64(len(good)), Entries: 2, Chunks: 3}
	if _, err := chunkindex.Parse(iotest.OneByteReader(strings.NewReader(good)), exact); err != nil {
		t.Errorf("refused at exactly the limits: %v", err)
	}
}

func TestNew_Refuses(t *testing.T) {
	big, err := manifest.New([]manifest.Entry{{Path: "a", Type: manifest.File, Size: chunkindex.MaxChunk + 1}})
	if err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string][]chunkindex.Chunk{
		"no list": nil,
		"short":   {chunk("p", 20000), chunk("q", 20000)},
		"long":    {chunk("p", chunkindex.MaxChunk), chunk("q", 2)},
	} {
		if _, err := chunkindex.New(big, map[string][]chunkindex.Chunk{"a": list}); err == nil {
			t.Errorf("%s: indexed", name)
		}
	}
}

// anyTree draws files that share chunks.
func anyTree(t *rapid.T) *chunkindex.Index {
	name := rapid.IntRange(0, 30)
	file := rapid.Custom(func(t *rapid.T) []chunkindex.Chunk {
		var list []chunkindex.Chunk
		for range rapid.IntRange(0, 6).Draw(t, "chunks") {
			n := name.Draw(t, "chunk")
			list = append(list, chunk(fmt.Sprint(n), chunkindex.MinChunk+n*8000))
		}
		return list
	})
	files := rapid.SliceOfN(file, 0, 20).Draw(t, "files")
	var entries []manifest.Entry
	lists := make(map[string][]chunkindex.Chunk)
	for i, list := range files {
		e := manifest.Entry{Path: fmt.Sprintf("f%03d", i), Type: manifest.Exec}
		for _, c := range list {
			e.Size += int64(c.Size)
			e.Sum = c.Sum
		}
		if len(list) > 1 {
			lists[e.Path] = list
		}
		entries = append(entries, e)
	}
	m, err := manifest.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	x, err := chunkindex.New(m, lists)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestParse_PrintsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := anyTree(t)
		text := x.Text()
		back, err := chunkindex.Parse(bytes.NewReader(text), chunkindex.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back.Text(), text) {
			t.Fatalf("printed differently:\n%s\n%s", text, back.Text())
		}
		if back.Digest != x.Digest || !slices.Equal(back.Chunks, x.Chunks) {
			t.Fatal("parsed differently")
		}
		for i := range x.Tree.Entries {
			if !slices.Equal(back.Of(i), x.Of(i)) {
				t.Fatalf("entry %d differs", i)
			}
		}
	})
}

func TestBlocks_CoverAllWithinTheirSize(t *testing.T) {
	var list []chunkindex.Chunk
	for i := range 200 {
		list = append(list, chunk(fmt.Sprint(i), chunkindex.MinChunk+i*1000))
	}
	x := tree(t, list)
	next := 0
	for _, b := range x.Blocks() {
		size := x.Size(chunkindex.Ranges{b})
		if b.First != next || b.End <= b.First || size > chunkindex.BlockSize {
			t.Fatalf("block %v of %d bytes after %d", b, size, next)
		}
		next = b.End
		if next < len(x.Chunks) && size+int64(x.Chunks[next].Size) <= chunkindex.BlockSize {
			t.Errorf("block %v has room for the next chunk", b)
		}
	}
	if next != len(x.Chunks) || len(x.Blocks()) < 3 {
		t.Errorf("%d blocks up to %d of %d chunks", len(x.Blocks()), next, len(x.Chunks))
	}
	if b := tree(t).Blocks(); len(b) != 0 {
		t.Errorf("an empty tree has the blocks %v", b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(tree(f, []chunkindex.Chunk{chunk("p", 20000), chunk("q", 7)}, []chunkindex.Chunk{chunk("r", 16385)}, nil).Text())
	f.Add(tree(f).Text())
	f.Fuzz(func(t *testing.T, text []byte) {
		x, err := chunkindex.Parse(bytes.NewReader(text), chunkindex.Limits{})
		if err != nil {
			return
		}
		if !bytes.Equal(x.Text(), text) {
			t.Fatal("prints back differently")
		}
		if x.Digest != x.Tree.Digest() {
			t.Fatal("wrong digest")
		}
	})
}

func TestWriteTo_SaysThatItFailed(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	if _, err := tree(t).WriteTo(w); err == nil {
		t.Error("no error")
	}
}
