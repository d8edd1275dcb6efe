package pool

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// most gives the same as looking at all nodes.
func TestMost(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	root := &tree[string]{}
	counts := [classes]map[[3]int]int{{}, {}, {}}
	leaf := func(at [3]int) *tree[string] {
		return root.child(fmt.Sprint(at[0])).child(fmt.Sprint(at[1])).child(fmt.Sprint(at[2]))
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
		at, class := [3]int{r.IntN(4), r.IntN(5), r.IntN(12)}, r.IntN(classes)
		n := leaf(at)
		if counts[class][at] > 0 && r.IntN(2) == 0 {
			counts[class][at]--
			n.remove(class)
		} else {
			counts[class][at]++
			n.add(class)
		}
		total := 0
		for _, n := range counts[class] {
			total += n
		}
		if root.count(class) != total {
			t.Fatalf("the root has %d, want %d", root.count(class), total)
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
		if got := n.most(class); got != leaf(want) {
			t.Fatalf("%s/%s/%s has to give, want %v", got.parent.parent.name, got.parent.name, got.name, want)
		}
	}
}

func TestDrop(t *testing.T) {
	root := &tree[int]{}
	a, b, c := root.child("a").child("x"), root.child("a").child("y"), root.child("b").child("x")
	for _, leaf := range []*tree[int]{a, b, c} {
		leaf.add(0)
		leaf.remove(0)
	}
	a.drop()
	if root.child("a").child("y") != b {
		t.Error("a node with another child is gone")
	}
	b.drop()
	c.drop()
	if len(root.children) != 0 || len(root.classes[0].heap) != 0 {
		t.Errorf("%d children are left, %d in the heap", len(root.children), len(root.classes[0].heap))
	}
}
