package pool

// classes is how many classes of things a tree counts. Each is shared by itself.
const classes = 3

// tree finds the holder of the most things when they run out: the host, on it the interface, and so on. So nothing is
// taken from others for one that keeps demanding more. A node knows how many things of each class it has, its children's
// included. Things are added to nodes without children (leaves), which are all equally deep.
type tree[T any] struct {
	// value is the pool's record of the node.
	value T

	name     string
	parent   *tree[T]
	children map[string]*tree[T]
	classes  [classes]class[T]
}

type class[T any] struct {
	count int
	// heap holds the children that have any, the one with the most first, at the node's own index in its parent's heap.
	heap []*tree[T]
	at   int
}

// count returns how many things of a class it has.
func (n *tree[T]) count(class int) int { return n.classes[class].count }

// child returns the child with a name, which is made if there is none.
func (n *tree[T]) child(name string) *tree[T] {
	child := n.children[name]
	if child == nil {
		child = &tree[T]{name: name, parent: n}
		if n.children == nil {
			n.children = map[string]*tree[T]{}
		}
		n.children[name] = child
	}
	return child
}

// drop removes a leaf without things from the tree, and with it each node above that has no other child.
func (n *tree[T]) drop() {
	for ; n.parent != nil && len(n.children) == 0; n = n.parent {
		delete(n.parent.children, n.name)
	}
}

// add notes that a leaf got one thing of a class.
func (n *tree[T]) add(class int) {
	for ; n != nil; n = n.parent {
		c := &n.classes[class]
		c.count++
		if n.parent == nil {
			return
		}
		p := &n.parent.classes[class]
		if c.count == 1 {
			c.at = len(p.heap)
			p.heap = append(p.heap, n)
		}
		n.parent.up(class, c.at)
	}
}

// remove notes that a leaf has lost one thing of a class.
func (n *tree[T]) remove(class int) {
	for ; n != nil; n = n.parent {
		c := &n.classes[class]
		c.count--
		if n.parent == nil {
			return
		}
		if c.count > 0 {
			n.parent.down(class, c.at)
			continue
		}
		p := &n.parent.classes[class]
		last := len(p.heap) - 1
		at := c.at
		n.parent.put(class, at, p.heap[last])
		p.heap[last] = nil
		p.heap = p.heap[:last]
		if at < last {
			n.parent.down(class, at)
			n.parent.up(class, at)
		}
	}
}

// most returns the leaf that loses one thing of a class for a new one of this leaf. There must
// be one in the tree. It is this leaf itself if no other has more.
func (n *tree[T]) most(class int) *tree[T] {
	most := n
	for at := n; at.parent != nil; at = at.parent {
		if top := at.parent.classes[class].heap; len(top) == 0 || at.classes[class].count < top[0].classes[class].count {
			most = at.parent
		}
	}
	if most == n {
		return n
	}
	return most.largest(class)
}

// largest returns the leaf of a node that has the most things of a class, found as most does. There must be one.
func (n *tree[T]) largest(class int) *tree[T] {
	for len(n.children) > 0 {
		n = n.classes[class].heap[0]
	}
	return n
}

// before reports whether a stands before b in a heap. Names decide where the
// counts do not, so that the order does not depend on what was before.
func before[T any](a, b *tree[T], class int) bool {
	if a.classes[class].count != b.classes[class].count {
		return a.classes[class].count > b.classes[class].count
	}
	return a.name < b.name
}

func (n *tree[T]) put(class, at int, child *tree[T]) {
	n.classes[class].heap[at] = child
	child.classes[class].at = at
}

func (n *tree[T]) up(class, at int) {
	heap := n.classes[class].heap
	child := heap[at]
	for at > 0 {
		above := (at - 1) / 2
		if !before(child, heap[above], class) {
			break
		}
		n.put(class, at, heap[above])
		n.put(class, above, child)
		at = above
	}
}

func (n *tree[T]) down(class, at int) {
	heap := n.classes[class].heap
	child := heap[at]
	for {
		below := 2*at + 1
		if below >= len(heap) {
			break
		}
		if below+1 < len(heap) && before(heap[below+1], heap[below], class) {
			below++
		}
		if !before(heap[below], child, class) {
			break
		}
		n.put(class, at, heap[below])
		n.put(class, below, child)
		at = below
	}
}
