import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { Clock } from '../../src/core/clock.ts'
import { VaultError } from '../../src/core/errors.ts'
import { recoverDead } from '../../src/query/recover.ts'
import { thisProcess } from '../../src/storage/process-identity.ts'
import { baseNs, sealedSegment, SmallVault } from './small-vault.ts'

const key = 'raw/active/coinbase/segment_20251203T14_00001.ndjson'
const leaseKey = 'raw/active/coinbase/recorder.7.lease.json'
const clock: Clock = {
  nowMs: () => Number(baseNs / 1_000_000n),
  nowNs: () => baseNs,
  monotonicMs: () => 0,
  monotonicNs: () => 0n,
  after: () => ({ cancel: () => undefined }),
  sleep: async () => undefined,
}
let vault: SmallVault

beforeEach(async () => {
  vault = await SmallVault.make()
  const whole = sealedSegment(1, [{ clock_step: { step_ns: '1' } }, { clock_step: { step_ns: '2' } }])
  await vault.write(key, whole.slice(0, whole.indexOf('{"seal"')) + '{"n":3,"recv_')
})
afterEach(() => vault.remove())

const recover = (isPatient: boolean) =>
  recoverDead(
    vault.store,
    clock,
    'coinbase',
    { isPatient, sequenceOf: () => -1 },
    new AbortController().signal,
  )

test('while a recorder lives its segment is left alone', async () => {
  await vault.write(
    leaseKey,
    JSON.stringify({ lease: { ...(await thisProcess()), purpose: 'mdv ingest', token: 't' } }),
  )
  await assert.rejects(
    recover(false),
    (error) => error instanceof VaultError && error.kind === 'held' && /mdv ingest/.test(error.message),
  )
  assert.notEqual(await vault.store.head(key), undefined)
})

test('a lease of another machine holds until it was watched unchanged', async () => {
  const lease = { ...(await thisProcess()), host: 'elsewhere', purpose: 'mdv ingest', token: 't' }
  await vault.write(leaseKey, JSON.stringify({ lease }))
  await assert.rejects(recover(false), /not proved dead/)
  assert.equal((await recover(true)).length, 1)
})

test('what a dead recorder left is sealed and published, its torn end kept aside, and the lease let go', async () => {
  const [segment] = await recover(false)
  assert.equal(segment!.publishedAs, 'segment_20251203T14_00001')
  assert.equal(segment!.lines, 2)
  assert.equal(segment!.cutBytes, '{"n":3,"recv_'.length)
  assert.equal(await vault.store.head(key), undefined)
  assert.deepEqual(await recover(false), [])
})
