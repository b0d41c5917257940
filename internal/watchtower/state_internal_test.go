package watchtower

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	cmttypes "github.com/cometbft/cometbft/types"
)

var errCrash = errors.New("crash")

// sampleEvidence is evidence of both kinds.
func sampleEvidence(t *testing.T) (doubleVote, misbehaviour *Evidence) {
	t.Helper()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	chain := newFakeChain("axelar-1", 4, start).grow(10)
	fork := chain.fork(fakeBase + 6)
	ev, err := evidenceFrom("axelar-1", start, chain.doubleVote(1, fakeBase+4))
	require.NoError(t, err)
	return ev, &Evidence{
		ChainID: "axelar-1", Kind: KindMisbehaviour, Height: fakeBase + 6, CommonHeight: fakeBase + 5, Time: start,
		Headers: []*cmttypes.LightBlock{chain.lightBlock(fakeBase + 6), fork.lightBlock(fakeBase + 6)},
	}
}

func TestStoreRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	s, err := OpenStore(path, false)
	require.NoError(t, err)
	_, followed := s.Height("axelar-1")
	require.False(t, followed)

	now := time.Date(2026, 3, 1, 12, 0, 0, 123, time.UTC)
	vote, headers := sampleEvidence(t)
	s.Advance("axelar-1", fakeBase+77)
	added, err := s.Record(now, vote, headers, vote)
	require.NoError(t, err)
	require.Len(t, added, 2, "the second time it is not new")
	sub := Submission{
		Status: StatusSent, ConsumerID: "07-tendermint-3", Attempts: 4, NextTry: now.Add(time.Hour), TxHash: "AB12",
		FromHeight: 5_000_001, TimeoutHeight: 5_000_041, Error: "x", Result: resultSent, UpdatedAt: now,
	}
	target := targetOf("osmosis-1", "07-tendermint-3")
	require.NoError(t, s.SetSubmission(vote.Hash(), target, sub))
	require.ErrorContains(t, s.SetSubmission("unknown", target, sub), "forgotten")

	again, err := OpenStore(path, false)
	require.NoError(t, err)
	height, followed := again.Height("axelar-1")
	require.True(t, followed)
	require.Equal(t, fakeBase+77, height)
	got, ok := again.Submission(vote.Hash(), target)
	require.True(t, ok)
	require.Equal(t, sub, got)
	require.Equal(t, []string{target}, again.Targets(vote.Hash(), "osmosis-1"))
	require.Empty(t, again.Targets(vote.Hash(), "osmosis"))
	require.Equal(t, 1, again.Open("osmosis-1"))
	require.Empty(t, again.Evidence("axelar-1"), "evidence of a chain is not for itself")
	found := again.Evidence("osmosis-1")
	require.Len(t, found, 2)
	for _, f := range found {
		require.Equal(t, f.Hash, f.Evidence.Hash(), "names survive")
		require.True(t, f.Evidence.Complete())
	}
	added, err = again.Record(now, vote, headers)
	require.NoError(t, err)
	require.Empty(t, added)

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// A crash between writing the new file and renaming it leaves the old one, and the remains are no trouble.
func TestStoreCrashBeforeRename(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	s, err := OpenStore(path, false)
	require.NoError(t, err)
	s.Advance("axelar-1", fakeBase)
	require.NoError(t, s.Save())

	s.rename = func(string, string) error { return errCrash }
	s.Advance("axelar-1", fakeBase+5)
	require.ErrorIs(t, s.Save(), errCrash)
	require.FileExists(t, path+".tmp")
	require.NoError(t, os.Truncate(path+".tmp", 3)) // half written

	again, err := OpenStore(path, false)
	require.NoError(t, err)
	height, _ := again.Height("axelar-1")
	require.Equal(t, fakeBase, height)
	again.Advance("axelar-1", fakeBase+9)
	require.NoError(t, again.Save())
	require.NoFileExists(t, path+".tmp")
	third, err := OpenStore(path, false)
	require.NoError(t, err)
	height, _ = third.Height("axelar-1")
	require.Equal(t, fakeBase+9, height)
}

