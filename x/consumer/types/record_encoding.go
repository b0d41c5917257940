package types

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"

	collcodec "cosmossdk.io/collections/codec"
	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/codec"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// An epoch reads and writes records by the thousand, and protobuf keeps their integers as decimal text, which costs more to
// read than everything else in them. In the store they are binary, fields in a fixed order:
//
//	integer, decimal   uvarint of the length, then the bytes, big endian; a decimal as the integer of 10^-18
//	seq, height        uvarint
//	time               a zero byte if it is zero; else a one, varint of the seconds, uvarint of the nanoseconds
//
// In genesis and queries they are protobuf as ever.

// StakeRecordValue returns the encoding of stake records in the store.
func StakeRecordValue(cdc codec.BinaryCodec) collcodec.ValueCodec[StakeRecord] {
	return recordValue[StakeRecord]{codec.CollValue[StakeRecord](cdc), StakeRecord.append, readStakeRecord}
}

// TargetValue returns the encoding of targets in the store.
func TargetValue(cdc codec.BinaryCodec) collcodec.ValueCodec[Target] {
	return recordValue[Target]{codec.CollValue[Target](cdc), Target.append, readTarget}
}

// recordValue is a binary encoding of what is a protobuf message elsewhere.
type recordValue[T any] struct {
	collcodec.ValueCodec[T]
	append func(T, []byte) ([]byte, error)
	read   func(*recordReader) T
}

// recordSize is enough for most records.
const recordSize = 80

// Encode implements collcodec.ValueCodec. An integer below zero is an error.
func (c recordValue[T]) Encode(value T) ([]byte, error) {
	return c.append(value, make([]byte, 0, recordSize))
}

// Decode implements collcodec.ValueCodec.
func (c recordValue[T]) Decode(bz []byte) (T, error) {
	r := recordReader{rest: bz}
	value := c.read(&r)
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.rest))
	}
	if r.err != nil {
		var none T
		return none, errorsmod.Wrapf(collcodec.ErrEncoding, "%s: %s", c.ValueType(), r.err)
	}
	return value, nil
}

func (s StakeRecord) append(bz []byte) ([]byte, error) {
	bz, err := appendBig(bz, bigInt(s.Amount), nil)
	bz = binary.AppendUvarint(bz, s.Seq)
	bz = binary.AppendUvarint(bz, s.ExecutedSeq)
	bz = binary.AppendUvarint(bz, s.ExecutedHeight.Revision)
	bz = binary.AppendUvarint(bz, s.ExecutedHeight.Height)
	bz, err = appendBig(bz, bigInt(s.ExecutedAmount), err)
	bz = appendTime(bz, s.FailingSince)
	return appendBig(bz, bigDec(s.Price), err)
}

func readStakeRecord(r *recordReader) StakeRecord {
	return StakeRecord{
		Amount:         r.integer(),
		Seq:            r.uint(),
		ExecutedSeq:    r.uint(),
		ExecutedHeight: meshtypes.Height{Revision: r.uint(), Height: r.uint()},
		ExecutedAmount: r.integer(),
		FailingSince:   r.time(),
		Price:          r.decimal(),
	}
}

func (t Target) append(bz []byte) ([]byte, error) {
	bz, err := appendBig(bz, bigInt(t.Tokens), nil)
	bz = binary.AppendUvarint(bz, t.Seq)
	bz, err = appendBig(bz, bigInt(t.Amount), err)
	return appendBig(bz, bigDec(t.Price), err)
}

func readTarget(r *recordReader) Target {
	return Target{Tokens: r.integer(), Seq: r.uint(), Amount: r.integer(), Price: r.decimal()}
}

// bigInt returns an integer's value, which must not be changed; nil is zero.
func bigInt(i sdkmath.Int) *big.Int {
	if i.IsNil() {
		return new(big.Int)
	}
	return i.BigIntMut()
}

// bigDec returns a decimal's value, which must not be changed; nil is zero.
func bigDec(d sdkmath.LegacyDec) *big.Int {
	if d.IsNil() {
		return new(big.Int)
	}
	return d.BigIntMut()
}

// appendBig appends an integer; an error if it is below zero, or an earlier one.
func appendBig(bz []byte, i *big.Int, err error) ([]byte, error) {
	if err == nil && i.Sign() < 0 {
		err = errorsmod.Wrapf(collcodec.ErrEncoding, "%s is below zero", i)
	}
	n := (i.BitLen() + 7) / 8
	bz = binary.AppendUvarint(bz, uint64(n))
	end := len(bz) + n
	for range n {
		bz = append(bz, 0)
	}
	i.FillBytes(bz[end-n : end])
	return bz, err
}

func appendTime(bz []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(bz, 0)
	}
	bz = binary.AppendVarint(append(bz, 1), t.Unix())
	return binary.AppendUvarint(bz, uint64(t.Nanosecond()))
}

// recordReader reads a record field by field. After an error all fields are zero.
type recordReader struct {
	rest []byte
	err  error
}

var errShortRecord = errors.New("too short, or a number too long")

func (r *recordReader) fail() {
	r.rest = nil
	if r.err == nil {
		r.err = errShortRecord
	}
}

func (r *recordReader) uint() uint64 {
	x, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return x
}

func (r *recordReader) big(bits int) *big.Int {
	n := r.uint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return new(big.Int)
	}
	i := new(big.Int).SetBytes(r.rest[:n])
	r.rest = r.rest[n:]
	if i.BitLen() > bits {
		r.fail()
		return new(big.Int)
	}
	return i
}

func (r *recordReader) integer() sdkmath.Int {
	return sdkmath.NewIntFromBigIntMut(r.big(sdkmath.MaxBitLen))
}

func (r *recordReader) decimal() sdkmath.LegacyDec {
	return sdkmath.LegacyNewDecFromBigIntWithPrec(r.big(maxDecimalBits), sdkmath.LegacyPrecision)
}

// maxDecimalBits is how many bits a decimal may have, those behind the point included.
const maxDecimalBits = sdkmath.MaxBitLen + sdkmath.LegacyDecimalPrecisionBits - 1

func (r *recordReader) time() time.Time {
	switch flag := r.uint(); {
	case r.err != nil, flag == 0:
		return time.Time{}
	case flag > 1:
		r.fail()
		return time.Time{}
	}
	seconds, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return time.Time{}
	}
	r.rest = r.rest[n:]
	return time.Unix(seconds, int64(r.uint())).UTC()
}
