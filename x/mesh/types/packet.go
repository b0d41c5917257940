package types

import (
	"bytes"
	"errors"
	"math/big"
	"strings"

	"github.com/cosmos/gogoproto/proto"
	"google.golang.org/protobuf/encoding/protowire"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/codec/unknownproto"
)

// Limits of what is read from the wire.
const (
	// MaxStakes is how many validators one StakeUpdate lists at most.
	MaxStakes = 500
	// MaxReports is how many validators one ConsumerReport lists at most.
	MaxReports = 200
	// MaxSlashes is how many slash log entries one ConsumerReport carries at most.
	MaxSlashes = 200
	// MaxPacketBytes is the largest packet or acknowledgement; IBC v2 allows 256 KiB.
	MaxPacketBytes = 128 << 10
	// MaxOperatorBytes is the longest operator address; SDK addresses have 20 or 32 bytes.
	MaxOperatorBytes = 32
	// MaxKeyBytes is the longest consensus public key.
	MaxKeyBytes = 64
	// MaxKeyTypeBytes is the longest name of a key type.
	MaxKeyTypeBytes = 32

	// maxEntryBytes is the longest encoding of one list entry.
	maxEntryBytes = 512
)

// MaxAmount is 2^128: amounts on the wire are below it.
var MaxAmount = sdkmath.NewIntFromBigInt(new(big.Int).Lsh(big.NewInt(1), 128))

