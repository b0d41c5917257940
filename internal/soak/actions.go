package soak

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mesh-security/mesh/internal/localnet"
)

// recovery is how long anything may take to be well again, on a slow machine.
const recovery = 4 * time.Minute

// action is how a fault is made and healed.
type action struct {
	// clients is true if light clients are not updated meanwhile.
	clients bool
	inject  func(ctx context.Context) error
	// observe says what came of it, before it is healed; may be nil.
	observe func(ctx context.Context) (string, error)
	// heal ends the fault; it is called even if inject failed.
	heal func(ctx context.Context) error
	// recovered waits until all is well again and says what was seen; may be nil.
	recovered func(ctx context.Context) (string, error)
}

// action says how a planned fault is made.
func (s *soak) action(f Fault) action {
	var c *chain
	var nodes []*node
	if f.Chain >= 0 {
		c = s.chains[f.Chain]
		for _, i := range f.Nodes {
			nodes = append(nodes, c.nodes[i])
		}
	}
	switch f.Kind {
	case KillNode:
		return c.without(nodes, (*node).kill, (*node).Start, false)
	case KillChain:
		a := c.without(nodes, (*node).kill, (*node).Start, true)
		a.clients = true
		return a
	case FreezeNode:
		return c.without(nodes, (*node).Freeze, (*node).Thaw, false)
	case CutNode:
		return c.without(nodes, (*node).Cut, (*node).Mend, false)
	case SplitChain:
		move := func(to func(...*localnet.Node) error) func(*node) error {
			return func(n *node) error { return to(n.Node) }
		}
		a := c.without(nodes, move(c.Split), move(c.Join), true)
		a.clients = true
		return a
	case FullDisk:
		return nodes[0].fullDisk()
	case LoseData:
		return nodes[0].loseData()
	case WrongClock:
		return nodes[0].wrongClock(f.Skew)
	case KillRelayer, AwayRelayer:
		a := s.relayerKilled()
		a.clients = f.Kind == AwayRelayer
		return a
	case CutRelayer:
		return action{
			inject:    func(context.Context) error { return s.net.CutRelayer(c.Chain) },
			observe:   s.waiting,
			heal:      func(context.Context) error { return s.net.MendRelayer(c.Chain) },
			recovered: s.relaysAgain,
		}
	case TwoRelayers:
		return s.twoRelayers()
	case StaleFlood:
		return s.flood()
	}
	panic("unknown kind of fault: " + string(f.Kind)) // Kinds lists them all; a test makes each
}

func (n *node) kill() error { return n.Kill() }

// aside begins and ends a fault of a node: others are asked meanwhile.
func (n *node) aside() {
	n.busy.Add(1)
	n.SetAside(true)
}

func (n *node) back() {
	n.SetAside(false)
	n.busy.Add(-1)
}

// without is a fault that takes nodes away and brings them back. halts says
// whether the chain cannot go on without them.
func (c *chain) without(nodes []*node, away, back func(*node) error, halts bool) action {
	var before, during int64
	return action{
		inject: func(ctx context.Context) error {
			var err error
			if before, err = c.Height(ctx); err != nil {
				return err
			}
			for _, n := range nodes {
				if len(nodes) < len(c.nodes) {
					n.aside()
				} else {
					n.busy.Add(1) // nobody else can be asked
				}
			}
			for _, n := range nodes {
				err = errors.Join(err, away(n))
			}
			return err
		},
		observe: func(ctx context.Context) (string, error) {
			var err error
			if during, err = c.Height(ctx); err != nil {
				return "no node answered", nil //nolint:nilerr // that is the fault
			}
			if halts && during > before+3 {
				return "", fmt.Errorf("%s made %d blocks without two thirds of its power", c.ID, during-before)
			}
			if halts {
				return fmt.Sprintf("halted at %d", during), nil
			}
			return fmt.Sprintf("%d blocks without it", during-before), nil
		},
		heal: func(context.Context) error {
			var err error
			for _, n := range nodes {
				err = errors.Join(err, back(n))
			}
			return err
		},
		recovered: func(ctx context.Context) (string, error) {
			if err := c.well(ctx, nodes, max(before, during)); err != nil {
				return "", err
			}
			for _, n := range nodes {
				if len(nodes) < len(c.nodes) {
					n.back()
				} else {
					n.busy.Add(-1)
				}
			}
			return "", nil
		},
	}
}

// well waits until nodes follow a chain that makes blocks beyond a height.
func (c *chain) well(ctx context.Context, nodes []*node, height int64) error {
	return each(ctx, nodes, func(ctx context.Context, n *node) error { return n.WaitReady(ctx, height+2, recovery) })
}

// wrongClock shifts what a validator says of the time.
func (n *node) wrongClock(skew time.Duration) action {
	var before int64
	return action{
		inject: func(context.Context) error {
			before = n.signer.shifted.Load()
			n.signer.setSkew(skew)
			return nil
		},
		observe: func(context.Context) (string, error) {
			return fmt.Sprintf("%d votes with a wrong time", n.signer.shifted.Load()-before), nil
		},
		heal: func(context.Context) error {
			n.signer.setSkew(0)
			return nil
		},
	}
}
