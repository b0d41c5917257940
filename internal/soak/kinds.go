package soak

import (
	"fmt"
	"strings"
	"time"
)

// Kind is a kind of fault.
type Kind string

// The kinds of fault.
const (
	KillNode    Kind = "kill a node"
	KillChain   Kind = "kill all nodes of a chain"
	FreezeNode  Kind = "freeze a node"
	CutNode     Kind = "cut a node off"
	SplitChain  Kind = "split a chain in halves"
	FullDisk    Kind = "fill a node's disk"
	LoseData    Kind = "lose a node's data"
	WrongClock  Kind = "wrong clock"
	KillRelayer Kind = "kill the relayer"
	CutRelayer  Kind = "cut the relayer off a chain"
	AwayRelayer Kind = "relayer away past timeouts"
	TwoRelayers Kind = "two relayers"
	StaleFlood  Kind = "flood of stale packets"
)

// Kinds lists all kinds.
var Kinds = []Kind{
	KillNode, KillChain, FreezeNode, CutNode, SplitChain, FullDisk, LoseData, WrongClock,
	KillRelayer, CutRelayer, AwayRelayer, TwoRelayers, StaleFlood,
}

// needsNamespaces are the kinds that need network namespaces, needsMount those that need a disk in memory.
var (
	needsNamespaces = map[Kind]bool{CutNode: true, SplitChain: true, CutRelayer: true}
	needsMount      = map[Kind]bool{FullDisk: true}
)

// Fault is one fault, as it is planned.
type Fault struct {
	Kind Kind
	// Chain is the index of the chain concerned, -1 if it is none or both.
	Chain int
	// Nodes are the indexes of the nodes concerned.
	Nodes []int
	// Hold is how long the fault lasts before it is healed.
	Hold time.Duration
	// Skew is how wrong a clock is.
	Skew time.Duration
}

// where names what the fault hits.
func (f Fault) where(chains []string) string {
	if f.Chain < 0 {
		return "both chains"
	}
	where := chains[f.Chain]
	if len(f.Nodes) > 0 {
		names := make([]string, len(f.Nodes))
		for i, n := range f.Nodes {
			names[i] = fmt.Sprintf("node%d", n)
		}
		where += " " + strings.Join(names, "+")
	}
	if f.Skew != 0 {
		where += fmt.Sprintf(" by %s", f.Skew)
	}
	return where
}
