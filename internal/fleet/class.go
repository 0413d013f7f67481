package fleet

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Kind is what a column holds.
type Kind int

// The kinds of a column.
const (
	String Kind = iota
	Bool
	Int
	List // of strings, booleans or integers; kept in a child table, filtered by "any element equals"
	Time // "2006-01-02 15:04:05" in UTC, as opsi sends it; sorts as text
)

// Merge is the written rule for a column that client and server both changed.
// The rules are seed A's; see package merge.
type Merge string

// The merge rules.
const (
	// MergeServer: the client never changes it on the server.
	MergeServer Merge = ""
	// MergeClient: the client's value wins (inventory, installation status, action result).
	MergeClient Merge = "client"
	// MergeUnchanged: the client's value counts unless the server's changed meanwhile
	// (host parameters, product properties).
	MergeUnchanged Merge = "unchanged"
	// MergeVersion: the client's value counts unless the product's version on the
	// depot changed meanwhile (action request, target configuration).
	MergeVersion Merge = "version"
)

// Column is one attribute of a class.
type Column struct {
	Name     string
	Kind     Kind
	Ident    bool      // part of the identity
	Lower    bool      // kept in lower case
	Allowed  []string  // the only values, when not empty
	Default  any       // value at creation when none is given
	Least    *int64    // the smallest number; a smaller one is refused
	Within   *[2]int64 // the smallest and the largest number, which others become (as opsi does)
	Merge    Merge
	Volatile bool     // never a conflict, never a new revision (lastSeen, actionProgress)
	Secret   bool     // only administrators, depots and the host itself may read it
	Private  bool     // other hosts may not read it
	Stamp    string   // "write" or "create": the service sets the time
	Types    []string // concrete types that have it; empty for all
	Valid    string   // name of a syntax in valid.go
	field    int
}

// Owner says that rows of a class disappear with a row of another.
type Owner struct {
	Class   string            // the owner's class name
	Columns map[string]string // own column -> the owner's column
}

// Class describes one family of objects: a table, and the methods named after it.
type Class struct {
	Name    string   // the family and method prefix: "host", "productOnClient"
	Types   []string // values of the type column; the first is the default
	Columns []*Column
	Owners  []Owner
	Open    bool // further columns come with the data (audit hardware); kept as JSON
	Local   bool // bookkeeping of one program: no journal, no methods

	byName map[string]*Column
	goType reflect.Type
}

// Column finds a column by name; nil if there is none.
func (c *Class) Column(name string) *Column { return c.byName[name] }

// Ident lists the columns that identify a row, in order.
func (c *Class) Ident() []*Column {
	return slices.Collect(func(yield func(*Column) bool) {
		for _, col := range c.Columns {
			if col.Ident && !yield(col) {
				return
			}
		}
	})
}

// ColumnNames lists the names of all columns of the given concrete type.
func (c *Class) ColumnNames(typ string) []string {
	var names []string
	for _, col := range c.Columns {
		if col.Has(typ) {
			names = append(names, col.Name)
		}
	}
	return names
}

// Has tells whether objects of this concrete type have the column.
func (col *Column) Has(typ string) bool {
	return len(col.Types) == 0 || typ == "" || slices.Contains(col.Types, typ)
}

// NewClass reads a class from the tags of T. T's fields carry
//
//	col:"name,option,..."
//
// with the options ident, lower, time, volatile, secret, private, stamp=write,
// stamp=create, merge=client|unchanged|version, default=V, in=A|B, least=N,
// within=N|M, types=A|B, valid=SYNTAX, owner=CLASS.COLUMN. It panics on a tag that it does
// not understand: classes are made at program start from constants.
func NewClass[T any](name string, types ...string) *Class {
	t := reflect.TypeFor[T]()
	c := &Class{Name: name, Types: types, byName: map[string]*Column{}, goType: t}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("col")
		if !ok {
			continue
		}
		if tag == "*" {
			c.Open = true
			continue
		}
		col := parseColumn(c, f, tag)
		col.field = i
		if col.Name == "ident" || col.Name == "type" && len(types) == 0 {
			panic(fmt.Sprintf("class %s: the column %s is the wire's own", name, col.Name))
		}
		c.Columns = append(c.Columns, col)
		c.byName[col.Name] = col
	}
	return c
}

