// Package probe carries out relay commands: it decides which targets are looked for,
// behind which ports and when, and reports what came of it.
//
// A command passes command.go (parsed, checked), decide.go (where to look), look.go
// (hold-down and budget), send.go, answer.go or timeout.go, and report.go, which
// publishes the result. The packets are in package wire, what is kept for targets that
// were found in package hostroute.
package probe
