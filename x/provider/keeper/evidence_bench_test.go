package keeper_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"

	"github.com/mesh-security/mesh/x/provider/testutil"
	"github.com/mesh-security/mesh/x/provider/types"
)

// BenchmarkVerifyDoubleVote compares the check of a double-vote evidence (ParseDoubleVote and VerifyDoubleVote), and a whole
// message with all its reads (refused at its last step, as the stake was punished before), with two bare ed25519
// verifications. The three take turns; the medians are reported.
func BenchmarkVerifyDoubleVote(b *testing.B) {
	t := &testing.T{}
	key := testutil.ConsensusKey(1)
	pub := key.PubKey()
	s := newSlasher(t, nil)
	m := s.doubleVote(1, offence)
	votes := []*cmtproto.Vote{m.Evidence.VoteA, m.Evidence.VoteB}
	_, err := s.f.Msgs.SubmitDoubleVote(s.f.Ctx, m)
	require.NoError(b, err)
	signBytes := [][]byte{cmttypes.VoteSignBytes(chainID, votes[0]), cmttypes.VoteSignBytes(chainID, votes[1])}

	took := map[string][]time.Duration{}
	measure := func(name string, fn func()) {
		start := time.Now()
		fn()
		took[name] = append(took[name], time.Since(start))
	}
	for b.Loop() {
		pub.VerifySignature(signBytes[0], votes[0].Signature) // so that bare has no cold caches
		measure("bare", func() {
			for i, v := range votes {
				if !pub.VerifySignature(signBytes[i], v.Signature) {
					b.Fatal("not valid")
				}
			}
		})
		measure("check", func() {
			one, two, err := types.ParseDoubleVote(m.Evidence)
			if err == nil {
				err = types.VerifyDoubleVote(chainID, pub, one, two)
			}
			if err != nil {
				b.Fatal(err)
			}
		})
		measure("message", func() {
			if _, err := s.f.Msgs.SubmitDoubleVote(s.f.Ctx, m); !types.ErrAlreadyPunished.Is(err) {
				b.Fatal(err)
			}
		})
	}
	median := func(name string) float64 {
		slices.Sort(took[name])
		return float64(took[name][len(took[name])/2].Nanoseconds())
	}
	b.ReportMetric(median("bare"), "bare-ns")
	b.ReportMetric(median("check")/median("bare"), "check/bare")
	b.ReportMetric(median("message")/median("bare"), "message/bare")
}
