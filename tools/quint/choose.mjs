// Chooses traces of the model for replay, and writes them compactly.
//
//   node choose.mjs ITF_DIR COUNT OUT.jsonl.gz MODEL_HASH
//
// Reads the ITF files that `quint run --out-itf` wrote and takes, again and again, the beginning of a trace that shows the
// most that no trace before has shown, cut off where it shows nothing new: always the same from the same files. One line for
// each trace, after one with the hash of the model; a step is what was done and the state after it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { join } from 'node:path'

const [dir, count, out, hash] = process.argv.slice(2)
const SC = 10n ** 36n
const F = 10n ** 18n

// plain turns ITF's encoding of integers, maps and sets into JavaScript's.
function plain(x) {
  if (Array.isArray(x)) return x.map(plain)
  if (x === null || typeof x !== 'object') return typeof x === 'number' ? BigInt(x) : x
  if ('#bigint' in x) return BigInt(x['#bigint'])
  if ('#set' in x) return x['#set'].map(plain)
  if ('#tup' in x) return x['#tup'].map(plain)
  if ('#map' in x) return Object.fromEntries(x['#map'].map(([k, v]) => [plain(k), plain(v)]))
  return Object.fromEntries(Object.entries(x).map(([k, v]) => [k, plain(v)]))
}

const num = (x) => (typeof x === 'bigint' ? Number(x) : x)
const VALS = ['v0', 'v1']
const DELS = ['alice', 'bob']
const ceilDiv = (a, b) => (a + b - 1n) / b

function owed(q, x) {
  if (q.j <= x.j) return 0n
  const due = ceilDiv(x.s * (q.j - x.j), SC)
  return due < x.b ? due : x.b
}

// compact is what of a state is compared, in the order that tests/model/replay_test.go reads.
function compact(s) {
  const { p, c, net, act } = s
  return {
    act: {
      name: act.name, d: act.d, v: act.v, amount: act.amount, height: act.height, f: act.f, err: act.err, dt: act.dt,
      deliver: act.deliver.map((m) => `${m.kind} ${m.seq}`), drop: act.drop.map((m) => `${m.kind} ${m.seq}`),
    },
    pools: p.pools.map((q) => ({
      id: q.id, v: q.v, t: q.t, s: q.s, promise: (q.s * q.g) / SC, since: q.since, flag: q.flag,
      uf: q.uw < 0n ? 0n : q.uf, walk: q.walk,
      batch: q.batch, conv: q.conv, closed: q.closed, seq: q.seq, exh: q.exh, started: q.started, matures: q.matures,
      delayed: q.delayed, matured: q.matured,
      pos: DELS.map((d) => [q.pos[d].s, q.pos[d].b, owed(q, q.pos[d])]),
    })),
    debt: DELS.map((d) => p.debt[d]), bonded: DELS.map((d) => p.bonded[d]), acct: DELS.map((d) => p.acct[d]),
    entries: DELS.map((d) => p.entries[d].map((e) => [e.bal, e.until, e.held]).reverse()), // x/staking has the oldest first
    out: VALS.map((v) => { const o = p.out[v]; return o.touched ? [o.oldest, o.seq, o.next, o.retryAt, o.retries] : [] }),
    reg: VALS.map((v) => { const r = p.reg[v]; return [r.tomb, r.closed, r.exs, r.exh] }),
    slashes: p.slashes.map((r) => ({
      id: r.id, v: r.v, proof: r.proof, ds: r.ds, inf: r.inf, nom: r.nom, eff: r.eff, due: r.due, status: r.status, amount: r.amount,
    })),
    meter: p.meter.start < 0n ? [] : [p.meter.used, p.meter.total, p.meter.proved, p.meter.start],
    prov: { lastSeq: p.lastSeq, slashSeq: p.slashSeq, paused: p.paused, client: p.client, slashed: p.slashed, owed: p.owed, burned: p.burned },
    rec: VALS.map((v) => { const r = c.rec[v]; return r.known ? [r.amount, r.seq, r.exs, r.exh, r.exa] : [] }),
    virt: VALS.map((v) => c.virt[v]), tomb: VALS.map((v) => c.tomb.includes(v)),
    log: c.log.map((l) => ({ i: l.i, v: l.v, ds: l.ds, inf: l.inf, f: l.f })),
    dirty: VALS.map((v) => (c.dirty[v].on ? Number(c.dirty[v].seq) : -1)),
    cons: { first: c.first, last: c.last, acked: c.acked, flight: c.flight, retryAt: c.retryAt, synced: c.synced, fresh: c.fresh, lastSeq: c.lastSeq },
    net: net.map((m) => `${m.kind} ${m.seq}`),
  }
}

