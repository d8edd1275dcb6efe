package ruled

import (
	"io"

	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/rules"
)

// WriteLearned writes the routers that were learned as a configuration that
// RULED_RULES takes, and NDPMon too.
func WriteLearned(w io.Writer, links []link.Routers) error { return rules.WriteRouters(w, links) }
