package localnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"

	cmthttp "github.com/cometbft/cometbft/rpc/client/http"
	cmttypes "github.com/cometbft/cometbft/types"
)

// Chain is a running chain.
type Chain struct {
	ID       string
	Prefix   string
	Denom    string
	Decimals uint32
	// MinGasPrice is in Denom.
	MinGasPrice math.LegacyDec
	BlockTime   time.Duration
	EpochLength time.Duration
	Unbonding   time.Duration
	Nodes       []*Node

	net        *Network
	enc        *encoding
	clientHome string
	accounts   []AccountState

	mu      sync.Mutex
	signers map[string]*sync.Mutex
	// confirming is held while a channel is opened that this chain confirms last.
	confirming sync.Mutex
}

func newChain(n *Network, s ChainState) (*Chain, error) {
	enc, err := newEncoding(s.Prefix)
	if err != nil {
		return nil, err
	}
	price, err := math.LegacyNewDecFromStr(s.MinGasPrice)
	if err != nil {
		return nil, err
	}
	c := &Chain{
		ID: s.ID, Prefix: s.Prefix, Denom: s.Denom, Decimals: s.Decimals, MinGasPrice: price,
		BlockTime: s.BlockTime, EpochLength: s.EpochLength, Unbonding: s.Unbonding,
		net: n, enc: enc, clientHome: s.ClientHome, accounts: s.Accounts,
		signers: map[string]*sync.Mutex{},
	}
	for i, ns := range s.Nodes {
		node := &Node{
			Chain: c, Index: i, Moniker: ns.Moniker, Home: ns.Home, Log: ns.Log, Ports: ns.Ports,
			Operator: ns.Operator, Consensus: ns.Consensus,
		}
		if err := node.connect(); err != nil {
			return nil, err
		}
		c.Nodes = append(c.Nodes, node)
	}
	return c, nil
}

// Node returns a node by its name, nil if there is none.
func (c *Chain) Node(moniker string) *Node {
	for _, n := range c.Nodes {
		if n.Moniker == moniker {
			return n
		}
	}
	return nil
}

// primary is the node that is asked: the first one that runs and is not set aside.
func (c *Chain) primary() *Node {
	for _, n := range c.Nodes {
		if n.Running() && !n.aside.Load() {
			return n
		}
	}
	return c.Nodes[0]
}

// Conn is a gRPC connection to a running node, for typed query clients.
func (c *Chain) Conn() grpc.ClientConnInterface { return c.primary().Conn() }

// RPC is a CometBFT RPC client of a running node.
func (c *Chain) RPC() *cmthttp.HTTP { return c.primary().RPC() }

// Codec encodes and decodes the chain's messages.
func (c *Chain) Codec() codec.Codec { return c.enc.codec }

// Accounts lists the chain's accounts, validators' operators first.
func (c *Chain) Accounts() []AccountState { return c.accounts }

func (c *Chain) account(name string) (AccountState, error) {
	for _, a := range c.accounts {
		if a.Name == name {
			return a, nil
		}
	}
	return AccountState{}, fmt.Errorf("chain %s has no account %q", c.ID, name)
}

// Address is the bech32 address of a named account. It panics if the topology
// has no such account.
func (c *Chain) Address(name string) string {
	a, err := c.account(name)
	if err != nil {
		panic(err)
	}
	return a.Address
}

// ModuleAddress is the bech32 address of a module account, such as "gov".
func (c *Chain) ModuleAddress(module string) string {
	return c.Bech32(moduleAddress(module))
}

// Bech32 spells an account address with the chain's prefix.
func (c *Chain) Bech32(address []byte) string {
	s, err := c.enc.accounts.BytesToString(address)
	if err != nil {
		panic(err)
	}
	return s
}

// AddressBytes decodes an account or operator address of the chain.
func (c *Chain) AddressBytes(address string) ([]byte, error) {
	if strings.HasPrefix(address, c.Prefix+sdk.PrefixValidator+sdk.PrefixOperator) {
		return c.enc.validators.StringToBytes(address)
	}
	return c.enc.accounts.StringToBytes(address)
}

