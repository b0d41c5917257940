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
// FAR is further off than the replay allows amounts to be.
const FAR = 10n ** 7n

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
  return words
}

// witness is what a step shows of the rules that a mutation of the modules might break: which stake a slash asked and what
// of it was counted, what a bound has cut, what came too late. `a` and `b` are the whole states before and after.
function witness(a, b) {
  const words = new Set()
  const at = b.now
  const { act } = b
  const did = `${act.name}${act.err ? ' ' + act.err : ''}`
  const kind = (r) => (r.proof ? 'proof' : r.ds ? 'claimed double sign' : 'claim')
  const sort = (q) => (q.batch ? (q.conv ? 'converted' : 'batch') : 'pool')
  // What each pool or batch says to an infraction.
  const asks = (what, v, inf, recorded) => {
    const stake = a.p.pools.filter((q) => q.v === v)
    for (const q of stake) {
      const rest = stake.some((o) => o !== q && answers(o, inf, recorded)) ? 'with others' : 'alone'
      const say = (x) => words.add(`${what}: ${sort(q)} ${x}`).add(`${what}: ${sort(q)} ${x}, ${rest}`)
      if (inf < q.since) say('began later')
      if (inf === q.since) say('began then')
      if (q.batch && q.exh > 0n) say(inf > q.exh + 1n ? 'was executed before' : inf === q.exh + 1n ? 'was executed just before' : 'was executed later')
      if (q.batch && q.matured) say('has matured')
      else if (q.batch && q.started >= 0n && q.matures <= recorded) say(q.delayed > recorded ? 'is delayed' : 'is over')
      if (q.flag) say('was punished')
    }
  }
  if (act.name === 'proof') asks(did, act.v, act.height, at)
  for (const r of b.p.slashes) {
    const old = a.p.slashes.find((x) => x.id === r.id)
    if (old && old.status === r.status) continue
    const what = `${kind(r)} ${r.status}${r.reason ? ' ' + r.reason : ''}`
    words.add(what)
    asks(what, r.v, r.inf, r.at)
    if (r.status === 'executed') {
      for (const q of b.p.pools.filter((x) => x.v === r.v)) {
        const before = a.p.pools.find((x) => x.id === q.id)
        if (!before) continue
        const f = r.proof ? F / 2n : q.batch ? r.nom : r.eff
        const room = (before.s * before.g) / SC
        if (before.j < q.j) {
          if (room < (before.t * f) / F - FAR) words.add(`${what}: its budget bounds what a ${sort(q)} loses`)
          if (!r.proof && q.uf - (before.uw >= 0n && q.uw === before.uw ? before.uf : 0n) < f) words.add(`${what}: the window bounds what a ${sort(q)} loses`)
          if (!r.proof && before.uw >= 0n) words.add(`${what}: ${sort(q)} ${q.uw === before.uw ? 'again in a window' : 'in a new window'}`)
          if (before.walk) words.add(`${what}: ${sort(q)} is walked`)
        } else words.add(`${what}: spares a ${sort(q)}`)
      }
      const others = a.p.slashes.filter((x) => x.v === r.v && x.id !== r.id && x.status === 'pending')
      for (const x of others) words.add(`${what}: ${kind(x)} waits${x.opened ? ', has closed' : ''}`)
    }
    if (old && old.due > at) words.add(`${what}: early`)
    if (r.proof && a.p.vetoed.includes(r.v)) words.add(`${what}: after a veto`)
  }
  for (const r of a.p.slashes) {
    const x = b.p.slashes.find((y) => y.id === r.id)
    if (x && x.status === 'pending' && x.due !== r.due) words.add(`${kind(r)} is put off`)
  }
  const m = a.p.meter, m2 = b.p.meter
  if (m.known && m2.known) {
    if (m2.used < m.used - FAR) words.add('meter: replenished').add(`meter: replenished by ${did}`)
    if (m2.start !== m.start && m.start >= 0n) words.add('meter: new window').add(`meter: new window${m.proved > 0n ? ', something was proved' : ''}`)
    if (m.used > 0n && a.p.paused && m2.usedAt > m.usedAt) words.add('meter: paused').add(`meter: paused, ${did}`)
    if (m.used > 0n && m2.used > m.used) words.add('meter: used again')
  }
  if (!m.known && m2.known && a.p.pools.some((q) => q.batch && !q.matured)) words.add('meter: begins with batches')
  if (m2.start !== m.start && a.p.pools.some((q) => q.batch && !q.matured)) words.add('meter: counts batches')
  for (const q of b.p.pools) {
    const old = a.p.pools.find((x) => x.id === q.id)
    if (!old) {
      if (q.batch && q.uf > 0n) words.add('batch: begins with what claims took')
      continue
    }
    if (old.walk && !q.batch && q.g > old.g) words.add('walk: raises a budget').add(`walk: raises a budget${q.j > q.wj ? ', slashed since' : ''}`)
    if (q.batch && old.batch && q.s > old.s) {
      words.add(q.g < old.g - SC / 1000n ? 'batch: who joins has less' : 'batch: who joins has enough')
      if (q.since < old.since) words.add('batch: who joins has older stake')
      if (q.uf !== old.uf || q.uw !== old.uw) words.add('batch: claims took of who joins')
    }
    if (!q.batch && q.s > old.s && q.s !== q.t) {
      const minted = q.s - old.s, amount = act.amount
      words.add(ceilDiv(minted * old.g, SC) > amount / 2n + FAR ? 'stake: reserves g' : ceilDiv(minted * old.g, SC) < amount / 2n - FAR ? 'stake: reserves its ratio' : 'stake: reserves both')
    }
    if (q.batch && old.exh === 0n && q.exh > 0n) {
      words.add(old.started >= 0n ? (q.started < old.started ? 'batch: a forced clock starts earlier' : 'batch: executed after it was forced') : 'batch: executed')
      if (a.p.pools.some((x) => x.batch && x.closed && x.v === q.v && x.exh === 0n && x.seq > q.seq)) words.add('batch: executed before a later one')
      const reg = b.p.reg[q.v]
      words.add(reg.exs === q.seq ? 'batch: executed by its own listing' : 'batch: executed by a later listing')
    }
    if (q.batch && q.closed && q.exh === 0n && b.p.reg[q.v].exs > a.p.reg[q.v].exs) words.add('batch: an earlier listing is executed')
    if (q.delayed !== old.delayed) {
      words.add(q.delayed > at ? 'batch: delayed' : 'batch: released')
      const due = a.p.slashes.filter((r) => r.v === q.v && r.status === 'pending')
      if (q.delayed > at && due.some((r) => r.due > q.matures + r.delay)) words.add('batch: delayed by less than the slash waits')
    }
    if (q.batch && q.matured && !old.matured) {
      words.add(`batch: matures${q.exh === 0n ? ', forced' : ''}${old.delayed > old.matures ? ', delayed' : ''}`)
      if (a.p.slashes.some((r) => r.v === q.v && r.status === 'pending')) words.add('batch: matures, a slash is pending')
    }
  }
  for (const d of DELS) {
    const l = a.p.entries[d], l2 = b.p.entries[d]
    const over = l.filter((e) => e.held && e.until <= at)
    if (over.length > 0 && act.name !== 'unstake' && a.p.pools.some((q) => {
      const x = b.p.pools.find((y) => y.id === q.id)
      return !q.batch && x && !x.batch && x.pos[d].s < q.pos[d].s && x.j === q.j && b.p.pools.some((y) => y.v === q.v && y.batch && !y.conv && y.pos[d].s > (a.p.pools.find((z) => z.id === y.id)?.pos[d].s ?? 0n))
    })) words.add('held: what matured backs is unstaked').add(`held: what matured backs is unstaked, ${did}`)
    const owes = a.p.debt[d] > 0n || b.p.owed !== a.p.owed
    for (const e of l) {
      const x = l2.find((y) => y.born === e.born && y.until === e.until)
      if (e.held && e.until <= at && !owes && act.name !== 'nativeSlash' && x && x.bal < e.bal) words.add('held: part is paid')
      if (e.held && e.until > at && x && !x.held) words.add('held: released').add(`held: released, ${did}`)
      if (e.held && e.until <= at && !x) words.add('held: paid').add(`held: paid, ${did}`)
      if (!e.held && x && x.held) words.add('held: later than it began').add(`held: later, ${did}`)
      if (b.p.burned > a.p.burned && x && x.bal < e.bal && act.name !== 'nativeSlash') words.add(e.held ? 'paid from a held entry' : 'paid from a free entry')
    }
    const held = l2.filter((e) => e.held).length
    if (held > 0 && held < l2.length) words.add('held: not all')
    if (held > 1) words.add('held: several')
    if (b.p.debt[d] > 0n && held > 0) words.add('held: for a debt')
  }
  if (b.p.short > a.p.short) words.add('shortfall')
  for (const v of VALS) {
    const o = a.p.out[v], o2 = b.p.out[v]
    if (o.touched && o.next < 0n && o2.touched && o2.next >= 0n && o2.seq === o.seq) words.add(`touched in flight: ${did}`)
    if (o.touched && o.next >= 0n && o2.touched && o2.seq !== o.seq) words.add(o2.oldest === o.next ? 'answered, and listed again' : 'lost, and touched since')
    if (o2.retries > 1n) words.add(`retries: ${o2.retries}`)
    if (o.retries > 0n && o2.seq > 0n && o.seq === 0n) words.add('retried').add(`retried after ${o.retries}`)
    const r = a.c.rec[v]
    for (const m of a.net) {
      const arrives = act.deliver.some((x) => x.kind === m.kind && x.seq === m.seq)
      if (!arrives) continue
      if (m.kind === 'update' && v in m.stakes) {
        if (r.known && m.seq <= r.seq) words.add(`stale${m.stakes[v] !== r.amount ? ', of another amount' : ''}`)
        const unknown = a.c.log.filter((l) => l.v === v && l.i > m.slashSeq).length
        const knownToo = a.c.log.filter((l) => l.v === v && l.i <= m.slashSeq).length
        if (unknown > 0 && m.stakes[v] > 0n) words.add('update: scaled').add(`update: scaled, ${unknown}${knownToo > 0 ? ', not by all' : ''}`)
        if (knownToo > 0 && m.stakes[v] > 0n) words.add('update: of after a slash')
        if (a.c.tomb.includes(v)) words.add('update: of a tombstoned validator')
        if (a.p.slashes.some((x) => x.v === v && !x.proof && x.status === 'pending') && m.stakes[v] > 0n) words.add('update: with a pending factor')
      }
      if (m.kind === 'updateAck' && v in m.stakes) {
        if (o.touched && o.seq !== m.seq) words.add('answer of an older listing')
        if (m.codes[v] === 'tombstoned' && a.p.pools.some((q) => q.v === v && q.closed && q.exh === 0n)) words.add('tombstoned: counts as executed')
      }
      if (m.kind === 'report' && v in m.vals && m.seq <= a.p.reg[v].rseq) words.add('report: of before')
      if (m.kind === 'reportAck' && v in m.vals && a.c.dirty[v].on && a.c.dirty[v].seq !== m.seq) words.add('report: changed since')
    }
    if (a.c.virt[v] > 0n && b.c.virt[v] === 0n && !b.c.fresh) words.add('silent: power leaves')
    if (a.c.virt[v] === 0n && b.c.virt[v] > 0n && !a.c.fresh) words.add('silent: power comes back')
    if (a.c.log.length < b.c.log.length && act.v === v && a.c.virt[v] === 0n && r.amount === 0n && r.exa === 0n) words.add('log: of what was there')
    if ((act.name === 'down' || act.name === 'signed') && act.v === v && b.c.last === a.c.last) words.add(`log: of no concern${r.known ? ', now' : ''}`)
  }
  for (const m of a.net) {
    if (!act.deliver.some((x) => x.kind === m.kind && x.seq === m.seq)) continue
    if (m.kind === 'update' && m.synced < a.c.synced) words.add('synced: older')
    if (m.kind === 'update' && m.synced > a.c.synced && a.now - m.synced > 60n) words.add('synced: to a while ago')
    if (m.kind === 'report' && m.slashes.some((l) => l.i <= a.p.slashSeq)) words.add('report: slashes known')
    if (m.kind === 'report' && m.first > a.p.slashSeq + 1n) words.add('report: slashes void')
  }
  if (b.c.retries > 1n) words.add(`report: retries ${b.c.retries}`)
  return words
}

