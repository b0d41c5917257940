package watchtower

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/cosmos/cosmos-sdk/crypto/keyring"
)

// chain is one configured chain.
type chain struct {
	cfg   *ChainConfig
	nodes *nodes
	log   *slog.Logger

	// What follows is unset if nothing is submitted to the chain.
	enc     *encoding
	keys    keyring.Keyring // nil in a dry run
	address string          // of the key, with the chain's prefix; empty in a dry run
}

func newChain(cfg *ChainConfig, poll time.Duration, metrics *Metrics, log *slog.Logger, now func() time.Time) (*chain, error) {
	log = log.With("chain", cfg.ChainID)
	nodes, err := newNodes(cfg, poll, metrics, log, now)
	if err != nil {
		return nil, err
	}
	c := &chain{cfg: cfg, nodes: nodes, log: log}
	if cfg.FollowOnly {
		return c, nil
	}
	c.enc, err = newEncoding(cfg.Bech32Prefix)
	return c, err
}

// useKey finds the chain's key. Nothing is asked of the chain.
func (c *chain) useKey(keys keyring.Keyring) error {
	record, err := keys.Key(c.cfg.Key)
	if err != nil {
		return fmt.Errorf("chain %q: key: %q: %w", c.cfg.ChainID, c.cfg.Key, err)
	}
	address, err := record.GetAddress()
	if err != nil {
		return fmt.Errorf("chain %q: key: %q: %w", c.cfg.ChainID, c.cfg.Key, err)
	}
	c.address, err = c.enc.accounts.BytesToString(address)
	c.keys = keys
	return err
}
