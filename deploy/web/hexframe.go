package web

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// maxFrame bounds a frame, in bytes.
const maxFrame = 1 << 16

// offsetLine matches a line with an offset: that of tcpdump -xx and xxd has a colon behind it, that of Wireshark and hexdump -C
// at least two spaces. A line of a frame without offsets has neither.
const offsetLine = `^\s*(?:0[xX])?([0-9a-fA-F]{4,8})(:\s*|\s{2,}|\s*$)(.*)$`

// parseFrame reads a frame in hexadecimal, with offsets and characters as tcpdump -xx, Wireshark, xxd and hexdump -C print it, or
// digits alone, whatever separates them.
func parseFrame(text string) ([]byte, error) {
	offsets := regexp.MustCompile(offsetLine)
	var frame []byte
	found := false
	for line := range strings.Lines(text) {
		parts := offsets.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if parts == nil {
			continue // such as the line of tcpdump before the frame
		}
		offset, err := strconv.ParseUint(parts[1], 16, 32)
		switch {
		case err != nil || !found && offset != 0:
			continue
		case found && offset == 0 && len(frame) > 0:
			return nil, errors.New("there is more than one frame: paste one")
		case offset != uint64(len(frame)):
			return nil, fmt.Errorf("the line with offset %s comes after %d bytes", parts[1], len(frame))
		}
		found = true
		data, err := lineBytes(parts[3], strings.HasPrefix(parts[2], ":"))
		if err != nil {
			return nil, fmt.Errorf("the line with offset %s: %w", parts[1], err)
		}
		if frame = append(frame, data...); len(frame) > maxFrame {
			return nil, fmt.Errorf("it has more than %d bytes", maxFrame)
		}
	}
	if found && len(frame) > 0 {
		return frame, nil
	}
	digits := strings.NewReplacer(" ", "", "\t", "", "\n", "", "\r", "", ":", "", "-", "", ",", "", "0x", "", "0X", "", `\x`, "").Replace(text)
	if digits == "" {
		return nil, errors.New("it is empty")
	}
	frame, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("it is not hexadecimal: %w", err)
	}
	if len(frame) > maxFrame {
		return nil, fmt.Errorf("it has more than %d bytes", maxFrame)
	}
	return frame, nil
}

// lineBytes returns the bytes of a line without its offset. Characters follow after two spaces if the offset has a
// colon, after three or a bar if not.
func lineBytes(line string, colon bool) ([]byte, error) {
	for _, mark := range []string{" |", "   "} {
		line, _, _ = strings.Cut(line, mark)
	}
	if colon {
		line, _, _ = strings.Cut(strings.TrimLeft(line, " "), "  ")
	}
	return hex.DecodeString(strings.Join(strings.Fields(line), ""))
}
