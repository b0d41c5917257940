package types

import (
	"bytes"
	"math"
	"math/big"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// The feeds a provider's price may come from.
const (
	// PriceFeedGovernance is the feed of prices that governance posts.
	PriceFeedGovernance = "governance"
	// PriceFeedFeeders is the feed of the median of what authorised accounts post.
	PriceFeedFeeders = "feeders"
	// PriceFeedProof is the feed of prices proved from another chain's state.
	PriceFeedProof = "proof"
)

// Bounds of what feeds may hold.
const (
	// MaxFeeders is how many accounts may post a provider's price.
	MaxFeeders = 32
	// MinPriceWindow is the shortest time that prices are averaged over; an epoch is longer, as a rule.
	MinPriceWindow = time.Second
	// MaxPriceWindow is the longest time that prices are averaged over.
	MaxPriceWindow = 30 * 24 * time.Hour
	// MaxPriceValueBytes is the longest value proved.
	MaxPriceValueBytes = 16 << 10
	// MaxPriceProofBytes is the longest proof.
	MaxPriceProofBytes = 64 << 10
	// MaxPriceObservations is how many accumulators are kept of a provider.
	MaxPriceObservations = 64

	maxPathKeys       = 4
	maxPathKeyBytes   = 512
	maxFieldPath      = 16
	maxExponent       = 36
	maxNumberBytes    = 100
	maxAddressText    = 128
	maxFeederBytes    = 255
	accumulatorBits   = 240
	observationsParts = 32 // kept accumulators are at least so much of the window apart
)

// MaxPrice is the highest price, 10^18.
var MaxPrice = sdkmath.LegacyNewDec(1_000_000_000_000_000_000)

// ValidatePrice returns ErrInvalidPrice unless the price is in (0, 10^18].
func ValidatePrice(price sdkmath.LegacyDec) error {
	if price.IsNil() || !price.IsPositive() || price.GT(MaxPrice) {
		return errorsmod.Wrap(ErrInvalidPrice, "must be in (0, 10^18]")
	}
	return nil
}

// validateFeed checks the feed and how its price is made. Errors: ErrUnknownPriceFeed, ErrInvalidPriceConfig,
// ErrInvalidFeeders, ErrInvalidPriceSource.
func (c ProviderConfig) validateFeed() error {
	p := c.PriceOrDefault()
	switch {
	case c.PriceFeed != PriceFeedGovernance && c.PriceFeed != PriceFeedFeeders && c.PriceFeed != PriceFeedProof:
		return errorsmod.Wrapf(ErrUnknownPriceFeed, "%q", c.PriceFeed)
	case p.Window != 0 && (p.Window < MinPriceWindow || p.Window > MaxPriceWindow):
		return errorsmod.Wrapf(ErrInvalidPriceConfig, "window must be 0, or in [%s, %s]", MinPriceWindow, MaxPriceWindow)
	case p.MaxPostAge < 0:
		return errorsmod.Wrap(ErrInvalidPriceConfig, "max_post_age is negative")
	case c.PriceFeed == PriceFeedGovernance && p.MaxPostAge != 0:
		return errorsmod.Wrap(ErrInvalidPriceConfig, "max_post_age is for feeders and proofs")
	}
	if c.PriceFeed == PriceFeedFeeders {
		if err := p.validateFeeders(); err != nil {
			return err
		}
	} else if len(p.Feeders) != 0 || p.MinFeeders != 0 || (!p.MaxDeviation.IsNil() && !p.MaxDeviation.IsZero()) {
		return errorsmod.Wrapf(ErrInvalidFeeders, "the feed is %q", c.PriceFeed)
	}
	switch {
	case (c.PriceFeed == PriceFeedProof) != (p.Source != nil):
		return errorsmod.Wrapf(ErrInvalidPriceSource, "a source belongs to the feed %q, and to no other", PriceFeedProof)
	case p.Source == nil:
		return nil
	case p.Source.Accumulator && p.Window == 0:
		return errorsmod.Wrap(ErrInvalidPriceConfig, "two accumulators need a window between them")
	}
	return p.Source.Validate()
}

// PriceOrDefault returns how the price is made: without a configuration, of the posts as they are.
func (c ProviderConfig) PriceOrDefault() PriceConfig {
	if c.Price == nil {
		return PriceConfig{MaxDeviation: sdkmath.LegacyZeroDec()}
	}
	return *c.Price
}

func (p PriceConfig) validateFeeders() error {
	if len(p.Feeders) == 0 || len(p.Feeders) > MaxFeeders {
		return errorsmod.Wrapf(ErrInvalidFeeders, "%d, must be 1 to %d", len(p.Feeders), MaxFeeders)
	}
	for i, f := range p.Feeders {
		if f == "" || len(f) > maxAddressText || slices.Contains(p.Feeders[:i], f) {
			return errorsmod.Wrapf(ErrInvalidFeeders, "%q is empty, too long or there twice", f)
		}
	}
	if p.MinFeeders == 0 || int(p.MinFeeders) > len(p.Feeders) {
		return errorsmod.Wrapf(ErrInvalidFeeders, "%d must agree, of %d", p.MinFeeders, len(p.Feeders))
	}
	if p.MaxDeviation.IsNil() || !p.MaxDeviation.IsPositive() || p.MaxDeviation.GT(sdkmath.LegacyOneDec()) {
		return errorsmod.Wrap(ErrInvalidFeeders, "max_deviation must be in (0, 1]")
	}
	return nil
}

// Validate returns ErrInvalidPriceSource unless every field is within its bounds.
func (s PriceSource) Validate() error {
	if err := ValidateProviderID(s.ClientId); err != nil {
		return errorsmod.Wrap(ErrInvalidPriceSource, err.Error())
	}
	fail := func(what string) error { return errorsmod.Wrap(ErrInvalidPriceSource, what) }
	if len(s.Path) == 0 || len(s.Path) > maxPathKeys {
		return fail("path must have 1 to 4 keys")
	}
	for _, key := range s.Path {
		if len(key) == 0 || len(key) > maxPathKeyBytes {
			return fail("a key of the path must have 1 to 512 bytes")
		}
	}
	for _, path := range [][]uint32{s.FieldPath, s.TimePath} {
		if len(path) > maxFieldPath {
			return fail("at most 16 fields deep")
		}
		for _, field := range path {
			if field == 0 || field > uint32(protowire.MaxValidNumber) {
				return fail("no such field number")
			}
		}
	}
	switch {
	case s.Encoding <= PRICE_ENCODING_UNSPECIFIED || s.Encoding > PRICE_ENCODING_BIG_ENDIAN:
		return fail("unknown encoding")
	case s.Encoding == PRICE_ENCODING_UINT && len(s.FieldPath) == 0:
		return fail("a varint is in a field")
	case s.Exponent < -maxExponent || s.Exponent > maxExponent:
		return fail("exponent must be in [-36, 36]")
	case s.Accumulator && (s.AccumulatorUnit <= 0 || s.AccumulatorUnit > time.Hour):
		return fail("accumulator_unit must be in (0, 1 h]")
	case !s.Accumulator && (s.AccumulatorUnit != 0 || len(s.TimePath) != 0):
		return fail("accumulator_unit and time_path belong to accumulators")
	}
	return nil
}

// SameSource says whether what was posted under one configuration counts under the other: of one denom, by one feed, from
// one source.
func (c ProviderConfig) SameSource(o ProviderConfig) bool {
	a, b := c.PriceOrDefault().Source, o.PriceOrDefault().Source
	if c.CollateralDenom != o.CollateralDenom || c.PriceFeed != o.PriceFeed || (a == nil) != (b == nil) {
		return false
	}
	if a == nil {
		return true
	}
	return a.ClientId == b.ClientId && slices.EqualFunc(a.Path, b.Path, bytes.Equal) && slices.Equal(a.FieldPath, b.FieldPath) &&
		a.Encoding == b.Encoding && a.Exponent == b.Exponent && a.Accumulator == b.Accumulator &&
		a.AccumulatorUnit == b.AccumulatorUnit && slices.Equal(a.TimePath, b.TimePath)
}

// Median returns the price that posts make together: the median (of two in the middle the lower one) of those that are
// not further from the median of all than the fraction maxDeviation of it. It is as old as the post that completes the
// quorum. used is how many posts it is made of; if they are fewer than the quorum there is no price.
func Median(posts []PostedPrice, maxDeviation sdkmath.LegacyDec, quorum int) (median PostedPrice, used int, ok bool) {
	if quorum < 1 || len(posts) < quorum {
		return PostedPrice{Price: sdkmath.LegacyZeroDec()}, len(posts), false
	}
	kept := slices.Clone(posts)
	slices.SortFunc(kept, func(a, b PostedPrice) int { return a.Price.BigIntMut().Cmp(b.Price.BigIntMut()) })
	middle := kept[(len(kept)-1)/2].Price
	far := middle.MulTruncate(maxDeviation)
	low, high := middle.Sub(far), middle.Add(far)
	kept = slices.DeleteFunc(kept, func(p PostedPrice) bool { return p.Price.LT(low) || p.Price.GT(high) })
	if used = len(kept); used < quorum {
		return PostedPrice{Price: sdkmath.LegacyZeroDec()}, used, false
	}
	median.Price = kept[(used-1)/2].Price
	slices.SortFunc(kept, func(a, b PostedPrice) int { return b.PostedAt.Compare(a.PostedAt) })
	median.PostedAt = kept[quorum-1].PostedAt
	return median, used, true
}

// Read returns the number in a value, scaled by 10^18, rounded down. Errors: ErrPriceDecode.
func (s PriceSource) Read(value []byte) (*big.Int, error) {
	field, typ, err := findField(value, s.FieldPath)
	if err != nil {
		return nil, err
	}
	var number, divisor *big.Int
	switch s.Encoding {
	case PRICE_ENCODING_TEXT:
		number, divisor, err = readText(field, typ)
	case PRICE_ENCODING_UINT:
		number, divisor, err = readUint(field, typ)
	case PRICE_ENCODING_BIG_ENDIAN:
		number, divisor, err = readBigEndian(field, typ)
	default:
		err = errorsmod.Wrap(ErrPriceDecode, "unknown encoding")
	}
	if err != nil {
		return nil, err
	}
	if e := int64(s.Exponent) + sdkmath.LegacyPrecision; e >= 0 {
		number.Mul(number, pow10(uint32(e)))
	} else {
		divisor.Mul(divisor, pow10(uint32(-e)))
	}
	if number.Quo(number, divisor); number.BitLen() > accumulatorBits {
		return nil, errorsmod.Wrap(ErrPriceDecode, "too large")
	}
	return number, nil
}

// ReadTime returns the accumulator's own time in unix nanoseconds. Errors: ErrPriceDecode.
func (s PriceSource) ReadTime(value []byte) (uint64, error) {
	field, typ, err := findField(value, s.TimePath)
	if err != nil {
		return 0, err
	}
	if typ != protowire.BytesType {
		return 0, errorsmod.Wrap(ErrPriceDecode, "the time is no message")
	}
	var parts [2]uint64 // seconds, nanos
	for i := range parts {
		bz, typ, err := lastField(field, protowire.Number(i+1), true)
		if err != nil {
			return 0, err
		}
		if bz == nil {
			continue
		}
		if typ != protowire.VarintType {
			return 0, errorsmod.Wrap(ErrPriceDecode, "the time is no timestamp")
		}
		parts[i], _ = protowire.ConsumeVarint(bz)
	}
	if parts[0] > math.MaxInt64/uint64(time.Second)-1 || parts[1] >= uint64(time.Second) {
		return 0, errorsmod.Wrap(ErrPriceDecode, "the time is out of range")
	}
	return parts[0]*uint64(time.Second) + parts[1], nil
}

// findField follows field numbers into messages; without any it returns the value itself, as bytes.
func findField(value []byte, path []uint32) ([]byte, protowire.Type, error) {
	typ := protowire.BytesType
	for i, number := range path {
		if typ != protowire.BytesType {
			return nil, 0, errorsmod.Wrapf(ErrPriceDecode, "field %d is no message", path[i-1])
		}
		var err error
		if value, typ, err = lastField(value, protowire.Number(number), false); err != nil {
			return nil, 0, err
		}
	}
	return value, typ, nil
}

// lastField returns a field of a message: its contents, of numbers as encoded. A field there twice is refused: which one
// is meant is for nobody to choose. If it is optional it may be absent (nil).
func lastField(msg []byte, number protowire.Number, optional bool) (field []byte, typ protowire.Type, err error) {
	found := false
	for len(msg) > 0 {
		num, t, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return nil, 0, errorsmod.Wrap(ErrPriceDecode, "no protobuf message")
		}
		msg = msg[n:]
		if t == protowire.StartGroupType || t == protowire.EndGroupType {
			return nil, 0, errorsmod.Wrap(ErrPriceDecode, "groups are not read")
		}
		n = protowire.ConsumeFieldValue(num, t, msg)
		if n < 0 {
			return nil, 0, errorsmod.Wrap(ErrPriceDecode, "no protobuf message")
		}
		if num == number {
			if found {
				return nil, 0, errorsmod.Wrapf(ErrPriceDecode, "field %d is there twice", number)
			}
			found, field, typ = true, msg[:n], t
			if t == protowire.BytesType {
				field, _ = protowire.ConsumeBytes(field)
			}
		}
		msg = msg[n:]
	}
	if !found && !optional {
		return nil, 0, errorsmod.Wrapf(ErrPriceDecode, "no field %d", number)
	}
	return field, typ, nil
}

