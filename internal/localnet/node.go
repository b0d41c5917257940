package localnet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/cosmos/cosmos-sdk/codec"
	grpctypes "github.com/cosmos/cosmos-sdk/types/grpc"

	cmthttp "github.com/cometbft/cometbft/rpc/client/http"
)

// Node is one process of a chain, and its validator.
type Node struct {
	Chain *Chain
	Index int
	// Moniker is node0, node1, …
	Moniker string
	// Home is the node's home directory.
	Home string
	// Log is the file with everything the node prints.
	Log   string
	Ports Ports
	// Operator is the validator's bech32 operator address, and Consensus its
	// bech32 consensus address.
	Operator  string
	Consensus string

	conn *grpc.ClientConn
	rpc  *cmthttp.HTTP
	// aside is set while the chain's other nodes are to be asked.
	aside atomic.Bool
}

func (n *Node) connect() error {
	if n.conn != nil {
		return nil
	}
	grpcCodec := codec.NewProtoCodec(n.Chain.enc.registry).GRPCCodec()
	conn, err := grpc.NewClient(n.Ports.grpc(), grpc.WithNoProxy(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(grpcCodec), grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		return err
	}
	rpc, err := cmthttp.New(n.Ports.rpc(), "/websocket")
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	n.conn, n.rpc = conn, rpc
	return nil
}

// Conn is a gRPC connection to this node.
func (n *Node) Conn() grpc.ClientConnInterface { return n.conn }

// RPC is a client of this node's CometBFT RPC.
func (n *Node) RPC() *cmthttp.HTTP { return n.rpc }

func (n *Node) process() *PID { return n.Chain.net.processOf(n) }

// Running reports whether the node's process is alive.
func (n *Node) Running() bool {
	p := n.process()
	return p != nil && p.alive()
}

// PID is the node's process id, 0 if it has none.
func (n *Node) PID() int {
	if p := n.process(); p != nil {
		return p.PID
	}
	return 0
}

// Start starts the node's process; it does not wait for it to answer.
func (n *Node) Start() error { return n.StartWith(n.Chain.net.state.Meshd) }

// StartWith is Start with another binary than the network's.
func (n *Node) StartWith(meshd string) error {
	if n.Running() {
		return nil
	}
	net := n.Chain.net
	program, args := net.within(nodeMember(n.Chain.ID, n.Index), meshd, "start", "--home", n.Home, "--log_no_color")
	pid, err := net.launcher.start(n.Log, n.Chain.env(), program, args...)
	if err != nil {
		return stepErr(n.Chain.ID, "start "+n.Moniker, n.Log, err)
	}
	return net.setProcess(n, &pid)
}

// Stop ends the node's process.
func (n *Node) Stop() error { return n.end(stopGrace) }

// Kill ends the node's process without giving it time to close its databases.
func (n *Node) Kill() error { return n.end(0) }

// Freeze stops the node's process without ending it; Thaw lets it go on.
func (n *Node) Freeze() error { return n.signal(syscall.SIGSTOP) }

// Thaw ends what Freeze has begun.
func (n *Node) Thaw() error { return n.signal(syscall.SIGCONT) }

func (n *Node) signal(sig syscall.Signal) error {
	p := n.process()
	if p == nil || !p.alive() {
		return stepErr(n.Chain.ID, "signal "+n.Moniker, n.Log, errors.New("it is not running"))
	}
	p.signal(sig)
	return nil
}

// SetAside says whether the chain's other nodes are to be asked, as long as one of them runs: this one may be out of
// reach or behind.
func (n *Node) SetAside(aside bool) { n.aside.Store(aside) }

// Configure changes a value in a file of the node's config directory. It has effect when the node starts again.
func (n *Node) Configure(file, section, key string, value any) error {
	return editTOML(filepath.Join(n.Home, "config", file), []setting{{section, key, value}})
}

// RPCAddress is the URL of the node's CometBFT RPC.
func (n *Node) RPCAddress() string { return n.Ports.rpc() }

// Address is the host and port at which a port of the node is reached.
func (n *Node) Address(port int) string { return n.Ports.address(port) }

func (n *Node) end(grace time.Duration) error {
	p := n.process()
	if p == nil {
		return nil
	}
	if err := stopAll([]PID{*p}, grace); err != nil {
		return stepErr(n.Chain.ID, "stop "+n.Moniker, n.Log, err)
	}
	return n.Chain.net.setProcess(n, nil)
}

// WaitReady waits until the node answers and has caught up with the chain. It
// gives up at once if the process ends.
func (n *Node) WaitReady(ctx context.Context, height int64, timeout time.Duration) error {
	what := fmt.Sprintf("block %d on %s", height, n.Ports.rpc())
	err := WaitFor(ctx, what, timeout, func(ctx context.Context) (bool, string, error) {
		if p := n.process(); p == nil || !p.alive() {
			reason := errors.New("it is not running")
			if p != nil {
				reason = n.Chain.net.launcher.exited(*p)
			}
			return false, "", fmt.Errorf("%w%w", ErrGiveUp, reason)
		}
		asked, cancel := context.WithTimeout(ctx, 10*time.Second) // it may be frozen, or out of reach
		defer cancel()
		status, err := n.rpc.Status(asked)
		if err != nil {
			return false, "", err
		}
		sync := status.SyncInfo
		seen := fmt.Sprintf("height %d, catching up: %t", sync.LatestBlockHeight, sync.CatchingUp)
		return sync.LatestBlockHeight >= height && !sync.CatchingUp, seen, nil
	})
	return stepErr(n.Chain.ID, "wait for "+n.Moniker, n.Log, err)
}

// AtHeight makes queries ask about the state after a block.
func AtHeight(ctx context.Context, height int64) context.Context {
	return metadata.AppendToOutgoingContext(ctx, grpctypes.GRPCBlockHeightHeader, strconv.FormatInt(height, 10))
}
