package types_test

import (
	"bytes"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/internal/fuzztest"
	"github.com/mesh-security/mesh/x/consumer/types"
)

func posts(prices ...string) (out []types.PostedPrice) {
	for i, p := range prices {
		out = append(out, types.PostedPrice{Price: sdkmath.LegacyMustNewDecFromStr(p), PostedAt: time.Unix(int64(100+i), 0)})
	}
	return out
}

func TestMedian(t *testing.T) {
	for name, tc := range map[string]struct {
		posts  []types.PostedPrice
		quorum int
		median string
		used   int
		age    int64 // index of the post it is as old as
	}{
		"one":                       {posts("5"), 1, "5", 1, 0},
		"none":                      {nil, 1, "", 0, 0},
		"too few":                   {posts("5", "5"), 3, "", 2, 0},
		"two, the lower":            {posts("5.1", "5"), 2, "5", 2, 0},
		"three":                     {posts("5.2", "5", "5.1"), 2, "5.1", 3, 1},
		"outlier above":             {posts("5.2", "50000", "5.1"), 2, "5.1", 2, 0},
		"outlier below":             {posts("0.00001", "5.2", "5.1"), 2, "5.1", 2, 1},
		"just no outlier":           {posts("4.5", "5", "5.5"), 3, "5", 3, 0},
		"just outliers":             {posts("4.499999999999999999", "5", "5.500000000000000001"), 2, "", 1, 0},
		"two camps":                 {posts("1", "1", "9", "9"), 3, "", 2, 0},
		"the smaller camp is lower": {posts("1", "9", "9", "9"), 3, "9", 3, 1},
		"smallest of all":           {posts("0.000000000000000001", "0.000000000000000001"), 1, "0.000000000000000001", 2, 1},
		"no quorum at all":          {posts("1"), 0, "", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, used, ok := types.Median(tc.posts, sdkmath.LegacyMustNewDecFromStr("0.1"), tc.quorum)
			require.Equal(t, tc.used, used)
			require.Equal(t, tc.median != "", ok)
			if ok {
				require.Equal(t, sdkmath.LegacyMustNewDecFromStr(tc.median).String(), got.Price.String())
				require.Equal(t, 100+tc.age, got.PostedAt.Unix())
			} else {
				require.True(t, got.Price.IsZero())
			}
		})
	}
}

// TestNoMinorityMovesTheMedian: with more honest posts than others, and the quorum of their number, the price is between
// honest ones or there is none.
func TestNoMinorityMovesTheMedian(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		honest := rapid.IntRange(2, 16).Draw(r, "honest")
		var list []types.PostedPrice
		low, high := types.MaxPrice, sdkmath.LegacyZeroDec()
		for range honest {
			p := sdkmath.LegacyNewDec(rapid.Int64Range(95, 105).Draw(r, "price"))
			low, high = sdkmath.LegacyMinDec(low, p), sdkmath.LegacyMaxDec(high, p)
			list = append(list, types.PostedPrice{Price: p})
		}
		for range rapid.IntRange(0, honest-1).Draw(r, "others") {
			list = append(list, types.PostedPrice{Price: sdkmath.LegacyNewDec(rapid.Int64Range(1, 10_000).Draw(r, "lie"))})
		}
		list = rapid.Permutation(list).Draw(r, "order")
		if got, _, ok := types.Median(list, sdkmath.LegacyMustNewDecFromStr("0.5"), honest); ok {
			require.True(t, got.Price.GTE(low) && got.Price.LTE(high), "%s, honest %s to %s", got.Price, low, high)
		}
	})
}

