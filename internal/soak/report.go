package soak

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// Report is what a run writes down. Times are in seconds since its beginning.
type Report struct {
	OK      bool    `json:"ok"`
	Seed    uint64  `json:"seed"`
	Minutes float64 `json:"minutes"`
	// Command does the same again.
	Command string  `json:"command"`
	Seconds float64 `json:"seconds"`
	// Problems is everything that was wrong; empty if the run passed.
	Problems []string      `json:"problems"`
	Phases   []PhaseReport `json:"phases"`
	Faults   []FaultReport `json:"faults"`
	// NotMade are the kinds of fault that were left out.
	NotMade []Kind `json:"not_made,omitempty"`
	// Actions counts the delegators' transactions that succeeded, by what they did; Errors those that did not, by the
	// error's code and module, or "no answer".
	Actions map[string]int `json:"actions"`
	Errors  map[string]int `json:"errors"`
	// Notes are things seen that are no failure.
	Notes []string `json:"notes,omitempty"`
	// Checks is what was found in order.
	Checks []string      `json:"checks"`
	Chains []ChainReport `json:"chains"`
}

// PhaseReport is the end of a part of the run.
type PhaseReport struct {
	Name string  `json:"name"`
	At   float64 `json:"at"`
}

// FaultReport is one fault.
type FaultReport struct {
	Kind  Kind    `json:"kind"`
	Where string  `json:"where"`
	At    float64 `json:"at"`
	// Held is how long it lasted, Recovery how long it took from healing until all was well.
	Held     float64 `json:"held"`
	Recovery float64 `json:"recovery"`
	Seen     string  `json:"seen,omitempty"`
	Error    string  `json:"error,omitempty"`
}

// ChainReport is how a chain was at the end.
type ChainReport struct {
	ChainID string `json:"chain_id"`
	Height  int64  `json:"height"`
	AppHash string `json:"app_hash"`
	// Ahead and Behind are how far, in seconds, the chain's clock was from the true one at most; a halted chain is behind.
	Ahead  float64 `json:"clock_ahead"`
	Behind float64 `json:"clock_behind"`
	// Supply is the native supply, without virtual stake, in base units.
	Supply string `json:"native_supply"`
}

// kinds counts faults by kind, with their sums of times.
func (r Report) kinds() map[Kind]kindSum {
	out := map[Kind]kindSum{}
	for _, f := range r.Faults {
		sum := out[f.Kind]
		sum.count++
		sum.held += f.Held
		sum.longest = max(sum.longest, f.Recovery)
		sum.seen = f.Seen
		if f.Error != "" {
			sum.failed++
		}
		out[f.Kind] = sum
	}
	return out
}

type kindSum struct {
	count, failed int
	held, longest float64
	seen          string
}

// print shows the report as tables.
func (r Report) print(w io.Writer) {
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "FAULT\tMADE\tHELD\tLONGEST RECOVERY\tSEEN LAST")
	kinds := r.kinds()
	for _, k := range Kinds {
		sum := kinds[k]
		seen := sum.seen
		if slices.Contains(r.NotMade, k) {
			seen = "left out"
		}
		made := fmt.Sprint(sum.count)
		if sum.failed > 0 {
			made += fmt.Sprintf(" (%d failed)", sum.failed)
		}
		fmt.Fprintf(tw, "%s\t%s\t%.0fs\t%.0fs\t%s\n", k, made, sum.held, sum.longest, seen)
	}
	_ = tw.Flush()
	for _, counts := range []struct {
		title string
		by    map[string]int
	}{{"Transactions", r.Actions}, {"Refused or lost", r.Errors}} {
		fmt.Fprintf(w, "\n%s:", counts.title)
		for _, name := range slices.Sorted(maps.Keys(counts.by)) {
			fmt.Fprintf(w, " %s %d,", name, counts.by[name])
		}
	}
	fmt.Fprintln(w)
	for _, c := range r.Chains {
		fmt.Fprintf(w, "%s: height %d, clock at most %.1fs ahead and %.1fs behind, native supply %s\n", c.ChainID, c.Height, c.Ahead, c.Behind, c.Supply)
	}
	for _, c := range r.Checks {
		fmt.Fprintln(w, "✓", c)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, "·", n)
	}
	for _, p := range r.Problems {
		fmt.Fprintln(w, "!", p)
	}
	verdict := "passed"
	if !r.OK {
		verdict = "FAILED"
	}
	fmt.Fprintf(w, "\nThe soak %s: seed %d, %d faults of %d kinds in %.0f seconds.\n", verdict, r.Seed, len(r.Faults), len(kinds), r.Seconds)
}

func (r *Report) addNote(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}
