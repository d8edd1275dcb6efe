package decode

import "reflect"

// MemorySizes returns the capacities of the decoder's lists: first of those within others,
// then of the lists of options in their order.
func (d *Decoder) MemorySizes() []int {
	sizes := []int{cap(d.memory.extensions), cap(d.memory.addresses), cap(d.memory.echoes), cap(d.memory.texts), cap(d.memory.text), cap(d.used)}
	options := reflect.ValueOf(d.options)
	for i := range options.NumField() {
		sizes = append(sizes, options.Field(i).Cap())
	}
	return sizes
}