func readText(field []byte, typ protowire.Type) (number, divisor *big.Int, err error) {
	digits, fraction, dot := field, 0, bytes.IndexByte(field, '.')
	if dot >= 0 {
		digits, fraction = slices.Concat(field[:dot], field[dot+1:]), len(field)-dot-1
	}
	if typ != protowire.BytesType || len(field) > maxNumberBytes || len(digits) == 0 || dot == 0 || (dot > 0 && fraction == 0) {
		return nil, nil, errorsmod.Wrap(ErrPriceDecode, "no decimal number")
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return nil, nil, errorsmod.Wrap(ErrPriceDecode, "no decimal number")
		}
	}
	number, _ = new(big.Int).SetString(string(digits), 10)
	return number, pow10(uint32(fraction)), nil
}

func readUint(field []byte, typ protowire.Type) (number, divisor *big.Int, err error) {
	var v uint64
	switch typ {
	case protowire.VarintType:
		v, _ = protowire.ConsumeVarint(field)
	case protowire.Fixed32Type:
		v32, _ := protowire.ConsumeFixed32(field)
		v = uint64(v32)
	case protowire.Fixed64Type:
		v, _ = protowire.ConsumeFixed64(field)
	default:
		return nil, nil, errorsmod.Wrap(ErrPriceDecode, "no number")
	}
	return new(big.Int).SetUint64(v), big.NewInt(1), nil
}

