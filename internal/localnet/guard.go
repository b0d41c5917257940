package localnet

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A guard is a process that does nothing but wait for the one that started it
// to die: it holds the reading end of a pipe whose writing end only that
// process has. If the pipe closes without a word, the guard ends every process
// of the network and removes its namespaces and mounts. So neither a panic, a SIGKILL nor a second Ctrl-C leaves
// nodes behind, and a detached network needs no process to live.
//
// The guard is this same executable, started again with guardEnv set; whatever
// imports the package can be one.
type guard struct {
	pipe *os.File
	cmd  *exec.Cmd
}

const (
	guardEnv    = "MESHNET_GUARD"
	guardDetach = "detach"
)

func init() {
	if id := os.Getenv(guardEnv); id != "" {
		// The terminal's signals are for others; this one has work left then.
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
		home, _ := os.Getwd()
		guardMain(id, home, os.NewFile(3, "pipe"))
		os.Exit(0)
	}
}

// newGuard starts the guard of a network.
func newGuard(networkID, home, log string) (*guard, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out, err := openLog(log)
	if err != nil {
		_ = w.Close()
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(self)
	cmd.Args = []string{"meshnet-guard", networkID}
	cmd.Dir = home
	cmd.Env = append(os.Environ(), guardEnv+"="+networkID)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{r}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("guard: %w", err)
	}
	return &guard{pipe: w, cmd: cmd}, nil
}

// watch tells the guard about a process.
func (g *guard) watch(p PID) {
	if g != nil {
		fmt.Fprintf(g.pipe, "%d %s\n", p.PID, p.Start)
	}
}

// detach sends the guard away: the processes may outlive us.
func (g *guard) detach() {
	if g == nil || g.pipe == nil {
		return
	}
	fmt.Fprintln(g.pipe, guardDetach)
	_ = g.pipe.Close()
	g.pipe = nil
	_ = g.cmd.Wait()
}

func guardMain(networkID, home string, pipe io.Reader) {
	var pids []PID
	in := bufio.NewScanner(pipe)
	for in.Scan() {
		if in.Text() == guardDetach {
			return
		}
		pid, start, _ := strings.Cut(in.Text(), " ")
		if n, err := strconv.Atoi(pid); err == nil {
			pids = append(pids, PID{PID: n, Start: start})
		}
	}
	// Twice: one may have been between fork and exec, without its mark.
	for range 2 {
		all := append(marked(networkID), pids...)
		fmt.Printf("guard: the process that ran network %s is gone; ending its processes\n", networkID)
		if err := stopAll(all, 5*time.Second); err != nil {
			fmt.Printf("guard: %v\n", err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err := cleanUp(networkID, home); err != nil {
		fmt.Printf("guard: %v\n", err)
	}
}
