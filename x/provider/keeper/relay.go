package keeper

import (
	"context"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// Everything here is independent of how packets travel: a transport says which consumer a packet belongs to.

// ReceiveReport works on a ConsumerReport and returns the ReportAck to send back. An error means an error
// acknowledgement: nothing was applied. A report of a session that is not accepted is refused in a successful
// acknowledgement, which carries ours.
func (k *Keeper) ReceiveReport(ctx sdk.Context, clientID string, data []byte) (ack []byte, err error) {
	err = k.isolateTx(ctx, func(ctx sdk.Context) error {
		ack, err = k.receiveReport(ctx, clientID, data)
		return err
	})
	if err != nil {
		return nil, err
	}
	return ack, nil
}

func (k *Keeper) receiveReport(ctx sdk.Context, clientID string, data []byte) ([]byte, error) {
	consumer, err := k.liveConsumer(ctx, clientID)
	if err != nil {
		return nil, err
	}
	report, err := meshtypes.UnmarshalReport(data)
	if err != nil {
		return nil, err
	}
	p, err := k.Pairings.Get(ctx, clientID)
	if err != nil {
		return nil, err
	}
	learned, err := k.learn(ctx, clientID, &p, report.Session)
	if err != nil {
		return nil, err
	}
	ack := meshtypes.ReportAck{Echo: report.Session, Current: p.Session, Seq: report.Seq, SlashSeq: p.SlashSeq}
	if !p.Session.Accepts(meshtypes.SideProvider, report.Session) {
		ack.Refused = true
		if learned {
			if err := k.Pairings.Set(ctx, clientID, p); err != nil {
				return nil, err
			}
		}
		return ack.Marshal()
	}
	if err := k.applyReport(ctx, consumer, &p, report); err != nil {
		return nil, err
	}
	// After the validators: what the report says of them comes before what they did.
	if err := k.recordClaims(ctx, consumer, &p, report); err != nil {
		return nil, err
	}
	ack.SlashSeq = p.SlashSeq
	if err := k.Pairings.Set(ctx, clientID, p); err != nil {
		return nil, err
	}
	return ack.Marshal()
}

// applyReport applies an accepted report.
func (k *Keeper) applyReport(ctx sdk.Context, consumer types.Consumer, p *types.Pairing, report meshtypes.ConsumerReport) error {
	if report.Seq > p.LastReportSeq {
		p.LastReportSeq = report.Seq
		p.ReportedUnbonding = duration(report.UnbondingPeriod)
		p.FreshnessLimit = duration(report.FreshnessLimit)
		k.adjustUnbonding(ctx, consumer.Config, p)
		// Batches that close below read the pairing.
		if err := k.Pairings.Set(ctx, consumer.Config.ClientId, *p); err != nil {
			return err
		}
	}
	evict, clocks := &evictor{}, clocksPerPacket
	for _, v := range report.Validators {
		if err := k.applyValidator(ctx, consumer, p, report.Seq, v, evict, &clocks); err != nil {
			return err
		}
	}
	k.emit(ctx, &types.EventReportReceived{
		ConsumerId: consumer.Config.ClientId, Seq: report.Seq,
		Validators: uint32(len(report.Validators)), Slashes: uint32(len(report.Slashes)),
	})
	return nil
}

// learn takes the consumer's half from a session it sent. If the consumer began anew, what came from it is forgotten
// (the registry's seqs are void by their session), sequence numbers begin again, and everything is touched.
func (k *Keeper) learn(ctx sdk.Context, clientID string, p *types.Pairing, sent meshtypes.Session) (bool, error) {
	next, learned := p.Session.Learn(meshtypes.SideProvider, sent)
	if !learned {
		return false, nil
	}
	p.Session = next
	p.LastSeq, p.SlashSeq, p.LastReportSeq, p.AnnouncedSeq = 0, 0, 0, 0
	k.emit(ctx, &types.EventSession{ConsumerId: clientID, Session: next})
	return true, k.touchAll(ctx, clientID)
}

// AcknowledgeUpdate works on the result bytes of a successful acknowledgement of a StakeUpdate that this chain sent. It
// returns an error only if the state cannot be read; whatever the consumer sends, the packet is done.
func (k *Keeper) AcknowledgeUpdate(ctx sdk.Context, clientID string, data, result []byte) error {
	ack, err := meshtypes.UnmarshalStakeUpdateAck(result)
	if err != nil {
		return k.FailUpdate(ctx, clientID, data, err.Error())
	}
	err = k.isolateTx(ctx, func(ctx sdk.Context) error { return k.acknowledgeUpdate(ctx, clientID, data, ack) })
	if err != nil {
		return k.FailUpdate(ctx, clientID, data, err.Error())
	}
	return nil
}

func (k *Keeper) acknowledgeUpdate(ctx sdk.Context, clientID string, data []byte, ack meshtypes.StakeUpdateAck) error {
	update, err := meshtypes.UnmarshalStakeUpdate(data)
	if err != nil {
		return err
	}
	if _, err := k.liveConsumer(ctx, clientID); err != nil {
		return nil //nolint:nilerr // a removed consumer's answers do not matter
	}
	p, err := k.Pairings.Get(ctx, clientID)
	if err != nil {
		return err
	}
	k.emit(ctx, &types.EventUpdateAcknowledged{ConsumerId: clientID, Seq: update.Seq, Refused: ack.Refused})
	learned, err := k.learn(ctx, clientID, &p, ack.Current)
	if err != nil {
		return err
	}
	switch {
	case learned:
		// Everything was touched and is sent again.
		return k.Pairings.Set(ctx, clientID, p)
	case update.Session != p.Session:
		return nil // of an earlier session, whose listings were lost with it
	case ack.Refused || ack.Echo != update.Session || ack.Seq != update.Seq || len(ack.Codes) != len(update.Stakes):
		return k.failUpdate(ctx, clientID, p, update, true)
	}
	k.unbondingAcknowledged(ctx, clientID, &p, update.Seq)
	if err := k.Pairings.Set(ctx, clientID, p); err != nil {
		return err
	}
	clocks := clocksPerPacket
	for i, stake := range update.Stakes {
		if err := k.answered(ctx, clientID, p, update.Seq, stake.Validator, ack.Codes[i], ack.Height, &clocks); err != nil {
			return err
		}
	}
	return nil
}

// FailUpdate works on a StakeUpdate of ours that timed out or was answered by an error: its listings are due again, at
// doubling intervals. It returns an error only if the state cannot be read.
func (k *Keeper) FailUpdate(ctx sdk.Context, clientID string, data []byte, reason string) error {
	update, err := meshtypes.UnmarshalStakeUpdate(data)
	if err != nil {
		return nil //nolint:nilerr // we sent it, so it decodes; otherwise there is nothing to do
	}
	return k.isolateTx(ctx, func(ctx sdk.Context) error {
		p, found, err := getOr(ctx, k.Pairings, clientID)
		if err != nil || !found {
			return err
		}
		k.emit(ctx, &types.EventUpdateFailed{ConsumerId: clientID, Seq: update.Seq, Reason: reason})
		if update.Session != p.Session {
			return nil
		}
		return k.failUpdate(ctx, clientID, p, update, true)
	})
}

// failUpdate makes the listings of an update that are still in flight due again.
func (k *Keeper) failUpdate(ctx context.Context, clientID string, _ types.Pairing, update meshtypes.StakeUpdate, delay bool) error {
	for _, stake := range update.Stakes {
		e, found, err := getOr(ctx, k.Outbox, collections.Join(clientID, stake.Validator))
		if err != nil {
			return err
		}
		if !found || e.InFlight != update.Seq {
			continue
		}
		if err := k.failed(ctx, clientID, stake.Validator, e, delay); err != nil {
			return err
		}
	}
	return nil
}

// ConsumerOfChannel returns the consumer that a channel serves. Error: ErrChannelUnknown if it serves none, or was
// retired.
func (k *Keeper) ConsumerOfChannel(ctx context.Context, channelID string) (string, error) {
	record, found, err := getOr(ctx, k.Channels, channelID)
	if err != nil {
		return "", err
	}
	if !found || record.Retired {
		return "", errorsmod.Wrap(meshtypes.ErrChannelUnknown, channelID)
	}
	return record.ClientId, nil
}

// CheckChannel checks a handshake step against protocol.md: the rules that both sides share, and that the client is a
// registered consumer's, which has no open channel. It returns the consumer.
func (k *Keeper) CheckChannel(ctx sdk.Context, end meshtypes.ChannelEnd) (string, error) {
	if k.conns == nil {
		return "", errorsmod.Wrap(meshtypes.ErrConnection, "IBC is not connected")
	}
	clientID, err := end.Check(ctx, k.conns, meshtypes.SideProvider)
	if err != nil {
		return "", err
	}
	consumer, err := k.liveConsumer(ctx, clientID)
	if err != nil {
		return "", err
	}
	if consumer.Config.UsesV2() {
		return "", errorsmod.Wrapf(meshtypes.ErrTransport, "over IBC v2, to %s", consumer.Config.CounterpartyClient)
	}
	p, err := k.Pairings.Get(ctx, clientID)
	if err != nil {
		return "", err
	}
	if p.ChannelId != "" {
		return "", errorsmod.Wrap(meshtypes.ErrChannelExists, p.ChannelId)
	}
	return clientID, nil
}

// ChannelEnd returns our end of a channel as the handshake's last step finds it.
func (k *Keeper) ChannelEnd(ctx sdk.Context, portID, channelID string) (meshtypes.ChannelEnd, error) {
	if k.channels == nil {
		return meshtypes.ChannelEnd{}, errorsmod.Wrap(types.ErrNoChannel, "IBC is not connected")
	}
	ch, found := k.channels.GetChannel(ctx, portID, channelID)
	if !found {
		return meshtypes.ChannelEnd{}, errorsmod.Wrap(meshtypes.ErrChannelUnknown, channelID)
	}
	return meshtypes.ChannelEnd{
		Order: ch.Ordering, ConnectionHops: ch.ConnectionHops, Port: portID,
		CounterpartyPort: ch.Counterparty.PortId, Version: ch.Version,
	}, nil
}

// OpenChannel makes a channel the consumer's. CONTRACT: CheckChannel passed in this call.
func (k *Keeper) OpenChannel(ctx sdk.Context, clientID, channelID string) error {
	p, err := k.Pairings.Get(ctx, clientID)
	if err != nil {
		return err
	}
	p.ChannelId = channelID
	if err := k.Pairings.Set(ctx, clientID, p); err != nil {
		return err
	}
	if err := k.Channels.Set(ctx, channelID, types.ChannelRecord{ChannelId: channelID, ClientId: clientID}); err != nil {
		return err
	}
	return k.opened(ctx, clientID, channelID)
}

// opened notes that packets can be sent to a consumer, over a channel or a client.
func (k *Keeper) opened(ctx context.Context, clientID, channelID string) error {
	k.emit(ctx, &types.EventChannelOpened{ConsumerId: clientID, ChannelId: channelID})
	consumer, err := k.Consumers.Get(ctx, clientID)
	if err != nil {
		return err
	}
	if consumer.Status != types.CONSUMER_STATUS_REGISTERED {
		return nil
	}
	return k.setStatus(ctx, consumer, types.CONSUMER_STATUS_ACTIVE)
}

// ChannelClosed notes that the consumer's side closed a channel: it is lost for us too.
func (k *Keeper) ChannelClosed(ctx sdk.Context, channelID string) error {
	clientID, err := k.ConsumerOfChannel(ctx, channelID)
	if err != nil {
		return nil //nolint:nilerr // not ours any more
	}
	return k.dropChannel(ctx, clientID)
}

// dropChannel retires the consumer's channel in our state: listings in flight count as timed out, packets are refused,
// and a new channel can take over the session.
func (k *Keeper) dropChannel(ctx context.Context, clientID string) error {
	p, err := k.Pairings.Get(ctx, clientID)
	if err != nil {
		return err
	}
	if p.ChannelId == "" {
		return errorsmod.Wrap(types.ErrNoChannel, clientID)
	}
	channelID := p.ChannelId
	p.ChannelId = ""
	if err := k.Pairings.Set(ctx, clientID, p); err != nil {
		return err
	}
	record := types.ChannelRecord{ChannelId: channelID, ClientId: clientID, Retired: true}
	if err := k.Channels.Set(ctx, channelID, record); err != nil {
		return err
	}
	return k.lost(ctx, clientID, channelID)
}

// lost notes that a channel or client is given up: what is in flight over it is due again.
func (k *Keeper) lost(ctx context.Context, clientID, channelID string) error {
	k.emit(ctx, &types.EventChannelRetired{ConsumerId: clientID, ChannelId: channelID})
	if err := k.loseInFlight(ctx, clientID); err != nil {
		return err
	}
	consumer, err := k.Consumers.Get(ctx, clientID)
	if err != nil {
		return err
	}
	if consumer.Status != types.CONSUMER_STATUS_ACTIVE {
		return nil
	}
	return k.setStatus(ctx, consumer, types.CONSUMER_STATUS_REGISTERED)
}

// retireChannel drops the consumer's channel and tries to close it in IBC, which fails if the client is not active. Of a
// consumer that is reached over IBC v2 it drops that. Error: ErrNoChannel if there is neither.
func (k *Keeper) retireChannel(ctx sdk.Context, clientID string) error {
	p, err := k.Pairings.Get(ctx, clientID)
	if err != nil {
		return err
	}
	consumer, err := k.Consumers.Get(ctx, clientID)
	if err != nil {
		return err
	}
	if consumer.Config.UsesV2() {
		return k.retireClient(ctx, consumer)
	}
	if err := k.dropChannel(ctx, clientID); err != nil {
		return err
	}
	if k.channels == nil {
		return nil
	}
	if err := k.isolateTx(ctx, func(ctx sdk.Context) error { return k.channels.ChanCloseInit(ctx, types.PortID, p.ChannelId) }); err != nil {
		k.Logger(ctx).Info("retired channel was not closed", "channel", p.ChannelId, "error", err)
	}
	return nil
}

// closeChannel retires the channel of a consumer that is being removed, or gives up its way over IBC v2, if it has one.
func (k *Keeper) closeChannel(ctx sdk.Context, cfg types.ConsumerConfig) error {
	p, err := k.Pairings.Get(ctx, cfg.ClientId)
	switch {
	case err != nil:
		return err
	case p.ChannelId != "":
		return k.retireChannel(ctx, cfg.ClientId)
	case cfg.UsesV2():
		return k.lost(ctx, cfg.ClientId, cfg.ClientId)
	}
	return nil
}
