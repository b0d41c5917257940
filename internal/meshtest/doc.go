// Package meshtest runs several Mesh Security chains in one process, over ibctesting, for integration and property
// tests.
//
// A Network owns the chains and one clock. Every Step moves the clock, lets the relayer put its transactions into the
// chains' mempools, and makes one block on each chain. Nothing is mocked: transactions are signed and go through the
// ante handler, packets travel with proofs, validators vote (or stay away), evidence arrives as CometBFT hands it over.
//
// After every block of every chain the invariants of both modules are checked.
package meshtest