func TestStoreRefusesBrokenFiles(t *testing.T) {
	vote, _ := sampleEvidence(t)
	dir := t.TempDir()
	good := filepath.Join(dir, "good.json")
	s, err := OpenStore(good, false)
	require.NoError(t, err)
	_, err = s.Record(time.Now(), vote)
	require.NoError(t, err)
	require.NoError(t, s.SetSubmission(vote.Hash(), "osmosis-1/07-tendermint-0", Submission{Status: StatusPending}))
	s.Advance("axelar-1", 7)
	require.NoError(t, s.Save())
	bz, err := os.ReadFile(good)
	require.NoError(t, err)

	replace := func(from, to string) string {
		require.Contains(t, string(bz), from)
		return strings.Replace(string(bz), from, to, 1)
	}
	testCases := []struct{ name, content, expErr string }{
		{"empty", "", "EOF"},
		{"cut off", string(bz[:len(bz)/2]), "unexpected EOF"},
		{"not JSON", "\x00\x01", "invalid character"},
		{"two values", string(bz) + "{}", "more than one value"},
		{"version of the future", replace(`"version": 1`, `"version": 2`), "version 2"},
		{"unknown field", replace(`"version": 1`, `"version": 1, "extra": 0`), "unknown field"},
		{"no chains", `{"version": 1, "evidence": {}}`, "incomplete"},
		{"negative height", replace(`"height": 7`, `"height": -7`), `place in chain "axelar-1"`},
		{"evidence without content", replace(`"payload": [`, `"payload": [], "payload": [`+"\n"+`"AAAA", `), "evidence"},
		{"unknown kind", replace(`"kind": "double_vote"`, `"kind": "amnesia"`), `kind "amnesia"`},
		{"unknown status", replace(`"status": "pending"`, `"status": "maybe"`), `status "maybe"`},
		{"null evidence", `{"version": 1, "chains": {}, "evidence": {"ab": null}}`, "empty"},
	}
	for _, tc := range testCases {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.json")
			require.NoError(t, os.WriteFile(path, []byte(tc.content), 0o600))
			_, err := OpenStore(path, false)
			require.ErrorIs(t, err, ErrState)
			require.ErrorContains(t, err, tc.expErr)
			require.ErrorContains(t, err, path)
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, tc.content, string(after), "it is left for whoever looks into it")
		})
	}
}

func TestStoreReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	s, err := OpenStore(path, true)
	require.NoError(t, err)
	vote, _ := sampleEvidence(t)
	_, err = s.Record(time.Now(), vote)
	require.NoError(t, err)
	require.NoError(t, s.Save())
	require.Len(t, s.Evidence(""), 1)
	require.NoFileExists(t, path)
}

func TestStoreForget(t *testing.T) {
	s, err := OpenStore(filepath.Join(t.TempDir(), "state.json"), false)
	require.NoError(t, err)
	vote, headers := sampleEvidence(t)
	_, err = s.Record(vote.Time, vote, headers)
	require.NoError(t, err)
	n, err := s.Forget(vote.Time)
	require.NoError(t, err)
	require.Zero(t, n)

	// What may still be included is kept, or it could be sent twice.
	require.NoError(t, s.SetSubmission(vote.Hash(), "osmosis-1/c", Submission{Status: StatusSent}))
	n, err = s.Forget(vote.Time.Add(time.Second))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Len(t, s.Evidence(""), 1)
	require.NoError(t, s.SetSubmission(vote.Hash(), "osmosis-1/c", Submission{Status: StatusDone}))
	n, err = s.Forget(vote.Time.Add(time.Second))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Empty(t, s.Evidence(""))
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	release, err := lock(path)
	require.NoError(t, err)
	_, err = lock(path)
	require.ErrorIs(t, err, ErrState)
	require.NoError(t, release())
	release, err = lock(path)
	require.NoError(t, err)
	require.NoError(t, release())
}

func TestBackoff(t *testing.T) {
	for failures, exp := range map[int]string{0: "2s", 1: "2s", 2: "4s", 3: "8s", 5: "32s", 6: "1m0s", 1_000_000: "1m0s"} {
		require.Equal(t, exp, backoff(2*time.Second, time.Minute, failures).String(), failures)
	}
}
