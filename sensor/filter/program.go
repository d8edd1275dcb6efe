package filter

import (
	"fmt"
	"math"

	"golang.org/x/net/bpf"
)

// Labels of every program.
const (
	accept = "accept"
	drop   = "drop"
	fall   = "" // no jump: the next instruction
)

// program is a BPF program whose jumps go forward to labels.
type program struct {
	code   []bpf.Instruction
	jumps  []target
	labels map[string]int
}

// target is the jump at an index and the labels that it goes to.
type target struct {
	at       int
	yes, not string
}

func (p *program) add(code ...bpf.Instruction) { p.code = append(p.code, code...) }

// label names the next instruction.
func (p *program) label(name string) {
	if p.labels == nil {
		p.labels = make(map[string]int)
	}
	p.labels[name] = len(p.code)
}

func (p *program) jump(label string) {
	p.jumps = append(p.jumps, target{at: len(p.code), yes: label})
	p.add(bpf.Jump{})
}

func (p *program) jumpIf(cond bpf.JumpTest, val uint32, yes, not string) {
	p.jumps = append(p.jumps, target{at: len(p.code), yes: yes, not: not})
	p.add(bpf.JumpIf{Cond: cond, Val: val})
}

func (p *program) jumpIfX(cond bpf.JumpTest, yes, not string) {
	p.jumps = append(p.jumps, target{at: len(p.code), yes: yes, not: not})
	p.add(bpf.JumpIfX{Cond: cond})
}

// link resolves the labels. It fails if a label is missing, or more than 255 instructions
// after a conditional jump.
func (p *program) link() ([]bpf.Instruction, error) {
	for _, t := range p.jumps {
		yes, err := p.distance(t.at, t.yes)
		if err != nil {
			return nil, err
		}
		not, err := p.distance(t.at, t.not)
		if err != nil {
			return nil, err
		}
		switch ins := p.code[t.at].(type) {
		case bpf.Jump:
			ins.Skip = uint32(yes)
			p.code[t.at] = ins
		case bpf.JumpIf:
			ins.SkipTrue, ins.SkipFalse = yes, not
			p.code[t.at] = ins
		case bpf.JumpIfX:
			ins.SkipTrue, ins.SkipFalse = yes, not
			p.code[t.at] = ins
		}
	}
	return p.code, nil
}

// distance returns how many instructions a jump at an index skips.
func (p *program) distance(at int, label string) (uint8, error) {
	if label == fall {
		return 0, nil
	}
	to, ok := p.labels[label]
	if skip := to - at - 1; ok && skip >= 0 && skip <= math.MaxUint8 {
		return uint8(skip), nil
	}
	return 0, fmt.Errorf("filter program: no jump from instruction %d to label %q", at, label)
}