// LocalClass is NewClass for one program's own bookkeeping: its rows are not
// journaled and have no methods.
func LocalClass[T any](name string) *Class {
	c := NewClass[T](name)
	c.Local = true
	return c
}

func parseColumn(c *Class, f reflect.StructField, tag string) *Column {
	parts := strings.Split(tag, ",")
	col := &Column{Name: parts[0]}
	switch f.Type.Kind() {
	case reflect.String:
		col.Kind = String
	case reflect.Bool:
		col.Kind = Bool
	case reflect.Int, reflect.Int64:
		col.Kind = Int
	case reflect.Slice:
		col.Kind = List
	default:
		panic(fmt.Sprintf("class %s: column %s has type %s", c.Name, col.Name, f.Type))
	}
	for _, opt := range parts[1:] {
		key, val, _ := strings.Cut(opt, "=")
		switch key {
		case "ident":
			col.Ident = true
		case "lower":
			col.Lower = true
		case "time":
			col.Kind = Time
		case "volatile":
			col.Volatile = true
		case "secret":
			col.Secret = true
		case "private":
			col.Private = true
		case "stamp":
			col.Stamp = val
		case "merge":
			col.Merge = Merge(val)
		case "in":
			col.Allowed = strings.Split(val, "|")
		case "least", "within":
			col.bound(c, key, val)
		case "types":
			col.Types = strings.Split(val, "|")
		case "valid":
			if _, ok := syntaxes[val]; !ok {
				panic(fmt.Sprintf("class %s: column %s: no syntax %q", c.Name, col.Name, val))
			}
			col.Valid = val
		case "default":
			v, err := col.canonical(defaultLiteral(col.Kind, val))
			if err != nil {
				panic(fmt.Sprintf("class %s: column %s: default %q: %v", c.Name, col.Name, val, err))
			}
			col.Default = v
		case "owner":
			c.own(val, col.Name)
		default:
			panic(fmt.Sprintf("class %s: column %s: option %q", c.Name, col.Name, opt))
		}
	}
	return col
}

func (col *Column) bound(c *Class, key, val string) {
	var bounds []int64
	for part := range strings.SplitSeq(val, "|") {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			panic(fmt.Sprintf("class %s: column %s: %s=%s: %v", c.Name, col.Name, key, val, err))
		}
		bounds = append(bounds, n)
	}
	switch {
	case key == "least" && len(bounds) == 1:
		col.Least = &bounds[0]
	case key == "within" && len(bounds) == 2:
		col.Within = &[2]int64{bounds[0], bounds[1]}
	default:
		panic(fmt.Sprintf("class %s: column %s: %s=%s", c.Name, col.Name, key, val))
	}
}

func defaultLiteral(k Kind, text string) any {
	if k == List {
		if text == "" {
			return []any{}
		}
		return []any{text}
	}
	return text
}

func (c *Class) own(ref, column string) {
	class, ownerCol, _ := strings.Cut(ref, ".")
	for i := range c.Owners {
		// A second column naming the same owner column (client and depot side of
		// one row) is a second owner, not a longer key.
		if c.Owners[i].Class == class && !slices.Contains(ownerColumns(c.Owners[i]), ownerCol) {
			c.Owners[i].Columns[column] = ownerCol
			return
		}
	}
	c.Owners = append(c.Owners, Owner{Class: class, Columns: map[string]string{column: ownerCol}})
}

func ownerColumns(o Owner) []string {
	var cols []string
	for _, c := range o.Columns {
		cols = append(cols, c)
	}
	return cols
}

// HostColumn is the column that holds the id of the host a row belongs to, ""
// if the class has none.
func (c *Class) HostColumn() string {
	for _, o := range c.Owners {
		for own, theirs := range o.Columns {
			if o.Class == "host" && theirs == "id" {
				return own
			}
		}
	}
	return ""
}
