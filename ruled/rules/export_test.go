package rules

// What the tests look at from outside, because they read rule files and so need rulefile, which imports this package.
const MaxScratch = maxScratch

func Scratch(ev *Evaluator) int { return cap(ev.values) }
func Levels(p *Program) int     { return p.levels }
