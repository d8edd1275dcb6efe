package rulefile

import (
	"fmt"
	"io"
	"slices"

	"github.com/ndmon/ndmon/ruled/link/router"
	"github.com/ndmon/ndmon/ruled/rulefile/internal/routers"
)

// WriteRouters writes a configuration of NDPMon with the routers of links, to be
// corrected and used as a rule file. Parse reads the same links back, sorted. NDPMon reads
// it too, except for VLANs and for the routers of every link, for which it has no probe.
//
// It is an error, and nothing is written, when Parse would refuse the file.
func WriteRouters(w io.Writer, links []router.Link) error {
	file := routers.Append(nil, slices.Clone(links))
	if _, err := Parse("routers", file); err != nil {
		return fmt.Errorf("write the routers: they cannot be configured: %w", err)
	}
	if _, err := w.Write(file); err != nil {
		return fmt.Errorf("write the routers: %w", err)
	}
	return nil
}
