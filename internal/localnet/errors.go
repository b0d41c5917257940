package localnet

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// What can be wrong with a topology. Each is the cause, for errors.Is, of an
// error that says where and how.
var (
	ErrUnknownKey       = errors.New("unknown key")
	ErrDuplicateKey     = errors.New("duplicate key")
	ErrSyntax           = errors.New("not a valid topology")
	ErrNoChains         = errors.New("no chains")
	ErrBadChainID       = errors.New("bad chain id")
	ErrDuplicateChain   = errors.New("duplicate chain id")
	ErrBadPrefix        = errors.New("bad bech32 prefix")
	ErrBadDenom         = errors.New("bad denom")
	ErrNoValidators     = errors.New("no validators")
	ErrBadValidators    = errors.New("bad validators")
	ErrBadDuration      = errors.New("bad duration")
	ErrBadAmount        = errors.New("bad amount")
	ErrBadRatio         = errors.New("bad ratio")
	ErrBadAccount       = errors.New("bad account")
	ErrDuplicateAccount = errors.New("duplicate account")
	ErrBadFeed          = errors.New("bad price feed")
	ErrUnknownChain     = errors.New("unknown chain")
	ErrSelfPairing      = errors.New("a chain cannot be paired with itself")
	ErrDuplicatePairing = errors.New("duplicate pairing")
	ErrBadPort          = errors.New("bad port")
	ErrPortTaken        = errors.New("port is taken")
	ErrBadGenesis       = errors.New("bad genesis override")
)

// What can be wrong with the machine or with the network's home directory.
var (
	ErrMissingBinary  = errors.New("missing binary")
	ErrNotANetwork    = errors.New("no network here")
	ErrAlreadyRunning = errors.New("a network is already running here")
	ErrHomeInUse      = errors.New("home directory is in use")
	ErrTimeout        = errors.New("timed out")
	// ErrStoppedElsewhere ends Watch when another process ends the network.
	ErrStoppedElsewhere = errors.New("the network was ended by another command")
)

// StepError is a failure while a network was being brought up or changed. It
// names the chain (empty for the relayer), the step and the log to read.
type StepError struct {
	Chain string
	Step  string
	Log   string
	Err   error
}

// Error shows the failure with the last lines of the log.
func (e *StepError) Error() string {
	var b strings.Builder
	if e.Chain != "" {
		fmt.Fprintf(&b, "chain %s: ", e.Chain)
	}
	fmt.Fprintf(&b, "%s: %v", e.Step, e.Err)
	if e.Log != "" {
		fmt.Fprintf(&b, "\n  log file: %s", e.Log)
		for _, line := range lastLines(e.Log, 6) {
			fmt.Fprintf(&b, "\n  | %s", line)
		}
	}
	return b.String()
}

func (e *StepError) Unwrap() error { return e.Err }

// stepErr wraps err unless it already names a step of its own.
func stepErr(chain, step, log string, err error) error {
	if err == nil {
		return nil
	}
	var already *StepError
	if errors.As(err, &already) {
		return err
	}
	return &StepError{Chain: chain, Step: step, Log: log, Err: err}
}

// lastLines returns up to n last lines of a file, none if it cannot be read.
func lastLines(path string, n int) []string {
	const window = 64 * 1024
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	start := max(0, info.Size()-window)
	buf := make([]byte, info.Size()-start)
	read, _ := file.ReadAt(buf, start)
	text := strings.TrimRight(string(buf[:read]), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	if start > 0 && len(lines) > 1 {
		lines = lines[1:] // the first one is cut
	}
	return lines[max(0, len(lines)-n):]
}