func readBigEndian(field []byte, typ protowire.Type) (number, divisor *big.Int, err error) {
	if typ != protowire.BytesType || len(field) == 0 || len(field) > 32 {
		return nil, nil, errorsmod.Wrap(ErrPriceDecode, "must be 1 to 32 bytes")
	}
	return new(big.Int).SetBytes(field), big.NewInt(1), nil
}

// ScaledDec returns a number scaled by 10^18 as a decimal; ErrInvalidPrice unless it is a price.
func ScaledDec(scaled *big.Int) (sdkmath.LegacyDec, error) {
	if scaled.Sign() <= 0 || scaled.Cmp(MaxPrice.BigInt()) > 0 {
		return sdkmath.LegacyZeroDec(), errorsmod.Wrap(ErrInvalidPrice, "must be in (0, 10^18]")
	}
	return sdkmath.LegacyNewDecFromBigIntWithPrec(scaled, sdkmath.LegacyPrecision), nil
}

// Point is an accumulator at a time.
type Point struct {
	// Time is in unix nanoseconds.
	Time uint64
	// Sum is the sum of price × time, scaled by 10^18.
	Sum *big.Int
}

// MeanPrice returns (b − a) / (time between them), scaled by 10^18 and rounded down, where the accumulator's unit of time
// is so many nanoseconds.
//
// CONTRACT: b is later than a and its sum is not smaller.
func MeanPrice(a, b Point, unit time.Duration) *big.Int {
	diff := new(big.Int).Sub(b.Sum, a.Sum)
	diff.Mul(diff, big.NewInt(int64(unit)))
	return diff.Quo(diff, new(big.Int).SetUint64(b.Time-a.Time))
}

