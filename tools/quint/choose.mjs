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

const BEGIN = {
  act: { dt: 0 }, pools: [], entries: [[], []], out: [[], []], reg: [[false, false, 0, 0], [false, false, 0, 0]], slashes: [],
  prov: { paused: false, slashSeq: 0 }, tomb: [false, false], cons: { acked: 0, last: 0, fresh: true }, net: [],
}

// shown is what a step shows, as words: acts with their outcome, and traits of the state before.
function shown(before, s, now) {
  const words = new Set()
  const traits = new Set([s.prov.paused ? 'paused' : 'open', s.cons.fresh ? 'fresh' : 'silent'])
  const claims = (q) => q.pos.some((x) => x[2] > 0)
  for (const q of before.pools) {
    traits.add(!q.batch ? 'pool' : (q.conv ? 'converted' : 'batch') +
      (q.matured ? ' matured' : !q.closed ? ' open' : q.exh > 0 ? ' executed' : q.started < 0 ? ' waits' : ' forced'))
    if (q.flag) traits.add('flagged')
    if (q.uf > 0) traits.add('claims took of it')
    if (claims(q)) traits.add('owes')
    if (q.t !== q.s) traits.add('rate')
    if (q.pos.every((x) => x[0] > 0)) traits.add('shared')
  }
  for (const l of before.entries) for (const [, until, held] of l) traits.add(held ? (until <= now ? 'held, over' : 'held') : 'entry')
  for (const r of before.slashes) traits.add(`${r.proof ? 'proof' : r.ds ? 'claimed double sign' : 'claim'} ${r.status}`)
  VALS.forEach((_, i) => {
    const [, seq, next, , retries] = before.out[i]
    if (before.out[i].length > 0) traits.add(seq > 0 ? (next >= 0 ? 'touched again' : 'in flight') : retries > 0 ? 'retries' : 'touched')
    if (before.reg[i][0]) traits.add('tombstone known')
    else if (before.tomb[i]) traits.add('tombstone')
    if (before.reg[i][1]) traits.add('closed')
  })
  if (before.cons.acked < before.cons.last) traits.add('log waits')
  const show = (what) => { words.add(what); for (const t of traits) words.add(`${what} / ${t}`) }
  const did = `${s.act.name}${s.act.err ? ' ' + s.act.err : ''}`
  show(did)
  for (const m of s.act.deliver) {
    const [kind, seq] = m.split(' ')
    show(kind)
    if (before.net.some((x) => x.split(' ')[0] === kind && Number(x.split(' ')[1]) < Number(seq) && !s.act.deliver.includes(x))) words.add(`overtakes ${kind}`)
  }
  for (const m of s.act.drop) words.add(`drop ${m.split(' ')[0]}`)
  for (const r of s.slashes) {
    const old = before.slashes.find((x) => x.id === r.id)
    if (!old || old.status !== r.status) show(`${r.proof ? 'proof' : r.ds ? 'claimed double sign' : 'claim'} becomes ${r.status}`)
  }
  for (const q of s.pools) {
    const old = before.pools.find((x) => x.id === q.id)
    if (!old) continue
    for (const k of ['batch', 'closed', 'matured', 'flag', 'walk', 'exh', 'started', 'delayed', 'uf']) {
      if (q[k] !== old[k]) { words.add(`pool: ${k}`); words.add(`${did}: ${k}`) }
    }
    if (claims(old) && !claims(q)) words.add(`${did}: settles`)
  }
  return [...words]
}

const plainly = (x) => JSON.parse(JSON.stringify(x, (_, v) => num(v)))
const traces = readdirSync(dir).filter((f) => f.endsWith('.itf.json')).sort().map((file) =>
  plain(JSON.parse(readFileSync(join(dir, file), 'utf8')).states).slice(1).map((x) => plainly(compact(x)))).map(withWords)

function withWords(states) {
  let now = 0
  const words = states.map((s, i) => shown(states[i - 1] ?? BEGIN, s, (now += s.act.dt)))
  return { states, words }
}

const known = new Set()
const chosen = []
const left = new Set(traces)
while (chosen.length < Number(count) && left.size > 0) {
  let best
  for (const t of left) {
    const here = new Set()
    let score = -1, length = 0
    t.words.forEach((words, i) => {
      for (const w of words) if (!known.has(w)) here.add(w)
      const s = here.size / (i + 4)
      if (s > score + 1e-9) { score = s; length = i + 1 }
    })
    if (!best || score > best.score + 1e-9) best = { t, score, length }
  }
  left.delete(best.t)
  const length = Math.max(best.length, 4)
  for (const w of best.t.words.slice(0, length).flat()) known.add(w)
  chosen.push(best.t.states.slice(0, length))
}
const all = new Set(traces.flatMap((t) => t.words.flat()))
const steps = chosen.reduce((n, t) => n + t.length, 0)
console.log(`${traces.length} traces show ${all.size} things; ${chosen.length} of them, ${steps} steps, show ${known.size}`)
const lines = [{ model: hash, traces: chosen.length, steps }, ...chosen].map((x) => JSON.stringify(x))
const zipped = gzipSync(lines.join('\n') + '\n', { level: 9 })
zipped[9] = 255 // no operating system: the same bytes everywhere
writeFileSync(out, zipped)
