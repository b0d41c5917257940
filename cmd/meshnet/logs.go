package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mesh-security/mesh/internal/localnet"
)

func logsCmd() *cobra.Command {
	var lines int
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs [CHAIN [NODE | setup] | relayer [setup] | watchtower]",
		Short: "Show what the network's processes print",
		Example: `  meshnet logs                          # the end of every log
  meshnet logs osmosis-local            # all nodes of a chain, and its set-up
  meshnet logs osmosis-local node1 -f
  meshnet logs relayer --lines 200`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			net, err := open(cmd)
			if err != nil {
				return err
			}
			files, err := logFiles(net.State(), args)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			tails := make([]*tail, len(files))
			for i, file := range files {
				tails[i] = &tail{path: file, label: strings.TrimSuffix(filepath.Base(file), ".log"), out: out}
				if err := tails[i].last(lines, len(files) > 1); err != nil {
					return err
				}
			}
			for follow {
				for _, t := range tails {
					if err := t.more(len(files) > 1); err != nil {
						return err
					}
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(300 * time.Millisecond):
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVarP(&lines, "lines", "n", 20, "how many last lines of each log to show")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "show new lines as they come")
	return cmd
}

// logFiles are the logs that exist of what is asked for: everything, the
// relayer, a chain or one of its nodes.
func logFiles(state localnet.State, args []string) ([]string, error) {
	sources := []logSource{
		{[]string{"relayer"}, state.Relayer.Log},
		{[]string{"relayer", "setup"}, state.Relayer.SetupLog},
	}
	if w := state.Watchtower; w != nil {
		sources = append(sources, logSource{[]string{watchtowerName}, w.Log})
	}
	for _, c := range state.Chains {
		sources = append(sources, logSource{[]string{c.ID, "setup"}, c.SetupLog})
		for _, n := range c.Nodes {
			sources = append(sources, logSource{[]string{c.ID, n.Moniker}, n.Log})
		}
	}
	var files, names []string
	for _, s := range sources {
		names = append(names, strings.Join(s.name, " "))
		if len(args) > len(s.name) || !slices.Equal(args, s.name[:len(args)]) {
			continue
		}
		if _, err := os.Stat(s.path); err == nil {
			files = append(files, s.path)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no log of %q; there are: %s", strings.Join(args, " "), strings.Join(names, ", "))
	}
	return files, nil
}

type logSource struct {
	name []string
	path string
}

// tail shows the end of a file, then what is added to it.
type tail struct {
	path, label string
	out         io.Writer
	offset      int64
}

func (t *tail) last(n int, labelled bool) error {
	file, err := os.Open(t.path)
	if err != nil {
		return err
	}
	defer file.Close()
	var ring []string
	read := bufio.NewReader(file)
	for {
		line, err := read.ReadString('\n')
		if err != nil {
			break // an unfinished line is shown once it is finished
		}
		t.offset += int64(len(line))
		if ring = append(ring, line); len(ring) > n {
			ring = ring[1:]
		}
	}
	if labelled {
		fmt.Fprintf(t.out, "==> %s <==\n", t.path)
	}
	for _, line := range ring {
		fmt.Fprint(t.out, line)
	}
	return nil
}

func (t *tail) more(labelled bool) error {
	file, err := os.Open(t.path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(t.offset, io.SeekStart); err != nil {
		return err
	}
	read := bufio.NewReader(file)
	for {
		line, err := read.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		t.offset += int64(len(line))
		if labelled {
			line = t.label + " | " + line
		}
		fmt.Fprint(t.out, line)
	}
}
