package types_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/internal/fuzztest"
	"github.com/mesh-security/mesh/x/mesh/types"
)

const memo2 = `{"mesh_rewards":{"rewards":[{"validator":"axelarvaloper1a","amount":"123"},{"validator":"axelarvaloper1b","amount":"1"}]}}`

func rewards(n int) []types.Reward {
	out := make([]types.Reward, n)
	for i := range out {
		name := fmt.Sprintf("%090d", i)
		out[i] = types.Reward{Validator: name, Amount: types.MaxAmount.SubRaw(1)}
	}
	return out
}

func TestRewardMemoRoundTrip(t *testing.T) {
	memo, err := types.MarshalRewardMemo([]types.Reward{
		{Validator: "axelarvaloper1a", Amount: sdkmath.NewInt(123)}, {Validator: "axelarvaloper1b", Amount: sdkmath.OneInt()},
	})
	require.NoError(t, err)
	require.Equal(t, memo2, memo)
	require.True(t, types.IsRewardMemo(memo))

	// As many entries as there may be, each as long as it may be, fit what ICS-20 carries.
	longest := rewards(types.MaxRewards)
	memo, err = types.MarshalRewardMemo(longest)
	require.NoError(t, err)
	require.LessOrEqual(t, len(memo), types.MaxRewardMemoBytes)
	got, err := types.ParseRewardMemo(memo)
	require.NoError(t, err)
	require.Equal(t, longest, got)

	got, err = types.ParseRewardMemo("\n{ \"mesh_rewards\" : {\t\"rewards\" : [ { \"amount\" : \"7\" , \"validator\" : \"v\" } ] } } ")
	require.NoError(t, err)
	require.Equal(t, []types.Reward{{Validator: "v", Amount: sdkmath.NewInt(7)}}, got)
}

func TestRewardMemoRefused(t *testing.T) {
	entry := func(validator, amount string) string {
		return fmt.Sprintf(`{"mesh_rewards":{"rewards":[{"validator":"%s","amount":"%s"}]}}`, validator, amount)
	}
	list := func(entries string) string { return `{"mesh_rewards":{"rewards":[` + entries + `]}}` }
	for _, tc := range []struct {
		name, memo string
		err        error
	}{
		{"empty", "", types.ErrMemoEncoding},
		{"not JSON", "hello", types.ErrMemoEncoding},
		{"another memo", `{"forward":{"receiver":"x"}}`, types.ErrMemoEncoding},
		{"32 KiB of nesting", strings.Repeat("[", types.MaxRewardMemoBytes), types.ErrMemoEncoding},
		{"nesting in the list", list(strings.Repeat("[", 32_000)), types.ErrMemoEncoding},
		{"nesting of objects", strings.Repeat(`{"mesh_rewards":`, 2_000), types.ErrMemoEncoding},
		{"nesting in an entry", list(strings.Repeat(`{"validator":`, 2_000)), types.ErrMemoEncoding},
		{"too long", memo2 + strings.Repeat(" ", types.MaxRewardMemoBytes), types.ErrMemoSize},
		{"cut off", memo2[:len(memo2)-1], types.ErrMemoEncoding},
		{"something after it", memo2 + "x", types.ErrMemoEncoding},
		{"a second memo after it", memo2 + memo2, types.ErrMemoEncoding},
		{"unknown field beside", `{"wasm":{},` + memo2[1:], types.ErrMemoEncoding},
		{"unknown field behind", memo2[:len(memo2)-1] + `,"a":1}`, types.ErrMemoEncoding},
		{"field twice", memo2[:len(memo2)-1] + `,"mesh_rewards":{"rewards":[]}}`, types.ErrMemoEncoding},
		{"rewards twice", memo2[:len(memo2)-2] + `,"rewards":[]}}`, types.ErrMemoEncoding},
		{"unknown field in an entry", list(`{"validator":"v","amount":"1","a":"b"}`), types.ErrMemoEncoding},
		{"validator twice in an entry", list(`{"validator":"v","validator":"w"}`), types.ErrMemoEncoding},
		{"field in capitals", list(`{"Validator":"v","amount":"1"}`), types.ErrMemoEncoding},
		{"no amount", list(`{"validator":"v"}`), types.ErrMemoEncoding},
		{"no object", list(`"v"`), types.ErrMemoEncoding},
		{"comma behind the last", list(`{"validator":"v","amount":"1"},`), types.ErrMemoEncoding},
		{"null", `{"mesh_rewards":null}`, types.ErrMemoEncoding},
		{"amount is a number", list(`{"validator":"v","amount":1}`), types.ErrMemoEncoding},
		{"escape", entry(`\u0076`, "1"), types.ErrMemoEncoding},
		{"not ASCII", entry("v\u00e4l", "1"), types.ErrMemoEncoding},
		{"not UTF-8", entry("v\xff", "1"), types.ErrMemoEncoding},
		{"control character", entry("v\x00", "1"), types.ErrMemoEncoding},
		{"no entries", list(""), types.ErrMemoEntries},
		{"201 entries", list(strings.TrimSuffix(strings.Repeat(`{"validator":"v","amount":"1"},`, 201), ",")), types.ErrMemoEntries},
		{"no validator", entry("", "1"), types.ErrMemoValidator},
		{"long validator", entry(strings.Repeat("v", types.MaxRewardValidatorBytes+1), "1"), types.ErrMemoValidator},
		{"duplicate validator", list(`{"validator":"v","amount":"1"},{"validator":"v","amount":"2"}`), types.ErrMemoValidator},
		{"negative", entry("v", "-1"), types.ErrMemoAmount},
		{"plus sign", entry("v", "+1"), types.ErrMemoAmount},
		{"zero", entry("v", "0"), types.ErrMemoAmount},
		{"leading zero", entry("v", "01"), types.ErrMemoAmount},
		{"fraction", entry("v", "1.5"), types.ErrMemoAmount},
		{"exponent", entry("v", "1e5"), types.ErrMemoAmount},
		{"hexadecimal", entry("v", "0x1"), types.ErrMemoAmount},
		{"underscore", entry("v", "1_0"), types.ErrMemoAmount},
		{"empty amount", entry("v", ""), types.ErrMemoAmount},
		{"2^128", entry("v", types.MaxAmount.String()), types.ErrMemoAmount},
		{"30,000 digits", entry("v", strings.Repeat("9", 30_000)), types.ErrMemoAmount},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := types.ParseRewardMemo(tc.memo)
			require.ErrorIs(t, err, tc.err)
			require.Nil(t, got)
		})
	}
}

