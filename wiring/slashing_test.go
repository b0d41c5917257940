package wiring_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/core/address"
	"cosmossdk.io/log/v2"
	sdkmath "cosmossdk.io/math"

	addresscodec "github.com/cosmos/cosmos-sdk/codec/address"
	sdk "github.com/cosmos/cosmos-sdk/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	"github.com/mesh-security/mesh/wiring"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

const ownHeight = 50_000_000

var (
	operator = sdk.ValAddress("an operator's address")
	consAddr = sdk.ConsAddress("a consensus address!")
)

// base stands for x/staking: what it is asked for, and what its hook is told. With the real keeper the decorator is tested
// in x/consumer/keeper and tests/integration.
type base struct {
	slashingtypes.StakingKeeper
	hook      func(ctx context.Context)
	err       error
	height    int64
	power     int64
	slashed   int
	unknown   bool
	reason    stakingtypes.Infraction
	reasonSet bool
}

func (b *base) PowerReduction(context.Context) sdkmath.Int { return sdkmath.NewInt(1_000_000) }

func (b *base) ValidatorAddressCodec() address.Codec {
	return addresscodec.NewBech32Codec("cosmosvaloper")
}

func (b *base) ValidatorByConsAddr(context.Context, sdk.ConsAddress) (stakingtypes.ValidatorI, error) {
	if b.unknown {
		return nil, stakingtypes.ErrNoValidatorFound
	}
	return stakingtypes.Validator{OperatorAddress: operator.String()}, nil
}

func (b *base) Slash(ctx context.Context, _ sdk.ConsAddress, height, power int64, _ sdkmath.LegacyDec) (sdkmath.Int, error) {
	b.slashed++
	b.height, b.power = height, power
	if b.hook != nil {
		b.hook(ctx)
	}
	return sdkmath.NewInt(77), b.err
}

func (b *base) SlashWithInfractionReason(
	ctx context.Context, cons sdk.ConsAddress, height, power int64, fraction sdkmath.LegacyDec, reason stakingtypes.Infraction,
) (sdkmath.Int, error) {
	b.reason, b.reasonSet = reason, true
	return b.Slash(ctx, cons, height, power, fraction)
}

type recorder struct {
	err     error
	marked  int
	native  []sdk.ConsAddress
	slashes []consumertypes.SlashNote
}

func (r *recorder) MarkChanged(context.Context, sdk.ConsAddress) error { r.marked++; return r.err }
func (r *recorder) MayUnjail(context.Context, sdk.ConsAddress) error   { return r.err }

func (r *recorder) MarkSlashed(_ context.Context, cons sdk.ConsAddress) error {
	r.native = append(r.native, cons)
	return r.err
}

func (r *recorder) LogSlash(ctx context.Context, slash consumertypes.SlashNote) error {
	if consumertypes.SlashNoteOf(ctx, slash.Validator) != nil {
		return errors.New("the note must not outlive its slash")
	}
	r.slashes = append(r.slashes, slash)
	return r.err
}

type flows struct{ left, came, since int64 }

func (f *flows) Since(_ context.Context, _ sdk.ValAddress, height int64) (left, came sdkmath.Int, err error) {
	f.since = height
	return sdkmath.NewInt(f.left), sdkmath.NewInt(f.came), nil
}

