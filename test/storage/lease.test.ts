/** Who may hold a lease, and when another may take it. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { acquireLease, leaseHolder, type LeaseOptions, type LeaseOutcome } from '../../src/storage/lease.ts'
import { listAll } from '../../src/storage/object-store.ts'
import { isProvablyAlive, isProvablyDead, thisProcess } from '../../src/storage/process-identity.ts'
import { ManualClock } from '../segment/manual-clock.ts'
import { MemoryStore } from './memory-store.ts'

const never = new AbortController().signal
const ttlMs = 30_000

async function take(
  store: MemoryStore,
  clock: ManualClock,
  token: string,
  options: Partial<LeaseOptions> = {},
): Promise<LeaseOutcome> {
  const owner = { ...(await thisProcess()), purpose: 'test', token }
  const isDead = (): Promise<boolean> => Promise.resolve(false)
  return acquireLease(
    store,
    'raw/recorder',
    '.lease.json',
    owner,
    { ttlMs, clock, isDead, wait: false, ...options },
    never,
  )
}

function leaseOf(outcome: LeaseOutcome) {
  assert.ok(outcome.held)
  return outcome.lease
}

const isDead = (): Promise<boolean> => Promise.resolve(true)

test('of twenty that want a free lease, or a dead owner’s, exactly one gets it', async () => {
  const store = new MemoryStore()
  const clock = new ManualClock()
  for (const options of [{}, { isDead }]) {
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, i) => take(store, clock, `t${i}`, i === 0 ? options : {})),
    )
    const winners = outcomes.filter((outcome) => outcome.held)
    assert.equal(winners.length, 1)
    assert.equal(
      (await leaseHolder(store, 'raw/recorder', '.lease.json', never))?.token,
      leaseOf(winners[0]!).token,
    )
  }
})

test('a second one is told who holds it, and gets it after a release', async () => {
  const store = new MemoryStore()
  const clock = new ManualClock()
  const first = leaseOf(await take(store, clock, 'one'))
  const second = await take(store, clock, 'two')
  assert.equal(second.held, false)
  assert.equal(!second.held && second.by.token, 'one')
  await first.release()
  assert.equal(first.isCurrent(), false)
  assert.equal((await take(store, clock, 'two')).held, true)
})

test('a lease not renewed for its whole length is taken over, and its old holder knows at once', async () => {
  const store = new MemoryStore()
  const clock = new ManualClock()
  const old = leaseOf(await take(store, clock, 'old'))
  const taking = take(store, clock, 'new', { wait: true })
  while (clock.timers === 0) await nextTurn()
  clock.advance(ttlMs - 1)
  assert.equal(old.isCurrent(), true)
  clock.advance(1)
  assert.equal(leaseOf(await taking).token, 'new')
  assert.equal(old.isCurrent(), false)
  assert.equal(await old.renew(), false)
})

test('a lease renewed in time is not taken over', async () => {
  const store = new MemoryStore()
  const clock = new ManualClock()
  const holder = leaseOf(await take(store, clock, 'holder'))
  const taking = take(store, clock, 'other', { wait: true })
  while (clock.timers === 0) await nextTurn()
  clock.advance(ttlMs / 2)
  assert.equal(await holder.renew(), true)
  clock.advance(ttlMs / 2)
  assert.equal((await taking).held, false)
  assert.equal(holder.isCurrent(), true)
})

test('one who slept through takeover and renewals cannot renew into the past', async () => {
  const store = new MemoryStore()
  const clock = new ManualClock()
  const sleeper = leaseOf(await take(store, clock, 'sleeper'))
  const other = leaseOf(await take(store, clock, 'other', { isDead }))
  for (let i = 0; i < 3; i++) assert.equal(await other.renew(), true)
  assert.equal(await sleeper.renew(), false)
  assert.equal((await leaseHolder(store, 'raw/recorder', '.lease.json', never))?.token, 'other')
  assert.equal(await other.renew(), true)
})

test('what a holder left who died between two generations goes with the next one', async () => {
  const store = new MemoryStore()
  const clock = new ManualClock()
  const dying = leaseOf(await take(store, clock, 'dying'))
  const generations = async (): Promise<string[]> =>
    (await listAll(store, 'raw/', never)).map(({ key }) => key)
  const [older] = await generations()
  const body = await store.get(older!, 1024)
  await dying.renew()
  await store.putIfAbsent(older!, body!)
  assert.equal((await generations()).length, 2)
  const next = leaseOf(await take(store, clock, 'next', { isDead }))
  assert.deepEqual(await generations(), ['raw/recorder.3.lease.json'])
  await next.remove()
  assert.deepEqual(await generations(), [])
})

test('a lease file that is none is named, with the way out', async () => {
  for (const body of ['', 'null', '{"lease":{}}', '[]']) {
    const store = new MemoryStore()
    await store.putIfAbsent('raw/recorder.1.lease.json', Buffer.from(body))
    await assert.rejects(() => take(store, new ManualClock(), 'x'), {
      kind: 'corrupt',
      message: /recorder\.1\.lease/,
      remedy: /remove/,
    })
  }
})

test('a process is dead only when that is certain', async () => {
  const here = await thisProcess()
  assert.equal(await isProvablyDead(here), false)
  const gone = { ...here, pid: 2 ** 22 + 1 }
  assert.equal(await isProvablyDead(gone), true)
  assert.equal(await isProvablyDead({ ...gone, host: 'elsewhere' }), false)
  if (here.started !== null) assert.equal(await isProvablyAlive(here), true)
  assert.equal(await isProvablyAlive(gone), false)
  assert.equal(await isProvablyAlive({ ...here, boot: 'another boot' }), false)
  assert.equal(await isProvablyDead({ ...gone, boot: 'another boot, or another host of this name' }), false)
  assert.equal(await isProvablyDead({ ...gone, pid_namespace: 'pid:[1]' }), false)
  if (here.started !== null) assert.equal(await isProvablyDead({ ...here, started: '1' }), true)
  assert.equal(await isProvablyDead({ ...here, started: null }), false)
})

test('an owner that certainly lives is named at once, without watching its lease', async () => {
  const store = new MemoryStore()
  const clock = new ManualClock()
  leaseOf(await take(store, clock, 'first'))
  const outcome = await take(store, clock, 'second', { wait: true, isAlive: () => Promise.resolve(true) })
  assert.equal(outcome.held, false)
  assert.equal(clock.timers, 0)
})

/** Generations in the store, and how often they were listed. */
class CountingStore extends MemoryStore {
  listings = 0

