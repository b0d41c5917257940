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
	"github.com/cometbft/cometbft/libs/protoio"
	p2pconn "github.com/cometbft/cometbft/p2p/conn"
	"github.com/cometbft/cometbft/privval"
	privvalproto "github.com/cometbft/cometbft/proto/tendermint/privval"
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
	if err := os.WriteFile(state, data, 0o600); err != nil { //nolint:gosec // below the network's directory
		return nil, err
	}
	key := &skewedKey{pv: privval.LoadFilePV(node.ValidatorKeyFile(), state)}
	ctx, cancel := context.WithCancel(context.Background())
	s := &signer{skewedKey: key, chainID: node.Chain.ID, address: address, cancel: cancel, done: make(chan struct{})}
	go s.serve(ctx)
	return s, nil
}

// Between two requests of a node, pings among them, lie a few seconds. CometBFT's
// own server stays with a connection that the other side has closed, so a node
// that was killed would wait for it in vain; this one dials again.
const (
	signerSilence = 8 * time.Second
	signerRedial  = 200 * time.Millisecond
)

// serve connects to the node again and again: nodes die, and links are cut.
func (s *signer) serve(ctx context.Context) {
	defer close(s.done)
	identity := ed25519.GenPrivKey()
	for ctx.Err() == nil {
		if conn, err := s.dial(ctx, identity); err == nil {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			s.answer(conn)
			stop()
			_ = conn.Close()
		}
		_ = pause(ctx, signerRedial)
	}
}

// answer answers a node's requests until the connection ends.
func (s *signer) answer(conn net.Conn) {
	const maxRequest = 10 << 10
	for {
		if conn.SetDeadline(time.Now().Add(signerSilence)) != nil {
			return
		}
		var request privvalproto.Message
		if _, err := protoio.NewDelimitedReader(conn, maxRequest).ReadMsg(&request); err != nil {
			return
		}
		// What it refuses to sign is in the answer.
		response, _ := privval.DefaultValidationRequestHandler(s.skewedKey, request, s.chainID)
		if _, err := protoio.NewDelimitedWriter(conn).WriteMsg(&response); err != nil {
			return
		}
	}
}

// dial connects to the node, which authenticates nobody.
func (s *signer) dial(ctx context.Context, identity crypto.PrivKey) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", s.address[len("tcp://"):])
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(signerSilence)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	secret, err := p2pconn.MakeSecretConnection(conn, identity)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secret, nil
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