// Base returns the newest point that is at least a window older than the time, and whether there is one not more than two
// windows older: the accumulator to subtract.
func Base(points []Point, at uint64, window time.Duration) (Point, bool) {
	for i := len(points) - 1; i >= 0; i-- {
		if age := at - points[i].Time; points[i].Time < at && age >= uint64(window) {
			return points[i], age <= 2*uint64(window)
		}
	}
	return Point{}, false
}

// Average returns the average of a price since a window ago, scaled by 10^18 and rounded down, from its accumulator in
// nanoseconds at some times and the price since the last of them. Between two points the price is taken to have been the
// same. Before the first point nothing is known, and the average is over the time since. Without time to average over it
// is the price.
//
// CONTRACT: points are in the order of time, none later than now.
func Average(points []Point, price sdkmath.LegacyDec, now uint64, window time.Duration) *big.Int {
	if len(points) == 0 || window <= 0 || points[0].Time >= now {
		return price.BigInt()
	}
	last := points[len(points)-1]
	end := Point{now, new(big.Int).Add(last.Sum, rising(price, now-last.Time))}
	start := points[0]
	if from := now - min(now, uint64(window)); from > start.Time {
		next := end
		for i := len(points) - 1; i >= 0; i-- {
			if points[i].Time <= from {
				start = between(points[i], next, from)
				break
			}
			next = points[i]
		}
	}
	return MeanPrice(start, end, time.Nanosecond)
}

