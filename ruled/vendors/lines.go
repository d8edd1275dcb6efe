package vendors

import "bytes"

var (
	hexMark  = []byte("(hex)")
	baseMark = []byte("(base 16)")
)

// lines reads all formats but CSV.
func (p *parser) lines(data []byte) error {
	number := 0
	// In oui.txt and its like, a line with (hex) has the 24 bits, and the next, with (base
	// 16), the part of the block that both are about. The block is kept until then.
	var (
		isIEEE bool
		block  key // 0: none
		owner  []byte
		at     int
	)
	flush := func() error {
		k := block
		block = 0
		if k == 0 || !p.clean(owner) {
			return nil
		}
		return p.add(k, at)
	}
	for line := range bytes.Lines(data) {
		number++
		indented := line[0] == ' ' || line[0] == '\t'
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if line[0] == '#' {
			p.comment(line)
			continue
		}
		if isIEEE {
			if indented {
				continue // the address of the vendor, which may begin like a prefix
			}
			if part, rest, ok := bytes.Cut(line, baseMark); ok && len(part) < maxPrefixText {
				if block != 0 {
					block, ok = partOf(block, bytes.TrimSpace(part))
					if !ok {
						p.fault(number, line)
					}
					owner = rest
				}
				if err := flush(); err != nil {
					return err
				}
				continue
			}
		}
		if err := flush(); err != nil {
			return err
		}
		k, rest, ok := cutPrefix(line)
		if !ok {
			p.fault(number, line)
			continue
		}
		separated := !isHex(line[2])
		if after, ok := bytes.CutPrefix(bytes.TrimSpace(rest), hexMark); ok && line[2] == '-' {
			isIEEE = true
			block, owner, at = k, after, number
			continue
		}
		if !p.clean(vendorIn(rest, separated)) {
			p.fault(number, line)
			continue
		}
		if err := p.add(k, number); err != nil {
			return err
		}
	}
	return flush()
}

// vendorIn finds the vendor in what follows the prefix. In manuf that is a short
// name, then perhaps the name, then perhaps a comment, in columns of which some
// are empty. Only manuf writes prefixes with separators.
func vendorIn(rest []byte, separated bool) []byte {
	short, more, _ := bytes.Cut(bytes.TrimSpace(rest), []byte("\t"))
	for len(more) > 0 {
		var column []byte
		column, more, _ = bytes.Cut(more, []byte("\t"))
		if column = bytes.TrimSpace(column); len(column) == 0 {
			continue
		}
		if column[0] != '#' {
			return column
		}
		break
	}
	if separated {
		short, _, _ = bytes.Cut(short, []byte(" # ")) // a comment in old ones
	}
	return short
}