// TestAverageEqualsTheSumOfParts: whatever the prices and their times, the average is that of the parts of the window.
func TestAverageEqualsTheSumOfParts(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		const start = uint64(1_900_000_000) * 1e9
		window := time.Duration(rapid.Int64Range(1, 1_000_000).Draw(r, "window"))
		var (
			points []types.Point
			prices []sdkmath.LegacyDec
			now    = start
		)
		for i := range rapid.IntRange(1, 12).Draw(r, "changes") {
			if i == 0 {
				points = append(points, types.Point{Time: now, Sum: new(big.Int)})
			} else {
				now += rapid.Uint64Range(1, 300_000).Draw(r, "for")
				points = append(points, types.Advance(points[i-1], prices[i-1], now))
			}
			prices = append(prices, sdkmath.LegacyNewDecFromBigIntWithPrec(
				new(big.Int).SetUint64(rapid.Uint64Min(1).Draw(r, "price")), sdkmath.LegacyPrecision))
		}
		now += rapid.Uint64Range(0, 2_000_000).Draw(r, "since")
		got := types.Average(points, prices[len(prices)-1], now, window)

		from := max(start, now-uint64(window))
		if now == start {
			require.Equal(t, prices[len(prices)-1].BigInt(), got)
			return
		}
		sum := new(big.Int)
		for i, p := range points {
			end := now
			if i+1 < len(points) {
				end = points[i+1].Time
			}
			if begin := max(p.Time, from); end > begin {
				sum.Add(sum, new(big.Int).Mul(prices[i].BigInt(), new(big.Int).SetUint64(end-begin)))
			}
		}
		exact := sum.Quo(sum, new(big.Int).SetUint64(now-from))
		// One accumulator in between is rounded, for the pool.
		diff := new(big.Int).Sub(exact, got)
		require.True(t, diff.Sign() >= 0 && diff.Cmp(big.NewInt(1)) <= 0, "%s, exactly %s", got, exact)
	})
}

func field(number protowire.Number, bz []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), bz)
}

func TestReadPrice(t *testing.T) {
	varint := protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 450)
	fixed32 := protowire.AppendFixed32(protowire.AppendTag(nil, 3, protowire.Fixed32Type), 450)
	fixed64 := protowire.AppendFixed64(protowire.AppendTag(nil, 3, protowire.Fixed64Type), 450)
	group := protowire.AppendTag(protowire.AppendTag(nil, 3, protowire.StartGroupType), 3, protowire.EndGroupType)
	text := types.PriceSource{Encoding: types.PRICE_ENCODING_TEXT}
	at := func(s types.PriceSource, exponent int32, path ...uint32) types.PriceSource {
		s.FieldPath, s.Exponent = path, exponent
		return s
	}
	number := types.PriceSource{Encoding: types.PRICE_ENCODING_UINT}
	big32 := types.PriceSource{Encoding: types.PRICE_ENCODING_BIG_ENDIAN}
	for name, tc := range map[string]struct {
		source types.PriceSource
		value  []byte
		want   string // scaled; empty: refused
	}{
		"text":                    {text, []byte("0.45"), "450000000000000000"},
		"whole text":              {text, []byte("45"), "45000000000000000000"},
		"legacy dec in state":     {at(text, -18), []byte("450000000000000000"), "450000000000000000"},
		"text, more digits":       {text, []byte("0.1234567890123456789"), "123456789012345678"},
		"zeros in front":          {text, []byte("000.5"), "500000000000000000"},
		"zero":                    {text, []byte("0"), "0"},
		"in a field":              {at(text, 0, 2), field(2, []byte("0.5")), "500000000000000000"},
		"three deep":              {at(text, 0, 1, 1, 1), field(1, field(1, field(1, []byte("2")))), "2000000000000000000"},
		"behind others":           {at(text, 0, 9), append(bytes.Clone(varint), field(9, []byte("2"))...), "2000000000000000000"},
		"varint":                  {at(number, -3, 3), varint, "450000000000000000"},
		"fixed32":                 {at(number, -3, 3), fixed32, "450000000000000000"},
		"fixed64":                 {at(number, -3, 3), fixed64, "450000000000000000"},
		"big endian":              {at(big32, 0), []byte{1, 0}, "256000000000000000000"},
		"big endian, down":        {at(big32, -20), []byte{1, 0}, "2"},
		"empty text":              {text, nil, ""},
		"negative":                {text, []byte("-1"), ""},
		"nan":                     {text, []byte("NaN"), ""},
		"dot only":                {text, []byte("."), ""},
		"two dots":                {text, []byte("1.1.1"), ""},
		"a hundred and one digit": {text, bytes.Repeat([]byte("1"), 101), ""},
		"too large":               {text, bytes.Repeat([]byte("9"), 80), ""},
		"too large by exponent":   {at(text, 36), bytes.Repeat([]byte("9"), 30), ""},
		"no such field":           {at(text, 0, 4), field(2, []byte("1")), ""},
		"field there twice":       {at(text, 0, 2), append(field(2, []byte("1")), field(2, []byte("1"))...), ""},
		"path through a number":   {at(text, 0, 3, 1), varint, ""},
		"number as text":          {at(text, 0, 3), varint, ""},
		"text as number":          {at(number, 0, 2), field(2, []byte("1")), ""},
		"group":                   {at(text, 0, 3), group, ""},
		"no message":              {at(text, 0, 1), []byte{0xFF, 0xFF}, ""},
		"cut":                     {at(text, 0, 2), field(2, []byte("0.5"))[:3], ""},
		"33 bytes":                {at(big32, 0), make([]byte, 33), ""},
		"no bytes":                {at(big32, 0), nil, ""},
		"no encoding":             {types.PriceSource{}, []byte("1"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.source.Read(tc.value)
			if tc.want == "" {
				require.ErrorIs(t, err, types.ErrPriceDecode)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, got.String())
		})
	}
}