// Coin is an amount of the chain's own denom.
func (c *Chain) Coin(amount int64) sdk.Coin { return sdk.NewInt64Coin(c.Denom, amount) }

// Balance is what an address holds of a denom.
func (c *Chain) Balance(ctx context.Context, address, denom string) (math.Int, error) {
	res, err := banktypes.NewQueryClient(c.Conn()).Balance(ctx, &banktypes.QueryBalanceRequest{Address: address, Denom: denom})
	if err != nil {
		return math.Int{}, fmt.Errorf("chain %s: balance of %s: %w", c.ID, address, err)
	}
	return res.Balance.Amount, nil
}

// Height is the latest block's height.
func (c *Chain) Height(ctx context.Context) (int64, error) {
	height, _, err := c.Head(ctx)
	return height, err
}

// Head is the latest block's height and time.
func (c *Chain) Head(ctx context.Context) (int64, time.Time, error) {
	status, err := c.RPC().Status(ctx)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("chain %s: status: %w", c.ID, err)
	}
	return status.SyncInfo.LatestBlockHeight, status.SyncInfo.LatestBlockTime, nil
}

// patience is how long n blocks may take on a busy machine.
func (c *Chain) patience(n int64) time.Duration {
	return time.Duration(n)*(c.BlockTime+3*time.Second) + 30*time.Second
}

// WaitHeight waits until the chain has a block at height.
func (c *Chain) WaitHeight(ctx context.Context, height int64) error {
	now, err := c.Height(ctx)
	if err != nil {
		return err
	}
	return WaitFor(ctx, fmt.Sprintf("block %d of %s", height, c.ID), c.patience(max(0, height-now)),
		func(ctx context.Context) (bool, string, error) {
			h, err := c.Height(ctx)
			return h >= height, fmt.Sprintf("height %d", h), err
		})
}

// WaitBlocks waits for n more blocks.
func (c *Chain) WaitBlocks(ctx context.Context, n int64) error {
	height, err := c.Height(ctx)
	if err != nil {
		return err
	}
	return c.WaitHeight(ctx, height+n)
}

// WaitEpochs waits as long as n epochs of the mesh modules take, by the chain's
// own clock, and two blocks for their work.
func (c *Chain) WaitEpochs(ctx context.Context, n int) error {
	_, now, err := c.Head(ctx)
	if err != nil {
		return err
	}
	return c.WaitTime(ctx, now.Add(time.Duration(n)*c.EpochLength+2*c.BlockTime))
}

// WaitTime waits until the chain's clock has passed t.
func (c *Chain) WaitTime(ctx context.Context, t time.Time) error {
	timeout := max(0, time.Until(t)) + c.patience(2)
	return WaitFor(ctx, fmt.Sprintf("%s of %s's clock", t.UTC().Format(time.TimeOnly), c.ID), timeout,
		func(ctx context.Context) (bool, string, error) {
			_, now, err := c.Head(ctx)
			return !now.Before(t), now.UTC().Format(time.TimeOnly), err
		})
}

// WaitFor polls a condition on the chain, with the chain in the messages.
func (c *Chain) WaitFor(ctx context.Context, what string, timeout time.Duration, check func(context.Context) (bool, string, error)) error {
	return stepErr(c.ID, "wait", c.primary().Log, WaitFor(ctx, what, timeout, check))
}

// Validators is CometBFT's own validator set at a height, 0 meaning the latest.
func (c *Chain) Validators(ctx context.Context, height int64) ([]*cmttypes.Validator, error) {
	var at *int64
	if height > 0 {
		at = &height
	}
	var out []*cmttypes.Validator
	for page, perPage := 1, 100; ; page++ {
		res, err := c.RPC().Validators(ctx, at, &page, &perPage)
		if err != nil {
			return nil, fmt.Errorf("chain %s: validators: %w", c.ID, err)
		}
		out = append(out, res.Validators...)
		if len(out) >= res.Total {
			return out, nil
		}
		at = &res.BlockHeight // all pages of one height
	}
}