func TestRewardMemoNotWritten(t *testing.T) {
	one := sdkmath.OneInt()
	for _, tc := range []struct {
		name    string
		rewards []types.Reward
		err     error
	}{
		{"nothing", nil, types.ErrMemoEntries},
		{"201", rewards(types.MaxRewards + 1), types.ErrMemoEntries},
		{"no amount", []types.Reward{{Validator: "v"}}, types.ErrMemoAmount},
		{"zero", []types.Reward{{Validator: "v", Amount: sdkmath.ZeroInt()}}, types.ErrMemoAmount},
		{"too much", []types.Reward{{Validator: "v", Amount: types.MaxAmount}}, types.ErrMemoAmount},
		{"quote", []types.Reward{{Validator: `v"`, Amount: one}}, types.ErrMemoValidator},
		{"twice", []types.Reward{{Validator: "v", Amount: one}, {Validator: "v", Amount: one}}, types.ErrMemoValidator},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := types.MarshalRewardMemo(tc.rewards)
			require.ErrorIs(t, err, tc.err)
		})
	}
}

func TestIsRewardMemo(t *testing.T) {
	require.True(t, types.IsRewardMemo(` { "mesh_rewards":`))
	for _, memo := range []string{"", "{", `{"mesh_reward":1}`, `{"mesh_rewards_":1}`, `{"forward":{}}`, `["mesh_rewards"]`} {
		require.False(t, types.IsRewardMemo(memo), memo)
	}
}

// FuzzRewardMemo: whatever a memo holds, reading it neither panics nor takes what could not have been written.
func FuzzRewardMemo(f *testing.F) {
	f.Add(memo2)
	f.Add(`{"mesh_rewards":{"rewards":[]}}`)
	f.Add("\n{ \"mesh_rewards\" : {\t\"rewards\" : [ { \"amount\" : \"7\" , \"validator\" : \"v\" } ] } } ")
	f.Fuzz(func(t *testing.T, memo string) {
		var (
			got []types.Reward
			err error
		)
		fuzztest.Allocates(t, len(memo), allocConstant, allocFactor, func() { got, err = types.ParseRewardMemo(memo) })
		if err != nil {
			require.Nil(t, got)
			return
		}
		require.True(t, types.IsRewardMemo(memo))
		again, err := types.MarshalRewardMemo(got)
		require.NoError(t, err)
		back, err := types.ParseRewardMemo(again)
		require.NoError(t, err)
		require.Equal(t, got, back)
	})
}
