package sequence

import (
	"cmp"
	"container/heap"
	"errors"
	"maps"
	"slices"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// CycleError names products that wait for each other, in the order in which
// each would have to come before the next; the first is repeated at the end.
type CycleError struct{ Products []fleet.ProductID }

func (e *CycleError) Error() string {
	return "cannot order actions: products wait for each other: " + join(e.Products, " -> ")
}

// graph holds which product has to come before which.
type graph struct {
	nodes  []fleet.ProductID // by id
	next   map[fleet.ProductID][]fleet.ProductID
	before map[fleet.ProductID]int // how many have to come first
	own    map[fleet.ProductID]int64
	group  map[fleet.ProductID]*group
}

// group is what a before or an after holds together, at any remove.
type group struct {
	members  []fleet.ProductID // by id
	priority int64
	rank     int // its place among the groups
}

func newGraph(c *collection) *graph {
	g := &graph{
		nodes:  slices.Sorted(maps.Keys(c.wanted)),
		next:   map[fleet.ProductID][]fleet.ProductID{},
		before: map[fleet.ProductID]int{},
		own:    map[fleet.ProductID]int64{},
	}
	type edge struct{ first, then fleet.ProductID }
	edges := map[edge]bool{}
	for _, id := range g.nodes {
		g.own[id] = c.priority(id)
		for _, d := range c.deps[task{id, c.wanted[id].action()}] {
			if c.wanted[d.RequiredProductID] == nil {
				continue
			}
			switch d.RequirementType {
			case "before":
				edges[edge{d.RequiredProductID, id}] = true
			case "after":
				edges[edge{id, d.RequiredProductID}] = true
			}
		}
	}
	for e := range edges {
		g.next[e.first] = append(g.next[e.first], e.then)
		g.before[e.then]++
	}
	for _, then := range g.next {
		slices.Sort(then)
	}
	g.join()
	return g
}

// join puts products that wait for each other into one group and ranks the
// groups: by priority, the higher first, then by the smallest id.
func (g *graph) join() {
	near := map[fleet.ProductID][]fleet.ProductID{}
	for first, thens := range g.next {
		for _, then := range thens {
			near[first], near[then] = append(near[first], then), append(near[then], first)
		}
	}
	g.group = map[fleet.ProductID]*group{}
	var groups []*group
	for _, id := range g.nodes {
		if g.group[id] != nil {
			continue
		}
		one := &group{}
		for open := []fleet.ProductID{id}; len(open) > 0; {
			at := open[len(open)-1]
			open = open[:len(open)-1]
			if g.group[at] == nil {
				g.group[at], one.members = one, append(one.members, at)
				open = append(open, near[at]...)
			}
		}
		slices.Sort(one.members)
		one.priority = g.together(one.members)
		groups = append(groups, one)
	}
	slices.SortStableFunc(groups, func(a, b *group) int { return cmp.Compare(b.priority, a.priority) })
	for i, one := range groups {
		one.rank = i
	}
}

// together is the priority of a group: the highest of those above 0, else the
// lowest.
func (g *graph) together(members []fleet.ProductID) int64 {
	var highest, lowest int64
	for _, id := range members {
		highest, lowest = max(highest, g.own[id]), min(lowest, g.own[id])
	}
	return cmp.Or(highest, lowest)
}

// sort orders all that can be ordered.
func (g *graph) sort() ([]fleet.ProductID, error) {
	order := g.drain(func(fleet.ProductID) int64 { return 0 }) // any order that holds
	inherited := maps.Clone(g.own)
	for _, id := range slices.Backward(order) {
		for _, then := range g.next[id] {
			inherited[id] = max(inherited[id], inherited[then])
		}
	}
	if len(order) < len(g.nodes) {
		return g.drain(func(id fleet.ProductID) int64 { return inherited[id] }), g.cycles(order)
	}
	return g.drain(func(id fleet.ProductID) int64 { return inherited[id] }), nil
}

// drain takes, again and again, the first of those that wait for nothing: by
// the group's place, by priority, by the product's own priority, by id.
func (g *graph) drain(priority func(fleet.ProductID) int64) []fleet.ProductID {
	waits := maps.Clone(g.before)
	ready := &queue{less: func(a, b fleet.ProductID) bool {
		return cmp.Or(cmp.Compare(g.group[a].rank, g.group[b].rank), cmp.Compare(priority(b), priority(a)), cmp.Compare(g.own[b], g.own[a]), cmp.Compare(a, b)) < 0
	}}
	for _, id := range g.nodes {
		if waits[id] == 0 {
			heap.Push(ready, id)
		}
	}
	var order []fleet.ProductID
	for ready.Len() > 0 {
		id := heap.Pop(ready).(fleet.ProductID)
		order = append(order, id)
		for _, then := range g.next[id] {
			if waits[then]--; waits[then] == 0 {
				heap.Push(ready, then)
			}
		}
	}
	return order
}

// cycles names one circle through each product that is in one and not yet
// named: the shortest, beginning with the smallest id.
func (g *graph) cycles(ordered []fleet.ProductID) error {
	out := map[fleet.ProductID]bool{} // ordered, or named already
	for _, id := range ordered {
		out[id] = true
	}
	var errs []error
	for _, id := range g.nodes {
		if out[id] {
			continue
		}
		circle := g.circle(id, out)
		if circle == nil {
			continue // behind a circle, not in one
		}
		for _, in := range circle {
			out[in] = true
		}
		errs = append(errs, &CycleError{circle})
	}
	return errors.Join(errs...)
}

// circle finds the shortest way from a product back to itself, breadth first.
func (g *graph) circle(start fleet.ProductID, out map[fleet.ProductID]bool) []fleet.ProductID {
	from := map[fleet.ProductID]fleet.ProductID{}
	for line := []fleet.ProductID{start}; len(line) > 0; line = line[1:] {
		for _, then := range g.next[line[0]] {
			if then == start {
				way := []fleet.ProductID{start}
				for at := line[0]; at != start; at = from[at] {
					way = append(way, at)
				}
				way = append(way, start)
				slices.Reverse(way)
				return way
			}
			if _, seen := from[then]; !seen && !out[then] {
				from[then] = line[0]
				line = append(line, then)
			}
		}
	}
	return nil
}

// queue is a heap of products.
type queue struct {
	ids  []fleet.ProductID
	less func(a, b fleet.ProductID) bool
}

func (q *queue) Len() int           { return len(q.ids) }
func (q *queue) Less(i, j int) bool { return q.less(q.ids[i], q.ids[j]) }
func (q *queue) Swap(i, j int)      { q.ids[i], q.ids[j] = q.ids[j], q.ids[i] }
func (q *queue) Push(x any)         { q.ids = append(q.ids, x.(fleet.ProductID)) }
func (q *queue) Pop() any {
	last := q.ids[len(q.ids)-1]
	q.ids = q.ids[:len(q.ids)-1]
	return last
}
