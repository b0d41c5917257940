// Package types holds what the provider and the consumer module share: the four messages that cross the wire with their
// strict codec, the rules of sessions and of the channel handshake, ports and version. It has no state.
package types
