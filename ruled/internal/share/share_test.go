package share

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Most gives the same as looking at all nodes.
func TestMost(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	root := &Node[string]{}
	counts := [Classes]map[[3]int]int{{}, {}, {}}
	leaf := func(at [3]int) *Node[string] {
		return root.Child(fmt.Sprint(at[0])).Child(fmt.Sprint(at[1])).Child(fmt.Sprint(at[2]))
	}
	// most returns the child with the most among those of the first places.
	most := func(counts map[[3]int]int, of []int, own int, mine bool) int {
		sums := map[int]int{}
		for at, n := range counts {
			if depth := len(of); fmt.Sprint(at[:depth]) == fmt.Sprint(of) {
				sums[at[depth]] += n
			}
		}
		best := -1
		for i, n := range sums {
			if n > 0 && (best < 0 || n > sums[best] || n == sums[best] && fmt.Sprint(i) < fmt.Sprint(best)) {
				best = i
			}
		}
		if mine && sums[own] >= sums[best] {
			return own
		}
		return best
	}
	for range 3000 {
		at, class := [3]int{r.IntN(4), r.IntN(5), r.IntN(12)}, r.IntN(Classes)
		n := leaf(at)
		if counts[class][at] > 0 && r.IntN(2) == 0 {
			counts[class][at]--
			n.Remove(class)
		} else {
			counts[class][at]++
			n.Add(class)
		}
		total := 0
		for _, n := range counts[class] {
			total += n
		}
		if root.Count(class) != total {
			t.Fatalf("the root has %d, want %d", root.Count(class), total)
		}
		if total == 0 {
			continue
		}
		var want [3]int
		mine := true
		for depth := range want {
			want[depth] = most(counts[class], want[:depth], at[depth], mine)
			mine = mine && want[depth] == at[depth]
		}
		if got := n.Most(class); got != leaf(want) {
			t.Fatalf("%s/%s/%s has to give, want %v", got.parent.parent.name, got.parent.name, got.name, want)
		}
	}
}

func TestDrop(t *testing.T) {
	root := &Node[int]{}
	a, b, c := root.Child("a").Child("x"), root.Child("a").Child("y"), root.Child("b").Child("x")
	for _, leaf := range []*Node[int]{a, b, c} {
		leaf.Add(0)
		leaf.Remove(0)
	}
	a.Drop()
	if root.Child("a").Child("y") != b {
		t.Error("a node with another child is gone")
	}
	b.Drop()
	c.Drop()
	if len(root.children) != 0 || len(root.classes[0].heap) != 0 {
		t.Errorf("%d children are left, %d in the heap", len(root.children), len(root.classes[0].heap))
	}
}
