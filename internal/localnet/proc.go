package localnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// networkEnv marks every process of a network with the network's id. Whatever
// carries the mark can be found and ended, even if nobody wrote it down.
const networkEnv = "MESHNET_NETWORK"

// PID names a process for good: process ids are used again, but not with the
// same start time.
type PID struct {
	PID   int    `json:"pid"`
	Start string `json:"start,omitempty"`
}

// pidOf describes a process that runs now.
func pidOf(pid int) PID {
	start, _, _ := procStat(pid)
	return PID{PID: pid, Start: start}
}

// alive reports whether the process still runs; a zombie does not.
func (p PID) alive() bool {
	if p.PID <= 0 {
		return false
	}
	if runtime.GOOS != "linux" {
		return syscall.Kill(p.PID, 0) == nil
	}
	start, state, err := procStat(p.PID)
	return err == nil && state != "Z" && state != "X" && (p.Start == "" || p.Start == start)
}

// procStat returns start time and state from /proc/PID/stat.
func procStat(pid int) (start, state string, err error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", "", err
	}
	// The second field, the name in brackets, may contain anything.
	end := bytes.LastIndexByte(data, ')')
	fields := strings.Fields(string(data[end+1:]))
	if end < 0 || len(fields) < 20 {
		return "", "", fmt.Errorf("cannot read /proc/%d/stat", pid)
	}
	return fields[19], fields[0], nil
}

// signal sends a signal to the process and its group.
func (p PID) signal(sig syscall.Signal) {
	if p.alive() {
		_ = syscall.Kill(-p.PID, sig)
		_ = syscall.Kill(p.PID, sig)
	}
}

// How long a process may take to end by itself before it is killed. Nodes write
// their state on the way out.
const stopGrace = 15 * time.Second

// stopAll ends processes together: politely, then not. Without grace they never get to know.
func stopAll(pids []PID, grace time.Duration) error {
	if grace > 0 {
		for _, p := range pids {
			p.signal(syscall.SIGTERM)
		}
	}
	if waitGone(pids, grace) {
		return nil
	}
	for _, p := range pids {
		p.signal(syscall.SIGKILL)
	}
	if waitGone(pids, 5*time.Second) {
		return nil
	}
	var left []string
	for _, p := range pids {
		if p.alive() {
			left = append(left, strconv.Itoa(p.PID))
		}
	}
	return fmt.Errorf("processes %s do not end", strings.Join(left, ", "))
}

func waitGone(pids []PID, timeout time.Duration) bool {
	deadline := time.Now().Add(timeout)
	for {
		gone := true
		for _, p := range pids {
			gone = gone && !p.alive()
		}
		if gone || time.Now().After(deadline) {
			return gone
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// marked returns the processes that carry a network's mark, other than self.
func marked(networkID string) []PID {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	want := []byte(networkEnv + "=" + networkID)
	var out []PID
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil {
			continue
		}
		for _, kv := range bytes.Split(env, []byte{0}) {
			if bytes.Equal(kv, want) {
				out = append(out, pidOf(pid))
				break
			}
		}
	}
	return out
}

// launcher starts the processes of one network.
type launcher struct {
	networkID string
	guard     *guard

	mu   sync.Mutex
	exit map[int]*exitState // of processes started here
}

type exitState struct {
	done chan struct{}
	err  error
}

// start runs a program in a session of its own, its output appended to a log.
func (l *launcher) start(log string, env []string, program string, args ...string) (PID, error) {
	out, err := openLog(log)
	if err != nil {
		return PID{}, err
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = l.env(env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return PID{}, err
	}
	pid := pidOf(cmd.Process.Pid)
	l.guard.watch(pid)
	state := &exitState{done: make(chan struct{})}
	l.mu.Lock()
	if l.exit == nil {
		l.exit = map[int]*exitState{}
	}
	l.exit[pid.PID] = state
	l.mu.Unlock()
	go func() {
		err := cmd.Wait()
		if err == nil {
			err = errors.New("exited with status 0")
		}
		state.err = err
		close(state.done)
	}()
	return pid, nil
}

// exited tells why a process that runs no longer has ended.
func (l *launcher) exited(p PID) error {
	l.mu.Lock()
	state := l.exit[p.PID]
	l.mu.Unlock()
	if state == nil {
		return errors.New("the process is gone")
	}
	select {
	case <-state.done:
		return fmt.Errorf("the process ended: %w", state.err)
	case <-time.After(time.Second):
		return errors.New("the process is gone")
	}
}

// run runs a program to its end. Everything it prints goes to the log.
func (l *launcher) run(ctx context.Context, log string, env []string, program string, args ...string) error {
	out, err := openLog(log)
	if err != nil {
		return err
	}
	defer out.Close()
	fmt.Fprintf(out, "--- %s %s %s\n", time.Now().Format(time.TimeOnly), filepath.Base(program), strings.Join(args, " "))
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = out, io.MultiWriter(out, &stderr)
	cmd.Env = l.env(env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err = cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", commandName(program, args), err, lastMessage(stderr.String()))
	}
	return nil
}

// commandName is a program and its subcommands, without flags and values.
func commandName(program string, args []string) string {
	name := filepath.Base(program)
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			break
		}
		if strings.Contains(a, " ") {
			continue // a mnemonic
		}
		name += " " + a
	}
	return name
}

// lastMessage returns the line of a program's complaint that says what is wrong.
func lastMessage(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], "Error:") {
			return strings.TrimSpace(strings.TrimPrefix(lines[i], "Error:"))
		}
	}
	return lines[len(lines)-1]
}

func (l *launcher) env(extra []string) []string {
	return append(append(os.Environ(), networkEnv+"="+l.networkID), extra...)
}

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil { //nolint:gosec // below the directory that the user names
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // below the directory that the user names
}
