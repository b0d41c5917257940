package types

import (
	"strings"

	errorsmod "cosmossdk.io/errors"
	sdkmath "cosmossdk.io/math"
)

// Limits of the memo of a reward transfer.
const (
	// MaxRewards is how many validators one memo lists at most.
	MaxRewards = 200
	// MaxRewardMemoBytes is the longest memo that ICS-20 carries.
	MaxRewardMemoBytes = 32_768
	// MaxRewardValidatorBytes is the longest operator address in a memo; that of bech32. 200 of the longest entries fit a
	// memo.
	MaxRewardValidatorBytes = 90

	// maxAmountDigits is the length of 2^128 in decimal.
	maxAmountDigits = 39
	// rewardMemoField is the memo's only field; its object's only field is "rewards".
	rewardMemoField = "mesh_rewards"
)

// Reward is one entry of the memo of a reward transfer: how much of the transfer is for the stake on a validator.
type Reward struct {
	// Validator is the operator address as text, with the consumer's prefix.
	Validator string
	// Amount is positive and below 2^128, in units of the transfer's denom.
	Amount sdkmath.Int
}

// MarshalRewardMemo returns the memo of a reward transfer,
//
//	{"mesh_rewards":{"rewards":[{"validator":"axelarvaloper1…","amount":"123"},…]}}
//
// Errors: those of ParseRewardMemo that concern entries.
func MarshalRewardMemo(rewards []Reward) (string, error) {
	if err := validateRewards(rewards); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(`{"` + rewardMemoField + `":{"rewards":[`)
	for i, r := range rewards {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"validator":"`)
		b.WriteString(r.Validator)
		b.WriteString(`","amount":"`)
		b.WriteString(r.Amount.String())
		b.WriteString(`"}`)
	}
	b.WriteString(`]}}`)
	return b.String(), nil
}

// IsRewardMemo says whether a memo claims to be one of a reward transfer, by its beginning.
func IsRewardMemo(memo string) bool {
	p := memoParser{rest: memo}
	if !p.take('{') {
		return false
	}
	p.space()
	return strings.HasPrefix(p.rest, `"`+rewardMemoField+`"`)
}

// ParseRewardMemo reads the memo of a reward transfer. It takes what MarshalRewardMemo writes, white space between
// tokens, and an entry's two fields in either order: nothing else, so nothing can be nested, unknown or given twice.
//
// Errors: ErrMemoSize, ErrMemoEncoding for anything but that form, ErrMemoEntries without or with too many of them,
// ErrMemoValidator for an address that is empty, too long or listed twice, ErrMemoAmount unless an amount is written as a
// decimal integer without sign or leading zero in [1, 2^128).
func ParseRewardMemo(memo string) ([]Reward, error) {
	if len(memo) > MaxRewardMemoBytes {
		return nil, errorsmod.Wrapf(ErrMemoSize, "%d bytes, at most %d", len(memo), MaxRewardMemoBytes)
	}
	p := memoParser{rest: memo}
	ok := p.take('{') && p.key(rewardMemoField) && p.take('{') && p.key("rewards") && p.take('[')
	if !ok {
		return nil, p.fail()
	}
	var rewards []Reward
	if !p.take(']') {
		for {
			if len(rewards) == MaxRewards {
				return nil, errorsmod.Wrapf(ErrMemoEntries, "more than %d", MaxRewards)
			}
			r, err := p.reward()
			if err != nil {
				return nil, err
			}
			rewards = append(rewards, r)
			if p.take(']') {
				break
			}
			if !p.take(',') {
				return nil, p.fail()
			}
		}
	}
	for range 2 { // the two objects around the list
		if !p.take('}') {
			return nil, p.fail()
		}
	}
	if p.space(); p.rest != "" {
		return nil, p.fail()
	}
	if err := validateRewards(rewards); err != nil {
		return nil, err
	}
	return rewards, nil
}

func validateRewards(rewards []Reward) error {
	if len(rewards) == 0 || len(rewards) > MaxRewards {
		return errorsmod.Wrapf(ErrMemoEntries, "%d, must be from 1 to %d", len(rewards), MaxRewards)
	}
	seen := make(map[string]struct{}, len(rewards))
	for _, r := range rewards {
		if r.Validator == "" || len(r.Validator) > MaxRewardValidatorBytes || strings.IndexFunc(r.Validator, notPlain) >= 0 {
			return errorsmod.Wrapf(ErrMemoValidator, "%q", r.Validator)
		}
		if _, twice := seen[r.Validator]; twice {
			return errorsmod.Wrapf(ErrMemoValidator, "%s twice", r.Validator)
		}
		seen[r.Validator] = struct{}{}
		if r.Amount.IsNil() || !r.Amount.IsPositive() || r.Amount.GTE(MaxAmount) {
			return errorsmod.Wrapf(ErrMemoAmount, "of %s must be in [1, 2^128)", r.Validator)
		}
	}
	return nil
}

// notPlain says whether a character cannot be in an address: only visible ASCII that JSON need not escape can.
func notPlain(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }

// memoParser reads the few tokens of a memo.
type memoParser struct{ rest string }

func (p *memoParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// take takes the character c, with white space before it, if it comes next.
func (p *memoParser) take(c byte) bool {
	p.space()
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// text takes a string without escapes.
func (p *memoParser) text() (string, bool) {
	if !p.take('"') {
		return "", false
	}
	i := strings.IndexFunc(p.rest, notPlain)
	if i < 0 || p.rest[i] != '"' {
		return "", false
	}
	s := p.rest[:i]
	p.rest = p.rest[i+1:]
	return s, true
}

// key takes a field's name and the colon behind it.
func (p *memoParser) key(name string) bool {
	got, ok := p.text()
	return ok && got == name && p.take(':')
}

func (p *memoParser) reward() (Reward, error) {
	var r Reward
	var amount string
	if !p.take('{') {
		return r, p.fail()
	}
	seen := map[string]bool{}
	for i := range 2 {
		if i > 0 && !p.take(',') {
			return r, p.fail()
		}
		name, ok := p.text()
		if !ok || seen[name] || !p.take(':') {
			return r, p.fail()
		}
		seen[name] = true
		value, ok := p.text()
		if !ok {
			return r, p.fail()
		}
		switch name {
		case "validator":
			r.Validator = value
		case "amount":
			amount = value
		default:
			return r, p.fail()
		}
	}
	if !p.take('}') {
		return r, p.fail()
	}
	if amount == "" || len(amount) > maxAmountDigits || amount[0] == '0' ||
		strings.IndexFunc(amount, func(c rune) bool { return c < '0' || c > '9' }) >= 0 {
		return r, errorsmod.Wrapf(ErrMemoAmount, "%.50q", amount)
	}
	var ok bool
	if r.Amount, ok = sdkmath.NewIntFromString(amount); !ok {
		return r, errorsmod.Wrapf(ErrMemoAmount, "%q", amount)
	}
	return r, nil
}

// fail says where a memo departs from its form.
func (p *memoParser) fail() error { return errorsmod.Wrapf(ErrMemoEncoding, "at %.20q", p.rest) }
