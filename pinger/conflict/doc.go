// Package conflict publishes the addresses that are on two links of the host, as events.
// Who finds them is not here: packages hostroute and probe do.
package conflict