type message interface {
	proto.Message
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

// unmarshal decodes bz strictly into msg: sizes and counts are bounded before anything is allocated, unknown fields are
// refused, and the message marshalled again must give the same bytes. maxEntries holds the most entries of each
// repeated field, by field number.
func unmarshal(bz []byte, msg message, maxEntries map[protowire.Number]int) error {
	if len(bz) == 0 || len(bz) > MaxPacketBytes {
		return errorsmod.Wrapf(ErrPacketSize, "%d bytes, at most %d", len(bz), MaxPacketBytes)
	}
	if err := scan(bz, maxEntries); err != nil {
		return err
	}
	if err := unknownproto.RejectUnknownFieldsStrict(bz, msg, nil); err != nil {
		// The type of unknownproto's errors is private; their text is fixed.
		if strings.Contains(err.Error(), "errUnknownField") {
			return errorsmod.Wrap(ErrUnknownField, err.Error())
		}
		return errorsmod.Wrap(ErrPacketEncoding, err.Error())
	}
	if err := msg.Unmarshal(bz); err != nil {
		return errorsmod.Wrap(ErrPacketEncoding, err.Error())
	}
	again, err := msg.Marshal()
	if err != nil {
		return errorsmod.Wrap(ErrPacketEncoding, err.Error())
	}
	if !bytes.Equal(bz, again) {
		return ErrNotCanonical
	}
	return nil
}

// scan walks the top level of bz without allocating and bounds counts and lengths.
func scan(bz []byte, maxEntries map[protowire.Number]int) error {
	counts := make(map[protowire.Number]int, len(maxEntries))
	for len(bz) > 0 {
		num, typ, n := protowire.ConsumeField(bz)
		if n < 0 {
			return errorsmod.Wrap(ErrPacketEncoding, protowire.ParseError(n).Error())
		}
		if limit, ok := maxEntries[num]; ok {
			if counts[num]++; counts[num] > limit {
				return errorsmod.Wrapf(ErrTooManyEntries, "more than %d in field %d", limit, num)
			}
		}
		if typ == protowire.BytesType && n > maxEntryBytes+16 && !packed(num, maxEntries) {
			return errorsmod.Wrapf(ErrPacketSize, "field %d has %d bytes", num, n)
		}
		bz = bz[n:]
	}
	return nil
}

// packed says whether the field is a packed list of small numbers, which may be longer than an entry.
func packed(num protowire.Number, maxEntries map[protowire.Number]int) bool {
	return maxEntries[-num] != 0
}

// UnmarshalStakeUpdate decodes and validates a StakeUpdate. Errors: every one of the codespace "mesh" up to
// ErrInvalidTime.
func UnmarshalStakeUpdate(bz []byte) (StakeUpdate, error) {
	var p StakeUpdate
	if err := unmarshal(bz, &p, map[protowire.Number]int{6: MaxStakes}); err != nil {
		return StakeUpdate{}, err
	}
	if err := p.Validate(); err != nil {
		return StakeUpdate{}, err
	}
	return p, nil
}

// UnmarshalReport decodes and validates a ConsumerReport.
func UnmarshalReport(bz []byte) (ConsumerReport, error) {
	var p ConsumerReport
	if err := unmarshal(bz, &p, map[protowire.Number]int{3: MaxReports, 5: MaxSlashes}); err != nil {
		return ConsumerReport{}, err
	}
	if err := p.Validate(); err != nil {
		return ConsumerReport{}, err
	}
	return p, nil
}

// UnmarshalStakeUpdateAck decodes and validates a StakeUpdateAck.
func UnmarshalStakeUpdateAck(bz []byte) (StakeUpdateAck, error) {
	var a StakeUpdateAck
	// Packed codes are one field; their number is checked by Validate, their bytes by MaxPacketBytes.
	if err := unmarshal(bz, &a, map[protowire.Number]int{6: 1, -6: 1}); err != nil {
		return StakeUpdateAck{}, err
	}
	if err := a.Validate(); err != nil {
		return StakeUpdateAck{}, err
	}
	return a, nil
}

// UnmarshalReportAck decodes and validates a ReportAck.
func UnmarshalReportAck(bz []byte) (ReportAck, error) {
	var a ReportAck
	if err := unmarshal(bz, &a, nil); err != nil {
		return ReportAck{}, err
	}
	if err := a.Validate(); err != nil {
		return ReportAck{}, err
	}
	return a, nil
}

// Validate checks every bound of protocol.md. It is called by UnmarshalStakeUpdate and before sending.
func (p StakeUpdate) Validate() error {
	if err := validateHead(p.Session, p.Seq); err != nil {
		return err
	}
	if err := validateTimes(p.UnbondingPeriod, p.SyncedAt); err != nil {
		return err
	}
	if p.SlashSeq > maxInt63 {
		return errorsmod.Wrap(ErrInvalidSequence, "slash_seq is not below 2^63")
	}
	if len(p.Stakes) > MaxStakes {
		return errorsmod.Wrapf(ErrTooManyEntries, "%d stakes", len(p.Stakes))
	}
	var last []byte
	for _, s := range p.Stakes {
		if err := nextOperator(&last, s.Validator); err != nil {
			return err
		}
		if s.Amount.IsNil() || s.Amount.IsNegative() || s.Amount.GTE(MaxAmount) {
			return errorsmod.Wrapf(ErrInvalidAmount, "operator %X: must be in [0, 2^128)", s.Validator)
		}
	}
	return nil
}

// Validate checks every bound of protocol.md. It is called by UnmarshalReport and before sending.
func (p ConsumerReport) Validate() error {
	if err := validateHead(p.Session, p.Seq); err != nil {
		return err
	}
	if err := validateTimes(p.UnbondingPeriod, p.FreshnessLimit); err != nil {
		return err
	}
	if len(p.Validators) > MaxReports || len(p.Slashes) > MaxSlashes {
		return errorsmod.Wrapf(ErrTooManyEntries, "%d validators, %d slashes", len(p.Validators), len(p.Slashes))
	}
	var last []byte
	for _, v := range p.Validators {
		if err := nextOperator(&last, v.Operator); err != nil {
			return err
		}
		if err := v.validate(); err != nil {
			return errorsmod.Wrapf(err, "operator %X", v.Operator)
		}
	}
	if p.FirstIndex == 0 || p.FirstIndex > maxInt63 {
		return errorsmod.Wrap(ErrInvalidSlash, "first_index must be from 1 up, below 2^63")
	}
	for i, s := range p.Slashes {
		if err := s.Validate(); err != nil {
			return errorsmod.Wrapf(err, "index %d", s.Index)
		}
		if s.Index < p.FirstIndex {
			return errorsmod.Wrapf(ErrInvalidSlash, "index %d is void", s.Index)
		}
		if i > 0 && s.Index != p.Slashes[i-1].Index+1 {
			return errorsmod.Wrapf(ErrInvalidSlash, "index %d after %d", s.Index, p.Slashes[i-1].Index)
		}
	}
	return nil
}

func (v ValidatorReport) validate() error {
	if v.Status <= VALIDATOR_STATUS_UNSPECIFIED || v.Status > VALIDATOR_STATUS_TOMBSTONED {
		return errorsmod.Wrapf(ErrInvalidStatus, "%d", v.Status)
	}
	if err := v.ConsensusKey.Validate(); err != nil {
		return err
	}
	if v.ExecutedSeq > maxInt63 {
		return errorsmod.Wrap(ErrInvalidSequence, "executed_seq is not below 2^63")
	}
	return errors.Join(v.KeyHeight.Validate(), v.ExecutedHeight.Validate())
}

// Validate returns ErrInvalidKey unless the key has a type and bytes of plausible length.
func (k ConsensusKey) Validate() error {
	if k.Type == "" || len(k.Type) > MaxKeyTypeBytes || len(k.Key) == 0 || len(k.Key) > MaxKeyBytes {
		return errorsmod.Wrapf(ErrInvalidKey, "type of %d bytes, key of %d bytes", len(k.Type), len(k.Key))
	}
	return nil
}

// Validate returns an error unless the entry's index, operator, kind, height and fractions are within bounds: the
// nominal fraction in (0,1], the effective one in [0,1].
func (s SlashEntry) Validate() error {
	if s.Index == 0 || s.Index > maxInt63 {
		return errorsmod.Wrap(ErrInvalidSlash, "index must be from 1 up, below 2^63")
	}
	if err := validateOperator(s.Operator); err != nil {
		return err
	}
	if s.Kind <= SLASH_KIND_UNSPECIFIED || s.Kind > SLASH_KIND_OTHER {
		return errorsmod.Wrapf(ErrInvalidSlash, "kind %d", s.Kind)
	}
	if err := s.Infraction.Validate(); err != nil {
		return err
	}
	if !isFraction(s.NominalFraction) || s.NominalFraction.IsZero() || !isFraction(s.EffectiveFraction) {
		return errorsmod.Wrap(ErrInvalidFraction, "nominal must be in (0,1], effective in [0,1]")
	}
	return nil
}

// Validate checks the bounds of a StakeUpdateAck by itself; that it answers a given packet is for the caller to check.
func (a StakeUpdateAck) Validate() error {
	if err := validateAckHead(a.Echo, a.Current, a.Seq); err != nil {
		return err
	}
	if err := a.Height.Validate(); err != nil {
		return err
	}
	if len(a.Codes) > MaxStakes {
		return errorsmod.Wrapf(ErrTooManyEntries, "%d codes", len(a.Codes))
	}
	if a.Refused && len(a.Codes) > 0 {
		return errorsmod.Wrap(ErrInvalidCode, "a refusal has no codes")
	}
	for _, c := range a.Codes {
		if c <= STAKE_CODE_UNSPECIFIED || c > STAKE_CODE_NOT_REGISTERED {
			return errorsmod.Wrapf(ErrInvalidCode, "%d", c)
		}
	}
	return nil
}

// Validate checks the bounds of a ReportAck by itself.
func (a ReportAck) Validate() error {
	if err := validateAckHead(a.Echo, a.Current, a.Seq); err != nil {
		return err
	}
	if a.SlashSeq > maxInt63 {
		return errorsmod.Wrap(ErrInvalidSequence, "slash_seq is not below 2^63")
	}
	return nil
}

func validateHead(s Session, seq uint64) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if seq == 0 || seq > maxInt63 {
		return errorsmod.Wrapf(ErrInvalidSequence, "%d is not in [1, 2^63)", seq)
	}
	return nil
}

func validateAckHead(echo, current Session, seq uint64) error {
	if err := current.Validate(); err != nil {
		return err
	}
	return validateHead(echo, seq)
}

func validateTimes(times ...uint64) error {
	for _, t := range times {
		if t > maxInt63 {
			return errorsmod.Wrapf(ErrInvalidTime, "%d ns is not below 2^63", t)
		}
	}
	return nil
}

func validateOperator(op []byte) error {
	if len(op) == 0 || len(op) > MaxOperatorBytes {
		return errorsmod.Wrapf(ErrInvalidOperator, "%d bytes", len(op))
	}
	return nil
}

// nextOperator checks op and that it follows *last strictly, then stores it there.
func nextOperator(last *[]byte, op []byte) error {
	if err := validateOperator(op); err != nil {
		return err
	}
	switch bytes.Compare(*last, op) {
	case 0:
		return errorsmod.Wrapf(ErrDuplicateOperator, "%X", op)
	case 1:
		return errorsmod.Wrapf(ErrNotSorted, "%X after %X", op, *last)
	}
	*last = op
	return nil
}

func isFraction(d sdkmath.LegacyDec) bool {
	return !d.IsNil() && !d.IsNegative() && d.LTE(sdkmath.LegacyOneDec())
}
