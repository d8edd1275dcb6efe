package schemas

// Statement is a stub until the walker is merged.
type Statement struct {
	Type      *OptionType
	Number    uint8
	Text      string
	Lifetimes []uint64
}

// Statements is a stub.
func (o *Options) Statements(dst []Statement, skip func(member string) bool) []Statement { return dst }