// shown is what a step shows, as words: actions with their outcome, and traits of the states before and after.
function shown(before, s) {
  const { p, c, act, seen, net } = s
  const words = new Set()
  const traits = []
  traits.push(p.paused ? 'paused' : 'open', c.fresh ? 'fresh' : 'silent')
  for (const q of before.p.pools) {
    traits.push(q.batch ? (q.conv ? 'converted' : 'batch') + (q.matured ? ' matured' : !q.closed ? ' open' : q.exh === 0n ? (q.started < 0n ? ' waits' : ' forced') : ' executed') : 'pool')
    if (q.flag) traits.push('flagged')
    if (q.uw >= 0n) traits.push('unproven used')
    if (DELS.some((d) => owed(q, q.pos[d]) > 0n)) traits.push('owes')
    if (q.t !== q.s) traits.push('rate')
    if (DELS.every((d) => q.pos[d].s > 0n)) traits.push('shared')
  }
  for (const d of DELS) for (const e of before.p.entries[d]) traits.push(e.held ? (e.until <= before.now ? 'held, over' : 'held') : 'entry')
  for (const r of before.p.slashes) traits.push(`${r.proof ? 'proof' : r.ds ? 'claimed double sign' : 'claim'} ${r.status}`)
  for (const v of VALS) {
    const o = before.p.out[v]
    if (o.touched) traits.push(o.seq > 0n ? (o.next >= 0n ? 'touched again' : 'in flight') : o.retries > 0n ? 'retries' : 'touched')
    if (before.p.reg[v].tomb) traits.push('tombstone known')
    else if (before.c.tomb.includes(v)) traits.push('tombstone')
    if (before.p.reg[v].closed) traits.push('closed')
  }
  if (before.c.acked < before.c.last) traits.push('log waits')
  const did = `${act.name}${act.err ? ' ' + act.err : ''}`
  words.add(did)
  for (const t of new Set(traits)) { words.add(t); words.add(`${did} / ${t}`) }
  for (const [k, v] of Object.entries(seen)) if (v) words.add(`seen ${k}`)
  const kinds = (l) => l.map((m) => m.kind)
  for (const k of new Set(kinds(act.deliver))) for (const t of new Set(traits)) words.add(`${k} / ${t}`)
  for (const k of kinds(act.drop)) words.add(`drop ${k}`)
  for (const m of act.deliver) {
    if (before.net.some((x) => x.kind === m.kind && x.seq < m.seq && !act.deliver.some((y) => y.kind === x.kind && y.seq === x.seq))) words.add(`overtakes ${m.kind}`)
  }
  for (const m of net) if (m.kind === 'updateAck') for (const code of Object.values(m.codes)) words.add(`code ${code}`)
  for (const r of p.slashes) {
    const old = before.p.slashes.find((x) => x.id === r.id)
    if (!old || old.status !== r.status) {
      const what = `${r.proof ? 'proof' : r.ds ? 'claimed double sign' : 'claim'} becomes ${r.status} ${r.reason}`
      words.add(what)
      for (const t of new Set(traits)) words.add(`${what} / ${t}`)
    }
  }
  for (const q of p.pools) {
    const old = before.p.pools.find((x) => x.id === q.id)
    if (!old) continue
    for (const k of ['batch', 'closed', 'matured', 'flag', 'walk']) if (q[k] !== old[k]) { words.add(`pool ${k} ${q[k]}`); words.add(`${did}: pool ${k} ${q[k]}`) }
    for (const k of ['exh', 'started', 'delayed', 'uf']) if (q[k] !== old[k]) { words.add(`pool ${k}`); words.add(`${did}: pool ${k}`) }
  }
  return words
}

const traces = readdirSync(dir).filter((f) => f.endsWith('.itf.json')).sort().map((file) => {
  const states = plain(JSON.parse(readFileSync(join(dir, file), 'utf8')).states)
  const words = states.slice(1).map((s, i) => [...shown(states[i], s)])
  return { file, states: states.slice(1).map(compact), words }
})

const known = new Map() // how often a word was shown
const times = (w) => known.get(w) ?? 0
const chosen = []
const left = new Set(traces)
while (chosen.length < Number(count) && left.size > 0) {
  let best
  for (const t of left) {
    // Words that were shown seldom count; what costs steps must bring them.
    const seenHere = new Set()
    let gain = 0, score = -1, length = 0
    t.words.forEach((words, i) => {
      for (const w of words) if (!seenHere.has(w)) { seenHere.add(w); gain += times(w) === 0 ? 1 : times(w) < 3 ? 0.1 : 0 }
      const s = gain / (i + 4)
      if (s > score + 1e-9) { score = s; length = i + 1 }
    })
    if (!best || score > best.score + 1e-9) best = { t, score, length }
  }
  left.delete(best.t)
  const length = Math.max(best.length, 4)
  for (const w of new Set(best.t.words.slice(0, length).flat())) known.set(w, times(w) + 1)
  chosen.push(best.t.states.slice(0, length))
}
const all = new Set(traces.flatMap((t) => t.words.flat()))
const steps = chosen.reduce((n, t) => n + t.length, 0)
console.log(`${traces.length} traces show ${all.size} things; ${chosen.length} of them, ${steps} steps, show ${known.size}`)
const lines = [{ model: hash, traces: chosen.length, steps }, ...chosen].map((x) => JSON.stringify(x, (_, v) => num(v)))
const zipped = gzipSync(lines.join('\n') + '\n', { level: 9 })
zipped[9] = 255 // no operating system: the same bytes everywhere
writeFileSync(out, zipped)