func TestSlashIsNotedLoggedAndMarked(t *testing.T) {
	errBase := errors.New("x/staking refuses")
	dec := sdkmath.LegacyMustNewDecFromStr
	// told is what x/consumer's hook does.
	told := func(val sdk.ValAddress, effective string) func(ctx context.Context) {
		return func(ctx context.Context) {
			if note := consumertypes.SlashNoteOf(ctx, val); note != nil {
				note.Burn(dec(effective))
			}
		}
	}
	const double, down = stakingtypes.Infraction_INFRACTION_DOUBLE_SIGN, stakingtypes.Infraction_INFRACTION_DOWNTIME
	for _, tc := range []struct {
		name     string
		base     base
		reason   *stakingtypes.Infraction
		flows    flows
		logErr   error
		expPower int64
		// exp is the slash logged; nothing is if its kind is 0.
		exp    consumertypes.SlashNote
		native int
		expErr error
	}{
		{
			"double sign",
			base{hook: told(operator, "0.025")},
			ptr(double),
			flows{},
			nil, 2_000,
			consumertypes.SlashNote{Kind: meshtypes.SLASH_KIND_DOUBLE_SIGN, Infraction: ownHeight - 9, Effective: dec("0.025"), Burned: true},
			1, nil,
		},
		{
			"downtime, virtual stake has left",
			base{hook: told(operator, "0.05")},
			ptr(down),
			flows{left: 1_500_000_000},
			nil, 500,
			consumertypes.SlashNote{Kind: meshtypes.SLASH_KIND_DOWNTIME, Infraction: ownHeight - 10, Effective: dec("0.05"), Burned: true},
			1, nil,
		},
		{
			"all has left virtually: no hook",
			base{},
			ptr(double),
			flows{left: 2_000_000_000},
			nil, 0,
			consumertypes.SlashNote{Kind: meshtypes.SLASH_KIND_DOUBLE_SIGN, Infraction: ownHeight - 9, Effective: dec("0")},
			1, nil,
		},
		{
			"no reason",
			base{hook: told(operator, "0.05")},
			ptr(stakingtypes.Infraction_INFRACTION_UNSPECIFIED),
			flows{came: 1},
			nil, 2_001,
			consumertypes.SlashNote{Kind: meshtypes.SLASH_KIND_OTHER, Infraction: ownHeight - 10, Effective: dec("0.05"), Burned: true},
			1, nil,
		},
		{
			"the older method",
			base{hook: told(operator, "0.05")},
			nil,
			flows{},
			nil, 2_000,
			consumertypes.SlashNote{Kind: meshtypes.SLASH_KIND_OTHER, Infraction: ownHeight - 10, Effective: dec("0.05"), Burned: true},
			1, nil,
		},
		{
			"a hook slashes another validator",
			base{hook: told(sdk.ValAddress("another operator"), "0.5")},
			ptr(down),
			flows{},
			nil, 2_000,
			consumertypes.SlashNote{Kind: meshtypes.SLASH_KIND_DOWNTIME, Infraction: ownHeight - 10, Effective: dec("0")},
			1, nil,
		},
		{
			"a hook slashes it again",
			base{hook: func(ctx context.Context) {
				told(operator, "0.05")(ctx)
				told(operator, "0.9")(ctx)
			}},
			ptr(down),
			flows{},
			nil, 2_000,
			consumertypes.SlashNote{Kind: meshtypes.SLASH_KIND_DOWNTIME, Infraction: ownHeight - 10, Effective: dec("0.05"), Burned: true},
			1, nil,
		},
		{"x/staking refuses", base{err: errBase, hook: told(operator, "0.05")}, ptr(double), flows{}, nil, 2_000, consumertypes.SlashNote{}, 0, errBase},
		{"unknown validator", base{unknown: true}, ptr(double), flows{left: 5}, nil, 2_000, consumertypes.SlashNote{}, 0, nil},
		{
			"a log that fails stops nothing",
			base{hook: told(operator, "0.05")},
			ptr(double),
			flows{},
			errors.New("no"), 2_000,
			consumertypes.SlashNote{Kind: meshtypes.SLASH_KIND_DOUBLE_SIGN, Infraction: ownHeight - 9, Effective: dec("0.05"), Burned: true},
			1, nil,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := sdk.NewContext(nil, cmtproto.Header{Height: ownHeight}, false, log.NewNopLogger())
			r := &recorder{err: tc.logErr}
			s := wiring.NewSlashingStaking(&tc.base, []wiring.Marks{r}, []wiring.FlowLog{&tc.flows}).WithLogs(r).WithNative(r)
			var (
				burned sdkmath.Int
				err    error
			)
			if tc.reason == nil {
				burned, err = s.Slash(ctx, consAddr, ownHeight-10, 2_000, dec("0.05"))
			} else {
				burned, err = s.SlashWithInfractionReason(ctx, consAddr, ownHeight-10, 2_000, dec("0.05"), *tc.reason)
			}
			require.ErrorIs(t, err, tc.expErr)
			require.Equal(t, "77", burned.String(), "what x/staking says goes back")
			require.Equal(t, 1, tc.base.slashed)
			require.EqualValues(t, ownHeight-10, tc.base.height, "x/staking's own height is not touched")
			require.Equal(t, tc.expPower, tc.base.power)
			require.Equal(t, tc.reason != nil, tc.base.reasonSet)
			if tc.reason != nil {
				require.Equal(t, *tc.reason, tc.base.reason)
			}
			if !tc.base.unknown {
				require.EqualValues(t, ownHeight-10, tc.flows.since, "flows count from the distribution height")
			}
			require.Equal(t, 1, r.marked)
			require.Len(t, r.native, tc.native)
			if tc.exp.Kind == 0 {
				require.Empty(t, r.slashes)
				return
			}
			tc.exp.Validator, tc.exp.Nominal = operator, dec("0.05")
			require.Equal(t, []consumertypes.SlashNote{tc.exp}, r.slashes)
		})
	}
}

func ptr[T any](v T) *T { return &v }
