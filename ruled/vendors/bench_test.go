package vendors

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkLookup(b *testing.B) {
	table := Builtin()
	list := addresses(table, rand.New(rand.NewPCG(1, 2)), 1<<16)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		table.Lookup(list[i&(len(list)-1)])
		i++
	}
}

func BenchmarkBuiltin(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Builtin()
	}
}
