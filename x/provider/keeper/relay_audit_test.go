package keeper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// TestAcknowledgementOfAnotherSessionIsAFailure: an answer whose echo is not the session of the packet says nothing about
// its listings. They are sent again, or they would be in flight for ever.
func TestAcknowledgementOfAnotherSessionIsAFailure(t *testing.T) {
	f, _, u, c := setup(t)
	require.NoError(t, c.Stake(u, 1, 100))
	f.Epoch()
	var stakes []byte
	for _, p := range f.IBC.Take() {
		update := p.Update()
		ack := meshtypes.StakeUpdateAck{
			Echo:    meshtypes.Session{Provider: update.Session.Provider - 1, Consumer: update.Session.Consumer},
			Current: update.Session, Seq: update.Seq, Height: meshtypes.NewHeight(4, 1),
		}
		for _, s := range update.Stakes {
			stakes = s.Validator
			ack.Codes = append(ack.Codes, meshtypes.STAKE_CODE_STORED)
		}
		bz, err := ack.Marshal()
		require.NoError(t, err)
		c.Acknowledge(p, channeltypes.NewResultAcknowledgement(bz).Acknowledgement())
	}
	require.NotEmpty(t, stakes)
	require.Empty(t, c.Stored)
	f.Epoch()
	f.Epoch()
	c.Relay()
	require.Equal(t, "100", c.Stored[string(stakes)].Amount.String(), "listed again")
}
