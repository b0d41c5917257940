// Package system tests the programs as a user runs them: real nodes and a real
// relayer as processes. MESH_BIN is the absolute path of the directory with
// meshd, meshnet, rly and the chains for tests; `make test-system` sets it.
package system
