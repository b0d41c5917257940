// Package demo shows Mesh Security at work on real chains: two of them secure
// each other and a third, delegators restake and leave again, a cap is reached,
// the relayer and a node fail, rewards come home, prices fall. Every step is
// checked against the chains' state, and what a chain should hold is computed
// here, from the figures alone, by arithmetic that shares nothing with the
// modules.
package demo
