package bench

import (
	"bufio"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/ndmon/ndmon/deploy/bench/figure"
	"github.com/ndmon/ndmon/deploy/bench/wire"
	"github.com/ndmon/ndmon/deploy/lab"
)

// read measures a program that reads a capture file of rate frames for each second of
// Config.Duration, from a thousand stations.
func read(r *run) {
	path := filepath.Join(r.dir, "capture.pcap")
	frames := int(float64(r.rate) * r.Duration.Seconds())
	r.must(writeCapture(path, frames, r.rate), "write a capture file")
	rules := writeRules(ruleCount)
	if r.program.name == builtIn {
		rules = ""
	}
	begin, start := r.usage(), time.Now()
	s := r.start(r, lab.New(r, "reader"), job{file: path, rules: rules})
	p := s.parts[0]
	select {
	case <-p.Done():
	case <-r.ctx.Done():
		r.alive()
	}
	took := time.Since(start)
	if state := p.ProcessState(); !state.Success() {
		r.Fatalf("%s: %v", p.name, state)
	}
	used := p.ProcessState().SysUsage().(*syscall.Rusage)
	cpu := p.ProcessState().UserTime() + p.ProcessState().SystemTime()
	s.parts = nil
	r.add(figure.Figure{Name: "frames read", Value: float64(frames), Unit: figure.Count})
	r.compare(figure.Figure{Name: "time", Value: took.Seconds(), Unit: figure.Seconds, Target: r.own(figure.Times(0.5, dumper))})
	r.compare(figure.Figure{Name: "processor time a frame", Value: cpu.Seconds() / float64(frames), Unit: figure.Seconds})
	r.compare(figure.Figure{Name: "resident memory, at most", Value: float64(used.Maxrss) * 1024, Unit: figure.Bytes, Target: r.own(figure.Below(60e6))})
	begin.addOthers()
}

// writeCapture writes frames that come at a rate per second.
func writeCapture(path string, frames, rate int) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	buffer := bufio.NewWriter(file)
	w := pcapgo.NewWriterNanos(buffer)
	err = w.WriteFileHeader(wire.Len, layers.LinkTypeEthernet)
	frame, begin := wire.NewRequest(), time.Now()
	for n := 0; n < frames && err == nil; n++ {
		frame.SetSource(uint32(firstStation + n%1000))
		frame.Set(quietTargets, uint32(n))
		at := begin.Add(time.Duration(n) * time.Second / time.Duration(rate))
		err = w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: wire.Len, Length: wire.Len}, frame[:])
	}
	if err != nil {
		return err
	}
	return buffer.Flush()
}