  override async *list(prefix: string, signal: AbortSignal): ReturnType<MemoryStore['list']> {
    this.listings++
    yield* super.list(prefix, signal)
  }
}

test('a lease that a listing showed free is taken by one put, by one of many', async () => {
  const store = new CountingStore()
  const clock = new ManualClock()
  const freeAtMs = clock.monotonicMs()
  const winner = await take(store, clock, 'one', { freeAtMs })
  assert.ok(winner.held)
  assert.equal(store.listings, 0)
  const loser = await take(store, clock, 'two', { freeAtMs })
  assert.ok(!loser.held && loser.by.token === 'one')
  await winner.lease.remove()
  assert.equal(await leaseHolder(store, 'raw/recorder', '.lease.json', never), null)
  assert.equal(winner.lease.isCurrent(), false)
  assert.ok((await take(store, clock, 'three')).held)
})

test('a listing that is old is not believed: who renewed since keeps the lease', async () => {
  const store = new CountingStore()
  const clock = new ManualClock()
  const freeAtMs = clock.monotonicMs()
  const holder = leaseOf(await take(store, clock, 'holder', { freeAtMs }))
  clock.advance(ttlMs / 3)
  assert.ok(await holder.renew())
  const late = await take(store, clock, 'late', { freeAtMs })
  assert.ok(!late.held && late.by.token === 'holder')
  assert.ok(holder.isCurrent())
  assert.equal((await leaseHolder(store, 'raw/recorder', '.lease.json', never))?.token, 'holder')
})
