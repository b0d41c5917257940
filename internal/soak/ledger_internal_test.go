package soak

import (
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/mesh-security/mesh/internal/localnet"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

func event(kind string, pairs ...string) abci.Event {
	e := abci.Event{Type: kind}
	for i := 0; i < len(pairs); i += 2 {
		e.Attributes = append(e.Attributes, abci.EventAttribute{Key: pairs[i], Value: pairs[i+1]})
	}
	return e
}

func of(n int64) math.Int { return math.NewInt(n) }

func TestLedgerAddsUp(t *testing.T) {
	l := newLedger("utok", "ann")
	coin := func(n int64) sdk.Coin { return sdk.NewInt64Coin("utok", n) }
	for _, msg := range []sdk.Msg{
		&providertypes.MsgCrossStake{Delegator: "ann", Validator: "v1", Amount: coin(100)},
		&providertypes.MsgCrossStake{Delegator: "somebody", Validator: "v1", Amount: coin(7)},
		&providertypes.MsgCrossUnstake{Delegator: "ann", Validator: "v1", Amount: coin(30)},
		&providertypes.MsgCrossRedelegate{Delegator: "ann", From: "v1", To: "v2", Amount: coin(20)},
	} {
		l.message(msg)
	}
	automatic, err := sdk.TypedEventToEvent(&providertypes.EventCrossUnstake{Delegator: "ann", Validator: "v2", Amount: of(5), Automatic: true})
	require.NoError(t, err)
	asked, err := sdk.TypedEventToEvent(&providertypes.EventCrossUnstake{Delegator: "ann", Validator: "v2", Amount: of(30)})
	require.NoError(t, err)
	shrunk, err := sdk.TypedEventToEvent(&providertypes.EventPositionShrunk{Delegator: "ann", Validator: "v1", Amount: of(1)})
	require.NoError(t, err)
	require.NoError(t, l.events([]abci.Event{
		abci.Event(automatic), abci.Event(asked), abci.Event(shrunk),
		event("transfer", "sender", "ann", "recipient", "fees", "amount", "4utok"),
		event("transfer", "sender", "rewards", "recipient", "ann", "amount", "9other,11utok"),
		event("slash", "address", "v", "reason", "downtime"),
		event("timeout_packet"),
	}))
	a := l.accounts["ann"]
	require.NoError(t, a.holds(map[string]math.Int{"v1": of(49), "v2": of(15)}))
	require.ErrorContains(t, a.holds(map[string]math.Int{"v1": of(49)}), "v2: cross-stake 15, but positions 0")
	require.ErrorContains(t, a.holds(map[string]math.Int{"v1": of(49), "v2": of(15), "v3": of(1)}), "v3: cross-stake 0, but positions 1")
	require.Equal(t, of(6), a.automatic)
	require.Equal(t, map[string]math.Int{"v1": of(49), "v2": of(15)}, l.staked())
	require.Equal(t, of(11), a.in)
	require.Equal(t, of(4), a.out)
	require.Equal(t, []string{"v for downtime"}, l.slashes)
	require.Equal(t, 1, l.packets["timeout_packet"])
}

func TestLedgerFindsWhatIsMissing(t *testing.T) {
	a := newLedger("utok", "ann").accounts["ann"]
	a.in, a.out = of(11), of(4)
	for _, tc := range []struct {
		w    wealth
		want string
	}{
		{wealth{of(50), of(40), of(17)}, ""},
		{wealth{of(50), of(40), of(16)}, "1 are missing"},
		{wealth{of(50), of(0), of(17)}, "40 are missing"},
		{wealth{of(51), of(40), of(17)}, "1 are too many"},
	} {
		err := a.due(of(100), tc.w)
		if tc.want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, tc.want)
		}
	}
}

func TestSoundSupply(t *testing.T) {
	require.NoError(t, soundSupply(of(1000), of(1300), of(300)))
	require.ErrorContains(t, soundSupply(of(1000), of(1300), of(301)), "1 are missing")
	require.ErrorContains(t, soundSupply(of(1000), of(1300), of(299)), "1 are too many")
	require.ErrorContains(t, soundSupply(of(1000), of(999), of(0)), "1 are missing")
}

func TestUnforeseenErrors(t *testing.T) {
	require.False(t, unforeseen(&localnet.TxError{Codespace: "meshprovider", Code: 7, Log: "not enough collateral"}))
	require.False(t, unforeseen(&localnet.TxError{Codespace: "sdk", Code: 32, Log: "account sequence mismatch"}))
	require.True(t, unforeseen(&localnet.TxError{Codespace: "undefined", Code: 111222, Log: "recovered"}))
	require.True(t, unforeseen(&localnet.TxError{Codespace: "sdk", Code: 2, Log: "panic: nil map"}))
}

func TestReportFailsWithAProblem(t *testing.T) {
	s := &soak{Options: Options{Out: testWriter{t}}}
	s.problem("%d lost", 1)
	s.problem("%d lost", 1)
	require.Equal(t, []string{"1 lost"}, s.report.Problems)
	s.report.Faults = []FaultReport{{Kind: KillNode, Held: 3, Recovery: 4}, {Kind: KillNode, Held: 2, Recovery: 1, Error: "no"}}
	require.Equal(t, kindSum{count: 2, failed: 1, held: 5, longest: 4}, s.report.kinds()[KillNode])
}

type testWriter struct{ tb testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.tb.Logf("%s", p)
	return len(p), nil
}