// Advance returns the accumulator, in nanoseconds, at a time at which the price since its last point ends.
func Advance(last Point, price sdkmath.LegacyDec, now uint64) Point {
	return Point{now, new(big.Int).Add(last.Sum, rising(price, now-last.Time))}
}

func rising(price sdkmath.LegacyDec, d uint64) *big.Int {
	return new(big.Int).Mul(price.BigInt(), new(big.Int).SetUint64(d))
}

// between returns the accumulator between two points, rounded up.
func between(a, b Point, at uint64) Point {
	if at == a.Time {
		return a
	}
	sum := new(big.Int).Sub(b.Sum, a.Sum)
	sum.Mul(sum, new(big.Int).SetUint64(at-a.Time))
	span := new(big.Int).SetUint64(b.Time - a.Time)
	sum.Add(sum, span).Sub(sum, bigOne).Quo(sum, span)
	return Point{at, sum.Add(sum, a.Sum)}
}

// Thin says which points are of no use once one at the time is added: those before the newest that is a window older, and
// the last one if it is close to the one before. So there are never more than MaxPriceObservations.
//
// CONTRACT: points are in the order of time and before the time.
func Thin(points []Point, at uint64, window time.Duration) (drop []uint64) {
	first := 0
	for i, p := range points {
		if at-p.Time >= uint64(window) {
			first = i
		}
	}
	for _, p := range points[:first] {
		drop = append(drop, p.Time)
	}
	if n := len(points); n-first >= 2 && points[n-1].Time-points[n-2].Time < uint64(window)/observationsParts {
		drop = append(drop, points[n-1].Time)
	}
	return drop
}

