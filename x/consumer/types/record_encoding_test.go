package types_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	collcodec "cosmossdk.io/collections/codec"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/codec"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

func newCodec() codec.BinaryCodec { return codec.NewProtoCodec(codectypes.NewInterfaceRegistry()) }

// largest returns the largest number of so many bits.
func largest(bits uint) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), bits)
	return n.Sub(n, big.NewInt(1))
}

// roundTrip encodes, decodes and encodes again.
func roundTrip[T any](t *testing.T, enc collcodec.ValueCodec[T], value T) (T, []byte) {
	t.Helper()
	bz, err := enc.Encode(value)
	require.NoError(t, err)
	got, err := enc.Decode(bz)
	require.NoError(t, err)
	again, err := enc.Encode(got)
	require.NoError(t, err)
	require.Equal(t, bz, again)
	return got, bz
}

// TestStakeRecordInTheStore compares the encoding in the store with protobuf: both must give the same record back.
func TestStakeRecordInTheStore(t *testing.T) {
	enc := types.StakeRecordValue(newCodec())
	cases := map[string]types.StakeRecord{
		"new":   types.NewStakeRecord(),
		"unset": {},
		"usual": {
			Amount: sdkmath.NewInt(123_456_789), Seq: 300, ExecutedSeq: 299, ExecutedHeight: meshtypes.NewHeight(1, 8_000_001),
			ExecutedAmount: sdkmath.NewInt(1), FailingSince: time.Date(2026, 11, 22, 1, 2, 3, 4, time.UTC),
			Price: sdkmath.LegacyMustNewDecFromStr("1.250000000000000001"),
		},
		"largest": {
			Amount: sdkmath.NewIntFromBigInt(largest(256)), Seq: 1<<64 - 1, ExecutedSeq: 1<<64 - 1,
			ExecutedHeight: meshtypes.NewHeight(1<<64-1, 1<<64-1), ExecutedAmount: sdkmath.NewIntFromBigInt(largest(256)),
			FailingSince: time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
			Price:        sdkmath.LegacyNewDecFromBigIntWithPrec(largest(315), sdkmath.LegacyPrecision),
		},
		"long ago": {FailingSince: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)},
	}
	for name, rec := range cases {
		t.Run(name, func(t *testing.T) {
			got, bz := roundTrip(t, enc, rec)
			var want types.StakeRecord
			text, err := rec.Marshal()
			require.NoError(t, err)
			require.NoError(t, want.Unmarshal(text))
			require.Equal(t, want.String(), got.String())
			require.True(t, want.FailingSince.Equal(got.FailingSince))

			// Nothing but the whole is a record.
			for n := range bz {
				_, err := enc.Decode(bz[:n])
				require.ErrorIs(t, err, collcodec.ErrEncoding, "first %d bytes", n)
			}
			_, err = enc.Decode(append(bz, 0))
			require.ErrorIs(t, err, collcodec.ErrEncoding)
		})
	}
}

func TestTargetInTheStore(t *testing.T) {
	enc := types.TargetValue(newCodec())
	for name, target := range map[string]types.Target{
		"unset": {},
		"usual": {
			Tokens: sdkmath.NewInt(255), Seq: 7, Amount: sdkmath.NewInt(256), Price: sdkmath.LegacyNewDecWithPrec(1, 18),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, bz := roundTrip(t, enc, target)
			var want types.Target
			text, err := target.Marshal()
			require.NoError(t, err)
			require.NoError(t, want.Unmarshal(text))
			require.Equal(t, want.String(), got.String())
			for n := range bz {
				_, err := enc.Decode(bz[:n])
				require.ErrorIs(t, err, collcodec.ErrEncoding, "first %d bytes", n)
			}
		})
	}
}

func TestRecordsThatCannotBeStored(t *testing.T) {
	stakes, targets := types.StakeRecordValue(newCodec()), types.TargetValue(newCodec())
	below := sdkmath.NewInt(-1)
	for name, rec := range map[string]types.StakeRecord{
		"amount":          {Amount: below},
		"executed amount": {ExecutedAmount: below},
		"price":           {Price: sdkmath.LegacyNewDec(-1)},
	} {
		_, err := stakes.Encode(rec)
		require.ErrorIs(t, err, collcodec.ErrEncoding, name)
	}
	_, err := targets.Encode(types.Target{Tokens: below})
	require.ErrorIs(t, err, collcodec.ErrEncoding)

	// A target: tokens, seq, amount, price.
	for name, bz := range map[string][]byte{
		"nothing":         {},
		"longer than all": {255, 255, 255, 255, 255, 255, 255, 255, 255, 1},
		"seq above 2^64":  {0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1},
		"tokens 2^256":    append(append([]byte{33, 1}, make([]byte, 32)...), 0, 0, 0),
		"price 2^315":     append([]byte{0, 0, 0, 40, 8}, make([]byte, 39)...),
	} {
		_, err := targets.Decode(bz)
		require.ErrorIs(t, err, collcodec.ErrEncoding, name)
	}
	_, err = targets.Decode([]byte{0, 0, 0, 0})
	require.NoError(t, err)
	// A stake record whose flag of a time is neither.
	_, err = stakes.Decode([]byte{0, 0, 0, 0, 0, 0, 2, 0})
	require.ErrorIs(t, err, collcodec.ErrEncoding)
}