// answers is whether a pool or batch answers for an infraction, as in pools.qnt.
const answers = (q, inf, at) => inf >= q.since && (!q.batch ||
  (!q.matured && !(q.started >= 0n && q.matures <= at && q.delayed <= at) && (q.exh === 0n || inf <= q.exh + 1n)))

// onEdge is whether collateral is just what is required, or a refused stake would make it so. x/staking loses a unit to
// rounding when it slashes: the model does not, and may decide otherwise then.
function onEdge(s) {
  const { p, act } = s
  return DELS.some((d) => {
    let lien = 0n, budgets = 0n
    for (const q of p.pools) {
      if (q.matured || q.pos[d].s === 0n) continue
      lien += (q.pos[d].s * q.t) / q.s
      budgets += q.pos[d].b
    }
    const held = p.entries[d].reduce((n, e) => n + (e.held ? e.bal : 0n), 0n)
    const near = (more, there) => {
      const b = budgets + more / 2n + ceilDiv(there, 10n)
      const required = p.debt[d] + (lien + more > b ? lien + more : b)
      return required - there <= FAR && there - required <= FAR
    }
    return (lien > 0n && near(0n, p.bonded[d] + held)) || (act.name === 'stake' && act.d === d && act.err !== '' && near(act.amount, p.bonded[d]))
  })
}

