package wiring

import (
	"context"

	"github.com/cosmos/gogoproto/grpc"
	googlegrpc "google.golang.org/grpc"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	"github.com/cosmos/cosmos-sdk/x/distribution"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
)

// DistributionModule is x/distribution's module with a message server that refuses deposits into validators' rewards in
// denoms which nobody expects there. Each denom among a validator's rewards makes every change of a delegation to it dearer,
// so anybody could make virtual stake unable to leave.
type DistributionModule struct {
	distribution.AppModule
	deposits DepositCheck
}

// DepositCheck says which coins may be deposited into validators' rewards.
type DepositCheck interface {
	// CheckDeposit returns an error unless they may.
	CheckDeposit(ctx context.Context, coins sdk.Coins) error
}

// DistributionModule returns the module to give to the module manager in place of base. The message router, and with it
// x/authz, x/gov, interchain accounts and contracts, gets its message server.
func (m *Mesh) DistributionModule(base distribution.AppModule) DistributionModule {
	return DistributionModule{AppModule: base, deposits: m.Consumer}
}

// RegisterServices implements module.HasServices.
func (m DistributionModule) RegisterServices(cfg module.Configurator) {
	m.AppModule.RegisterServices(depositConfigurator{Configurator: cfg, deposits: m.deposits})
}

// depositConfigurator is a configurator that puts the check before x/distribution's message server.
type depositConfigurator struct {
	module.Configurator
	deposits DepositCheck
}

// MsgServer implements module.Configurator.
func (c depositConfigurator) MsgServer() grpc.Server {
	return depositRegistrar{Server: c.Configurator.MsgServer(), deposits: c.deposits}
}

type depositRegistrar struct {
	grpc.Server
	deposits DepositCheck
}

// RegisterService implements grpc.Server.
func (r depositRegistrar) RegisterService(desc *googlegrpc.ServiceDesc, server any) {
	if base, ok := server.(distrtypes.MsgServer); ok {
		server = depositServer{MsgServer: base, deposits: r.deposits}
	}
	r.Server.RegisterService(desc, server)
}

type depositServer struct {
	distrtypes.MsgServer
	deposits DepositCheck
}

// DepositValidatorRewardsPool implements distrtypes.MsgServer.
func (s depositServer) DepositValidatorRewardsPool(
	ctx context.Context, msg *distrtypes.MsgDepositValidatorRewardsPool,
) (*distrtypes.MsgDepositValidatorRewardsPoolResponse, error) {
	if err := s.deposits.CheckDeposit(ctx, msg.Amount); err != nil {
		return nil, err
	}
	return s.MsgServer.DepositValidatorRewardsPool(ctx, msg)
}
