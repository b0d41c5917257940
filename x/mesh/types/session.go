package types

import errorsmod "cosmossdk.io/errors"

// Side is one of the two ends of a pairing.
type Side int

const (
	// SideProvider is the end that lends stake.
	SideProvider Side = iota
	// SideConsumer is the end that receives it.
	SideConsumer
)

// Half returns the half of the session that the side created.
func (s Session) Half(side Side) uint64 {
	if side == SideProvider {
		return s.Provider
	}
	return s.Consumer
}

// Peer returns the other side.
func (side Side) Peer() Side {
	if side == SideProvider {
		return SideConsumer
	}
	return SideProvider
}

func (s Session) withHalf(side Side, half uint64) Session {
	if side == SideProvider {
		s.Provider = half
	} else {
		s.Consumer = half
	}
	return s
}

// Learn takes the peer's half from a session that the peer sent. If it is higher than the one known it returns the
// session with the new half and true: the caller must then forget the amounts, sequence numbers and log positions
// stored from the peer and mark everything touched (protocol.md, Session).
func (s Session) Learn(own Side, sent Session) (Session, bool) {
	peer := own.Peer()
	if sent.Half(peer) > s.Half(peer) {
		return s.withHalf(peer, sent.Half(peer)), true
	}
	return s, false
}

// Accepts says whether a packet of session sent may be applied by the side own whose session, after Learn, is s: both
// halves are known and equal. A lower half, or a half for the receiver above its own, is refused.
func (s Session) Accepts(own Side, sent Session) bool {
	return s == sent && sent.Half(own) != 0 && sent.Half(own.Peer()) != 0
}

// Validate returns ErrInvalidSession unless both halves are below 2^63.
func (s Session) Validate() error {
	if s.Provider > maxInt63 || s.Consumer > maxInt63 {
		return errorsmod.Wrap(ErrInvalidSession, "a half is not below 2^63")
	}
	return nil
}