func TestReadTime(t *testing.T) {
	stamp := func(seconds, nanos uint64) []byte {
		bz := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), seconds)
		return protowire.AppendVarint(protowire.AppendTag(bz, 2, protowire.VarintType), nanos)
	}
	s := types.PriceSource{TimePath: []uint32{5}}
	for name, tc := range map[string]struct {
		value []byte
		want  uint64
		ok    bool
	}{
		"a time":       {field(5, stamp(1_900_000_000, 7)), 1_900_000_000_000_000_007, true},
		"no nanos":     {field(5, stamp(1, 0)[:2]), 1_000_000_000, true},
		"nothing set":  {field(5, nil), 0, true},
		"negative":     {field(5, stamp(1<<64-1, 0)), 0, false},
		"many nanos":   {field(5, stamp(1, 1_000_000_000)), 0, false},
		"far away":     {field(5, stamp(9_300_000_000, 0)), 0, false},
		"text":         {field(5, field(1, []byte("1"))), 0, false},
		"no field":     {field(4, stamp(1, 0)), 0, false},
		"no timestamp": {protowire.AppendVarint(protowire.AppendTag(nil, 5, protowire.VarintType), 7), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.ReadTime(tc.value)
			if !tc.ok {
				require.ErrorIs(t, err, types.ErrPriceDecode)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

// FuzzReadPrice: what a chain has in its state never panics, and what is read is a number within its bounds.
func FuzzReadPrice(f *testing.F) {
	f.Add([]byte("0.45"), uint32(0), int32(1), int32(-18))
	f.Add(field(1, field(2, []byte("450000000000000000"))), uint32(1), int32(1), int32(-18))
	f.Add(field(3, []byte{0xFF}), uint32(3), int32(3), int32(36))
	f.Fuzz(func(t *testing.T, value []byte, number uint32, encoding, exponent int32) {
		s := types.PriceSource{
			ClientId: "07-tendermint-0", Path: [][]byte{{1}}, Encoding: types.PriceEncoding(encoding), Exponent: exponent,
		}
		if number != 0 {
			s.FieldPath, s.TimePath = []uint32{number, 2}, []uint32{number}
		}
		var (
			got *big.Int
			err error
		)
		fuzztest.Allocates(t, len(value), 64<<10, 64, func() {
			_, _ = s.ReadTime(value)
			got, err = s.Read(value)
		})
		if err == nil {
			require.True(t, got.Sign() >= 0 && got.BitLen() <= 240)
		}
	})
}