const plainly = (x) => JSON.parse(JSON.stringify(x, (_, v) => num(v)))
// One file after the other: all of them do not fit into memory.
const numbers = new Map()
const number = (word) => numbers.get(word) ?? (numbers.set(word, numbers.size), numbers.size - 1)
const weights = []
const traces = readdirSync(dir).filter((f) => f.endsWith('.itf.json')).sort().map((file) => {
  let full = plain(JSON.parse(readFileSync(join(dir, file), 'utf8')).states)
  const slashed = full.findIndex((s) => s.act.name === 'nativeSlash')
  const edge = full.findIndex((s, i) => slashed >= 0 && i >= slashed && onEdge(s))
  if (edge >= 0) full = full.slice(0, edge)
  const states = full.slice(1).map((x) => plainly(compact(x)))
  const words = states.map((s, i) => {
    const here = []
    const add = (word, weight) => { const n = number(word); weights[n] = weight; here.push(n) }
    for (const w of shown(states[i - 1] ?? BEGIN, s, num(full[i + 1].now))) add(w, w.includes(' / ') ? 1 : 2)
    for (const w of witness(full[i], full[i + 1])) add(`! ${w}`, 4)
    // what follows what
    if (i > 0 && !s.act.err && !states[i - 1].act.err) add(`${states[i - 1].act.name}, then ${s.act.name}`, 2)
    return [...new Set(here)]
  })
  return { file, states: JSON.stringify(states), words }
})