// VotingPower is a node's power in CometBFT's latest validator set, 0 if it is
// not in it.
func (c *Chain) VotingPower(ctx context.Context, node *Node) (int64, error) {
	validators, err := c.Validators(ctx, 0)
	if err != nil {
		return 0, err
	}
	for _, v := range validators {
		address, err := c.enc.consensus.BytesToString(v.Address)
		if err != nil {
			return 0, err
		}
		if address == node.Consensus {
			return v.VotingPower, nil
		}
	}
	return 0, nil
}

func (c *Chain) env() []string { return []string{"MESHD_BECH32_PREFIX=" + c.Prefix} }

// Command prepares a meshd command with the chain's keyring and settings, so
// that neither --home nor --node nor --chain-id has to be given.
func (c *Chain) Command(ctx context.Context, args ...string) *exec.Cmd {
	withHome := args
	if !hasFlag(args, "--home") {
		withHome = append([]string{}, args...)
		withHome = append(withHome, "--home", c.clientHome)
	}
	cmd := exec.CommandContext(ctx, c.net.state.Meshd, withHome...) //nolint:gosec // running it is the purpose
	// Flags that are not given come from the environment.
	cmd.Env = append(append(os.Environ(), c.env()...),
		"MESHD_NODE="+c.primary().Ports.rpc(), "MESHD_GAS=auto", "MESHD_GAS_ADJUSTMENT=1.5", "MESHD_GAS_PRICES="+c.MinGasPrice.String()+c.Denom)
	return cmd
}

func hasFlag(args []string, flag string) bool {
	for _, a := range args {
		if a == flag || strings.HasPrefix(a, flag+"=") {
			return true
		}
	}
	return false
}

// RestartWith stops all nodes and starts them with another binary than the
// network's. It waits, at most the given time, until each has seen two more
// blocks.
func (c *Chain) RestartWith(ctx context.Context, meshd string, timeout time.Duration) error {
	height, err := c.Height(ctx)
	if err != nil {
		return err
	}
	var stopped errgroup.Group
	for _, n := range c.Nodes {
		stopped.Go(n.Stop)
	}
	if err := stopped.Wait(); err != nil {
		return err
	}
	for _, n := range c.Nodes {
		if err := n.StartWith(meshd); err != nil {
			return err
		}
	}
	for _, n := range c.Nodes {
		if err := n.WaitReady(ctx, height+2, timeout); err != nil {
			return err
		}
	}
	return nil
}

// CLI runs a meshd command and returns what it prints.
func (c *Chain) CLI(ctx context.Context, args ...string) ([]byte, error) {
	cmd := c.Command(ctx, args...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, lastMessage(string(exit.Stderr)))
		}
		return out, fmt.Errorf("chain %s: %s: %w", c.ID, commandName(c.net.state.Meshd, args), err)
	}
	return out, nil
}

// Query runs `meshd query …` and decodes its JSON.
func (c *Chain) Query(ctx context.Context, out any, args ...string) error {
	bz, err := c.CLI(ctx, append(append([]string{"query"}, args...), "--output", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(bz, out); err != nil {
		return fmt.Errorf("chain %s: query %s: %w", c.ID, strings.Join(args, " "), err)
	}
	return nil
}

// direct is a client that asks no proxy: nodes are on this machine, whatever their address.
var direct = &http.Client{Transport: &http.Transport{}}

// REST asks the chain's REST server, such as "/cosmos/staking/v1beta1/pool",
// and decodes its JSON.
func (c *Chain) REST(ctx context.Context, path string, out any) error {
	url := c.Nodes[0].Ports.api() + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := direct.Do(req)
	if err != nil {
		return fmt.Errorf("chain %s: %w", c.ID, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("chain %s: %s: %w", c.ID, url, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("chain %s: %s: %s: %s", c.ID, url, res.Status, body)
	}
	return json.Unmarshal(body, out)
}

// ValidatorKeyFile is the private consensus key of a node's validator.
func (n *Node) ValidatorKeyFile() string {
	return filepath.Join(n.Home, "config", "priv_validator_key.json")
}
