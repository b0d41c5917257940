package soak

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/libs/log"
	p2pconn "github.com/cometbft/cometbft/p2p/conn"
	"github.com/cometbft/cometbft/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	"github.com/mesh-security/mesh/internal/localnet"
)

// skewedKey signs like a validator whose clock is wrong. All that others ever see
// of a validator's clock are the times in its votes and proposals, and those are
// what the signer says.
type skewedKey struct {
	mu   sync.Mutex // a signing state is written by one at a time
	pv   *privval.FilePV
	skew atomic.Int64
	// signed counts votes, shifted those with a wrong time.
	signed, shifted atomic.Int64
}

func (k *skewedKey) setSkew(d time.Duration) { k.skew.Store(int64(d)) }

// GetPubKey is the validator's key.
func (k *skewedKey) GetPubKey() (crypto.PubKey, error) { return k.pv.GetPubKey() }

// SignVote shifts the vote's time and signs it, never two votes at one place.
func (k *skewedKey) SignVote(chainID string, vote *cmtproto.Vote) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	skew := time.Duration(k.skew.Load())
	vote.Timestamp = vote.Timestamp.Add(skew)
	if err := k.pv.SignVote(chainID, vote); err != nil {
		return err
	}
	k.signed.Add(1)
	if skew != 0 {
		k.shifted.Add(1)
	}
	return nil
}

// SignProposal is SignVote for a proposal.
func (k *skewedKey) SignProposal(chainID string, proposal *cmtproto.Proposal) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	proposal.Timestamp = proposal.Timestamp.Add(time.Duration(k.skew.Load()))
	return k.pv.SignProposal(chainID, proposal)
}

// signer serves a skewedKey to a node, whatever becomes of the node.
type signer struct {
	*skewedKey
	chainID, address string
	cancel           context.CancelFunc
	done             chan struct{}
}

// signerPort is where a node with a namespace of its own listens for its signer.
const signerPort = 26659

// newSigner takes a validator's key and signing state from a node that does not
// run, into a directory of its own, and tells the node to ask the signer.
func newSigner(node *localnet.Node, isolated bool) (*signer, error) {
	port := signerPort
	if !isolated {
		var err error
		if port, err = freePort(); err != nil {
			return nil, err
		}
	}
	address := "tcp://" + node.Address(port)
	if err := node.Configure("config.toml", "", "priv_validator_laddr", address); err != nil {
		return nil, err
	}
	dir := filepath.Join(node.Home, "signer")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "state.json")
	data, err := os.ReadFile(signingState(node))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(state, data, 0o600); err != nil {
		return nil, err
	}
	key := &skewedKey{pv: privval.LoadFilePV(node.ValidatorKeyFile(), state)}
	ctx, cancel := context.WithCancel(context.Background())
	s := &signer{skewedKey: key, chainID: node.Chain.ID, address: address, cancel: cancel, done: make(chan struct{})}
	go s.serve(ctx)
	return s, nil
}

// serve connects to the node for ever: nodes die, and links are cut.
func (s *signer) serve(ctx context.Context) {
	defer close(s.done)
	const readTimeout = 4 * time.Second // the node pings more often
	endpoint := privval.NewSignerDialerEndpoint(log.NewNopLogger(), s.dial(readTimeout),
		privval.SignerDialerEndpointTimeoutReadWrite(readTimeout),
		privval.SignerDialerEndpointConnRetries(1<<30),
		privval.SignerDialerEndpointRetryWaitInterval(200*time.Millisecond))
	server := privval.NewSignerServer(endpoint, s.chainID, s.skewedKey)
	if err := server.Start(); err != nil {
		return
	}
	<-ctx.Done()
	_ = server.Stop()
}

// dial is as privval's own, but does not wait for ever on a link that is cut.
func (s *signer) dial(timeout time.Duration) privval.SocketDialer {
	key := ed25519.GenPrivKey()
	return func() (net.Conn, error) {
		conn, err := net.DialTimeout("tcp", s.address[len("tcp://"):], timeout)
		if err != nil {
			return nil, err
		}
		if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		secret, err := p2pconn.MakeSecretConnection(conn, key)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return secret, nil
	}
}

func (s *signer) stop() {
	s.cancel()
	<-s.done
}

// signingState is where a node remembers what it has signed.
func signingState(node *localnet.Node) string {
	return filepath.Join(node.DataDir(), "priv_validator_state.json")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("a port for the signer: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
