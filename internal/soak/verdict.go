package soak

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"cosmossdk.io/math"

	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"

	"github.com/mesh-security/mesh/internal/localnet"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

const (
	// agreement is how long both sides may take to agree once all is healed.
	agreement = 4 * time.Minute
	// relayerPatience is how long the relayer may take to go on before it is started again, as an operator would.
	relayerPatience = 2 * time.Minute
)

// await repeats a check until it passes, and returns what it said last.
func await(ctx context.Context, what string, timeout time.Duration, check func(context.Context) error) error {
	return localnet.WaitFor(ctx, what, timeout, func(ctx context.Context) (bool, string, error) {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		err := check(ctx)
		return err == nil, "", err
	})
}

// converged waits until everything is as if there had been no faults.
func (s *soak) converged(ctx context.Context, since string) error {
	began := time.Now()
	err := s.agree(ctx, relayerPatience)
	if errors.Is(err, localnet.ErrTimeout) {
		s.note("the relayer did not get on within %s and was started again: %v", relayerPatience, err)
		s.relayerBusy.Add(1)
		err := s.net.StopRelayer()
		if err == nil {
			err = s.net.StartRelayer()
		}
		s.relayerBusy.Add(-1)
		if err != nil {
			return err
		}
		if err := s.agree(ctx, agreement); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	s.checked("both sides agree %.0fs after %s: no packet in flight, nothing in an outbox", time.Since(began).Seconds(), since)
	return s.nodesEqual(ctx)
}

// agree waits until both directions have converged.
func (s *soak) agree(ctx context.Context, timeout time.Duration) error {
	return await(ctx, "both sides to agree", timeout, func(ctx context.Context) error {
		if problems := s.net.Status(ctx).Problems; len(problems) > 0 {
			return errors.New(strings.Join(problems, "; "))
		}
		for _, c := range s.chains {
			if err := c.agrees(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// agrees compares what the chain as a provider thinks with what its partner holds.
func (c *chain) agrees(ctx context.Context) error {
	pools, err := c.pools(ctx)
	if err != nil {
		return err
	}
	stakes, err := c.stakes(ctx)
	if err != nil {
		return err
	}
	records := map[string]math.Int{}
	for _, info := range stakes {
		add(records, info.Validator, info.Record.Amount)
		if info.Pending || !info.Current.Equal(info.Target) {
			return fmt.Errorf("%s has %s of virtual stake for %s and wants %s", c.partner.ID, info.Current, info.Validator, info.Target)
		}
	}
	if err := equalAmounts("pool of "+c.ID, nonZero(pools), "record of "+c.partner.ID, nonZero(records)); err != nil {
		return err
	}
	outbox, err := providertypes.NewQueryClient(c.Conn()).Outbox(ctx, &providertypes.QueryOutboxRequest{ConsumerId: c.ids.ConsumerID, Pagination: page})
	if err != nil {
		return err
	}
	if n := len(outbox.Entries); n > 0 {
		return fmt.Errorf("%s has %d entries in its outbox", c.ID, n)
	}
	transfers, err := consumertypes.NewQueryClient(c.partner.Conn()).RewardTransfers(ctx, &consumertypes.QueryRewardTransfersRequest{ProviderId: c.ids.ProviderID, Pagination: page})
	if err != nil {
		return err
	}
	if n := len(transfers.Transfers); n > 0 {
		return fmt.Errorf("%s has %d transfers of rewards in flight", c.partner.ID, n)
	}
	return errors.Join(c.noPackets(ctx, meshtypes.PortProvider, c.ids.ProviderChannel), c.partner.noPackets(ctx, meshtypes.PortConsumer, c.ids.ConsumerChannel))
}

// noPackets checks that none is in flight on a channel.
func (c *chain) noPackets(ctx context.Context, port, channel string) error {
	n, err := c.inFlight(ctx, port, channel)
	if err == nil && n > 0 {
		err = fmt.Errorf("%s has %d packets in flight on %s", c.ID, n, channel)
	}
	return err
}

// inFlight counts the packets on a channel that are neither acknowledged nor timed out.
func (c *chain) inFlight(ctx context.Context, port, channel string) (int, error) {
	res, err := channeltypes.NewQueryClient(c.Conn()).PacketCommitments(ctx, &channeltypes.QueryPacketCommitmentsRequest{PortId: port, ChannelId: channel, Pagination: page})
	if err != nil {
		return 0, err
	}
	return len(res.Commitments), nil
}

// waiting says how many packets the relayer has left lying.
func (s *soak) waiting(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	sum := 0
	for _, c := range s.chains {
		updates, err1 := c.inFlight(ctx, meshtypes.PortProvider, c.ids.ProviderChannel)
		reports, err2 := c.inFlight(ctx, meshtypes.PortConsumer, c.partner.ids.ConsumerChannel)
		if errors.Join(err1, err2) != nil {
			return "a chain did not answer", nil // another fault
		}
		sum += updates + reports
	}
	return fmt.Sprintf("%d packets waited", sum), nil
}

// pools are the provider's totals by validator of the consumer.
func (c *chain) pools(ctx context.Context) (map[string]math.Int, error) {
	res, err := providertypes.NewQueryClient(c.Conn()).Pools(ctx, &providertypes.QueryPoolsRequest{ConsumerId: c.ids.ConsumerID, Pagination: page})
	if err != nil {
		return nil, err
	}
	out := map[string]math.Int{}
	for _, p := range res.Pools {
		add(out, p.Operator, p.Pool.Tokens)
	}
	return out, nil
}

// stakes are what the partner holds of the chain.
func (c *chain) stakes(ctx context.Context) ([]consumertypes.StakeInfo, error) {
	res, err := consumertypes.NewQueryClient(c.partner.Conn()).Stakes(ctx, &consumertypes.QueryStakesRequest{ProviderId: c.ids.ProviderID, Pagination: page})
	if err != nil {
		return nil, err
	}
	return res.Stakes, nil
}

// nodesEqual checks that all nodes live, validate, and have the same state.
func (s *soak) nodesEqual(ctx context.Context) error {
	return each(ctx, s.chains, func(ctx context.Context, c *chain) error {
		head, err := c.Height(ctx)
		if err != nil {
			return err
		}
		if err := c.well(ctx, c.nodes, head); err != nil {
			return err
		}
		hash := ""
		for _, n := range c.nodes {
			header, err := n.RPC().Header(ctx, &head)
			if err != nil {
				return fmt.Errorf("%s: block %d: %w", n.name(), head, err)
			}
			if hash == "" {
				hash = header.Header.AppHash.String()
			} else if got := header.Header.AppHash.String(); got != hash {
				return fmt.Errorf("%s has app hash %s at %d, the first node %s", n.name(), got, head, hash)
			}
			res, err := stakingtypes.NewQueryClient(c.Conn()).Validator(ctx, &stakingtypes.QueryValidatorRequest{ValidatorAddr: n.Operator})
			if err != nil {
				return err
			}
			if v := res.Validator; v.Jailed || !v.IsBonded() {
				return fmt.Errorf("the validator of %s is %s, jailed: %t", n.name(), v.Status, v.Jailed)
			}
		}
		s.checked("%s: all %d nodes live, none jailed, app hash %.16s… at %d", c.ID, len(c.nodes), hash, head)
		ahead, behind := c.clock.worst()
		s.mu.Lock()
		s.report.Chains = slices.DeleteFunc(s.report.Chains, func(r ChainReport) bool { return r.ChainID == c.ID })
		s.report.Chains = append(s.report.Chains, ChainReport{ChainID: c.ID, Height: head, AppHash: hash, Ahead: seconds(ahead), Behind: seconds(behind)})
		s.mu.Unlock()
		return nil
	})
}

// last is checked when everybody has left.
func (s *soak) last(ctx context.Context) error {
	if err := s.converged(ctx, "the last was paid out"); err != nil {
		return err
	}
	if err := s.accounted(ctx); err != nil {
		return err
	}
	for _, c := range s.chains {
		pools, err := c.pools(ctx)
		if err != nil {
			return err
		}
		if sum := sumOf(pools); !sum.IsZero() {
			s.problem("%s: %s are still cross-staked although everybody left", c.ID, sum)
		}
		stakes, err := c.stakes(ctx)
		if err != nil {
			return err
		}
		for _, info := range stakes {
			if !info.Current.IsZero() {
				s.problem("%s: %s still has virtual stake %s although everybody left", c.partner.ID, info.Validator, info.Current)
			}
		}
		if err := c.clockOK(ctx); err != nil {
			s.problem("%v", err)
		}
		for _, n := range c.nodes {
			if err := n.logOK(); err != nil {
				s.problem("%v", err)
			}
		}
	}
	return nil
}

// clockOK compares the chain's clock with the true one.
func (c *chain) clockOK(ctx context.Context) error {
	ahead, behind := c.clock.worst()
	if ahead > clockTolerance {
		return fmt.Errorf("%s was %s ahead of the true clock", c.ID, ahead)
	}
	err := await(ctx, "a block of "+c.ID+" that is not old", time.Minute, func(ctx context.Context) error {
		_, block, err := c.Head(ctx)
		if err != nil {
			return err
		}
		if off := time.Since(block).Abs(); off > clockTolerance {
			return fmt.Errorf("the latest block is %s off the true clock", off)
		}
		return nil
	})
	if err == nil {
		c.soak.checked("%s: block time never more than %.1fs ahead of the true clock; at most %.1fs behind, halts included", c.ID, ahead.Seconds(), behind.Seconds())
	}
	return err
}

// alarming is what no node may ever print.
var alarming = regexp.MustCompile(`CONSENSUS FAILURE|panic:|fatal error:|runtime error|panicked`)

// logOK looks for panics in a node's log, but for the time its disk was full.
func (n *node) logOK() error {
	file, err := os.Open(n.Log)
	if err != nil {
		return err
	}
	defer file.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	var at int64
	in := bufio.NewReader(file)
	for {
		line, err := in.ReadString('\n')
		if alarming.MatchString(line) && !slices.ContainsFunc(n.damaged, func(p logPart) bool { return at >= p.from && at < p.to }) {
			return fmt.Errorf("%s printed: %.300s (log: %s)", n.name(), strings.TrimSpace(line), n.Log)
		}
		if err != nil {
			return nil // the end of the file
		}
		at += int64(len(line))
	}
}

// checked notes what was found in order.
func (s *soak) checked(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.say("✓ %s", text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Checks = append(s.report.Checks, text)
}
