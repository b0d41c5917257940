package app

import (
	"github.com/cosmos/ibc-go/v11/modules/apps/transfer"
	ibctransferkeeper "github.com/cosmos/ibc-go/v11/modules/apps/transfer/keeper"
	ibctransfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	transferv2 "github.com/cosmos/ibc-go/v11/modules/apps/transfer/v2"
	porttypes "github.com/cosmos/ibc-go/v11/modules/core/05-port/types"
	ibcapi "github.com/cosmos/ibc-go/v11/modules/core/api"
	ibcexported "github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibckeeper "github.com/cosmos/ibc-go/v11/modules/core/keeper"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"
)

// initIBC builds the IBC keepers and routes packets, of both protocol versions, and light clients to them.
func (app *App) initIBC() {
	cdc := app.encoding.Codec

	app.IBCKeeper = ibckeeper.NewKeeper(
		cdc, app.storeService(ibcexported.StoreKey), app.UpgradeKeeper, Authority(),
	)
	app.TransferKeeper = ibctransferkeeper.NewKeeper(
		cdc, accountCodec(), app.storeService(ibctransfertypes.StoreKey), app.IBCKeeper.ChannelKeeper,
		app.MsgServiceRouter(), app.AccountKeeper, app.BankKeeper, Authority(),
	)

	router := porttypes.NewRouter()
	router.AddRoute(ibctransfertypes.ModuleName, app.Mesh.TransferMiddleware(transfer.NewIBCModule(app.TransferKeeper)))
	app.Mesh.ConnectTransfer(app.TransferKeeper)
	app.Mesh.ConnectIBC(app.IBCKeeper, router)
	app.IBCKeeper.SetRouter(router)

	routerV2 := ibcapi.NewRouter()
	routerV2.AddRoute(ibctransfertypes.PortID, app.Mesh.TransferMiddlewareV2(transferv2.NewIBCModule(app.TransferKeeper)))
	app.Mesh.ConnectIBCV2(app.IBCKeeper, routerV2)
	app.IBCKeeper.SetRouterV2(routerV2)

	app.tendermintClient = ibctm.NewLightClientModule(cdc, app.IBCKeeper.ClientKeeper.GetStoreProvider())
	app.IBCKeeper.ClientKeeper.AddRoute(ibctm.ModuleName, &app.tendermintClient)
}
