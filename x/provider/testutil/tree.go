package testutil

import (
	"errors"

	"github.com/tidwall/btree"

	"github.com/cosmos/cosmos-sdk/store/v2/cachekv"
	"github.com/cosmos/cosmos-sdk/store/v2/cachemulti"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
)

// tree is a store in memory that is quick with many keys, unlike an IAVL tree that is never committed. It is not written to
// while it is iterated over: all writes come from branches, at the end of a block.
type tree struct{ m btree.Map[string, []byte] }

var _ storetypes.KVStore = (*tree)(nil)

// trees returns a multistore of empty trees.
func trees(keys map[string]*storetypes.KVStoreKey) storetypes.CacheMultiStore {
	stores := map[storetypes.StoreKey]storetypes.CacheWrapper{}
	for _, key := range keys {
		stores[key] = &tree{}
	}
	return cachemulti.NewStore(stores)
}

// GetStoreType implements storetypes.Store.
func (*tree) GetStoreType() storetypes.StoreType { return storetypes.StoreTypeDB }

// CacheWrap implements storetypes.Store.
func (t *tree) CacheWrap() storetypes.CacheWrap { return cachekv.NewStore(t) }

// Get implements storetypes.KVStore.
func (t *tree) Get(key []byte) []byte {
	value, _ := t.m.Get(string(key))
	return value
}

// Has implements storetypes.KVStore.
func (t *tree) Has(key []byte) bool {
	_, found := t.m.Get(string(key))
	return found
}

// Set implements storetypes.KVStore.
func (t *tree) Set(key, value []byte) { t.m.Set(string(key), value) }

// Delete implements storetypes.KVStore.
func (t *tree) Delete(key []byte) { t.m.Delete(string(key)) }

// Iterator implements storetypes.KVStore.
func (t *tree) Iterator(start, end []byte) storetypes.Iterator {
	it := &treeIterator{it: t.m.Iter(), start: start, end: end}
	it.move(it.it.Seek(string(start)))
	return it
}

// ReverseIterator implements storetypes.KVStore.
func (t *tree) ReverseIterator(start, end []byte) storetypes.Iterator {
	it := &treeIterator{it: t.m.Iter(), start: start, end: end, reverse: true}
	switch {
	case end == nil || !it.it.Seek(string(end)):
		it.move(it.it.Last())
	default:
		it.move(it.it.Prev())
	}
	return it
}

// treeIterator iterates over a tree.
type treeIterator struct {
	it             btree.MapIter[string, []byte]
	start, end     []byte
	reverse, valid bool
}

func (i *treeIterator) move(found bool) {
	if i.reverse {
		i.valid = found && (i.start == nil || i.it.Key() >= string(i.start))
	} else {
		i.valid = found && (i.end == nil || i.it.Key() < string(i.end))
	}
}

// Domain implements storetypes.Iterator.
func (i *treeIterator) Domain() (start, end []byte) { return i.start, i.end }

// Valid implements storetypes.Iterator.
func (i *treeIterator) Valid() bool { return i.valid }

// Next implements storetypes.Iterator.
func (i *treeIterator) Next() {
	if i.reverse {
		i.move(i.it.Prev())
	} else {
		i.move(i.it.Next())
	}
}

// Key implements storetypes.Iterator.
func (i *treeIterator) Key() []byte { return []byte(i.it.Key()) }

// Value implements storetypes.Iterator.
func (i *treeIterator) Value() []byte { return i.it.Value() }

// Error implements storetypes.Iterator.
func (i *treeIterator) Error() error {
	if !i.valid {
		return errors.New("iterator is not valid")
	}
	return nil
}

// Close implements storetypes.Iterator.
func (*treeIterator) Close() error { return nil }
