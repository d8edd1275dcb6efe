package compose

import (
	"fmt"

	"github.com/ndmon/ndmon/schemas/process"
)

func usageError(format string, args ...any) error {
	return process.UsageError{Err: fmt.Errorf(format, args...)}
}
