//go:build !unix

package watchtower

// lock does nothing where there is no flock: it is up to the operator to start one watchtower per state file.
func lock(string) (release func() error, err error) { return func() error { return nil }, nil }