// Each thing counts in full when it is shown first, and less the second and third time. A trace costs as much as some
// steps before its first one.
const AGAIN = [1, 0.25, 0.1]
const SETUP = Number(process.env.SETUP ?? 12)
const times = new Array(numbers.size).fill(0)
const chosen = []
const left = new Set(traces)
while (chosen.length < Number(count) && left.size > 0) {
  let best
  for (const t of left) {
    // what it promised before cannot have become more
    if (best && t.bound <= best.score) continue
    const here = new Set()
    let sum = 0, score = 0, length = 1
    t.words.forEach((words, i) => {
      for (const w of words) if (!here.has(w)) { here.add(w); sum += weights[w] * (AGAIN[times[w]] ?? 0) }
      const s = sum / (i + 1 + SETUP)
      if (s > score + 1e-9) { score = s; length = i + 1 }
    })
    t.bound = score
    if (!best || score > best.score + 1e-9) best = { t, score, length }
  }
  left.delete(best.t)
  for (const w of new Set(best.t.words.slice(0, best.length).flat())) times[w]++
  chosen.push(JSON.parse(best.t.states).slice(0, best.length))
}
if (process.env.WORDS) {
  // what is shown how often, for whoever changes this file
  const by = [...numbers].map(([w, n]) => `${times[n]} of ${traces.filter((t) => t.words.flat().includes(n)).length}\t${w}`)
  writeFileSync(process.env.WORDS, by.sort().join('\n') + '\n')
}
const steps = chosen.reduce((n, t) => n + t.length, 0)
console.log(`${traces.length} traces show ${numbers.size} things; ${chosen.length} of them, ${steps} steps, show ${times.filter((n) => n > 0).length}`)
const lines = [{ model: hash, traces: chosen.length, steps }, ...chosen].map((x) => JSON.stringify(x))
const zipped = gzipSync(lines.join('\n') + '\n', { level: 9 })
zipped[9] = 255 // no operating system: the same bytes everywhere
writeFileSync(out, zipped)