// ObservationOrder is how far a provider's price observations have been looked through.
type ObservationOrder struct {
	Count       int         `json:"count"`
	Time        uint64      `json:"time"`
	Accumulator sdkmath.Int `json:"accumulator"`
}

// Add returns an error unless the observation is valid, behind the last in time and not below it, and one of at most
// MaxPriceObservations.
func (o *ObservationOrder) Add(at uint64, observation PriceObservation) error {
	sum := observation.Accumulator
	if !isAmount(sum) || sum.BigIntMut().BitLen() > accumulatorBits || at == 0 || at > math.MaxInt64 {
		return errorsmod.Wrapf(ErrInvalidGenesis, "price observation at %d", at)
	}
	if err := observation.Height.Validate(); err != nil {
		return err
	}
	if o.Count > 0 && (at <= o.Time || sum.LT(o.Accumulator)) {
		return errorsmod.Wrapf(ErrInvalidGenesis, "price observations do not rise at %d", at)
	}
	if o.Count++; o.Count > MaxPriceObservations {
		return errorsmod.Wrapf(ErrInvalidGenesis, "more than %d price observations", MaxPriceObservations)
	}
	o.Time, o.Accumulator = at, sum
	return nil
}

// ValidateFeeder returns ErrInvalidFeeders unless the raw address can be one.
func ValidateFeeder(feeder []byte) error {
	if len(feeder) == 0 || len(feeder) > maxFeederBytes {
		return errorsmod.Wrapf(ErrInvalidFeeders, "%d bytes", len(feeder))
	}
	return nil
}

// validatePrices checks posts, observations and proved heights of a genesis state against its providers.
func (gs GenesisState) validatePrices(known func(string) bool, once func(string, ...any) error) error {
	for _, r := range gs.PricePosts {
		if !known(r.ProviderId) || ValidateFeeder(r.Feeder) != nil {
			return errorsmod.Wrapf(ErrInvalidGenesis, "price post of %X for %q", r.Feeder, r.ProviderId)
		}
		if err := ValidatePrice(r.Price); err != nil {
			return err
		}
		if err := once("price post", r.ProviderId, r.Feeder); err != nil {
			return err
		}
	}
	orders := map[string]*ObservationOrder{}
	for _, r := range gs.PriceObservations {
		if !known(r.ProviderId) {
			return errorsmod.Wrapf(ErrInvalidGenesis, "price observation of unknown provider %q", r.ProviderId)
		}
		if orders[r.ProviderId] == nil {
			orders[r.ProviderId] = &ObservationOrder{}
		}
		if err := orders[r.ProviderId].Add(r.Time, r.Observation); err != nil {
			return errorsmod.Wrapf(err, "provider %q", r.ProviderId)
		}
	}
	for _, r := range gs.ProvedHeights {
		if !known(r.ProviderId) {
			return errorsmod.Wrapf(ErrInvalidGenesis, "proved height of unknown provider %q", r.ProviderId)
		}
		if err := r.Height.Validate(); err != nil {
			return err
		}
		if err := once("proved height", r.ProviderId); err != nil {
			return err
		}
	}
	return nil
}

// NewObservation returns an accumulator as it is stored.
func NewObservation(sum *big.Int, height meshtypes.Height) PriceObservation {
	return PriceObservation{Accumulator: sdkmath.NewIntFromBigInt(sum), Height: height}
}
