/** Power lost at a moment that a seed draws, in everything that makes something durable on a local disk: what was called durable is there. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Random } from '../../src/core/clock.ts'
import { seededRandom } from '../../src/core/random.ts'
import { runEtlOnce, type EtlOptions } from '../../src/etl/run.ts'
import { listSealed, shipSealed } from '../../src/segment/ship.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { listAll, type LocalObjectStore } from '../../src/storage/object-store.ts'
import { Bench, collect, etlOptions } from '../etl/job-bench.ts'
import { assertEndIsSaid, recordUntilCrash } from '../segment/cut-off.ts'
import { ForgetfulDisk, Losses } from '../segment/forgetful-disk.ts'
import {
  assertWhole,
  makePlace,
  never,
  publishedSegments,
  recover,
  segmentsIn,
  sequenceOf,
} from '../segment/recorded.ts'
import { CrashNow } from '../storage/crashing-store.ts'
import { Undo, type Cleanup } from './sweep.ts'

export type PlayName = 'record' | 'publish' | 'convert' | 'ship'

/** One story by one seed. @returns whether the power went out in it */
type Play = (random: Random, losses: Losses, cleanup: Cleanup) => Promise<boolean>

/** A disk whose power goes out within so many steps. */
function failingDisk(grave: string, random: Random, stepsMax: number): ForgetfulDisk {
  const at = 1 + Math.floor(random() * stepsMax)
  return new ForgetfulDisk(grave, at, random() < 0.5 ? 'landed' : 'lost')
}

/** Runs into the power loss, if it comes, and forgets what it takes. */
async function until(
  disk: ForgetfulDisk,
  act: () => Promise<unknown>,
  random: Random,
  losses: Losses,
): Promise<void> {
  try {
    await act()
  } catch (error) {
    assert.ok(disk.isCrashed && isCrash(error), String(error))
  }
  if (disk.isCrashed) await disk.loseParts(random, losses)
  else await disk.closeFiles()
}

function isCrash(error: unknown): boolean {
  return error instanceof CrashNow || (error instanceof Error && isCrash(error.cause))
}

const record: Play = async (random, losses, cleanup) => {
  const place = await makePlace(cleanup)
  const disk = failingDisk(place.grave, random, 90)
  let durable = 0
  await until(disk, async () => (durable = await recordUntilCrash(place, disk, 45)), random, losses)
  while (random() < 0.5) {
    const again = failingDisk(place.grave, random, 30)
    await until(again, () => recover(place, again), random, losses)
  }
  await recover(place)
  const segments = await publishedSegments(place)
  const last = assertWhole(segments)
  assertEndIsSaid(segments)
  assert.ok(last >= durable, `durable ${durable}, found ${last}`)
  return disk.isCrashed
}

/** What a store has promised: the body of each key, null where it was removed. */
type Promises = Map<string, string | null>

const publish: Play = async (random, losses, cleanup) => {
  const place = await makePlace(cleanup)
  const promised: Promises = new Map()
  const hasLinks = random() < 0.8
  let isLost = false
  for (let life = 0; life < 2; life++) {
    const disk = failingDisk(place.grave, random, 60)
    if (!hasLinks)
      disk.refuse = (step) => {
        if (step === 'link') throw Object.assign(new Error('no links here'), { code: 'ENOTSUP' })
      }
    // What was asked for and not answered may be there or not, whole.
    let asked: { readonly key: string; readonly body: string | null } | null = null
    const act = async (): Promise<void> => {
      const store = await openLocalStore(place.base, disk)
      for (let i = 0; i < 10; i++) {
        const key = `folder${Math.floor(random() * 3)}/key${Math.floor(random() * 6)}`
        const removes = random() < 0.25
        asked = { key, body: removes ? null : `${key} in life ${life}, step ${i} `.repeat(9) }
        const stood = promised.get(key) ?? null
        const outcome = await change(store, asked, random)
        assert.equal(outcome, removes ? stood !== null : stood === null ? 'created' : 'exists', key)
        if (removes || stood === null) promised.set(key, asked.body)
        asked = null
      }
    }
    await until(disk, act, random, losses)
    // A killed put leaves its lock on a file system without links: the message says to remove it.
    await rm(join(place.base, '.mdv', 'put.lock'), { force: true })
    isLost ||= disk.isCrashed
    await assertPromised(await openLocalStore(place.base), promised, asked)
  }
  return isLost
}

async function change(
  store: LocalObjectStore,
  { key, body }: { readonly key: string; readonly body: string | null },
  random: Random,
): Promise<unknown> {
  if (body === null) return store.delete(key)
  if (random() < 0.5) return store.putIfAbsent(key, Buffer.from(body))
  const path = join(await store.scratch('play'), 'file')
  await rm(path, { force: true })
  await writeFile(path, body)
  return store.publishFile(path, key)
}

/** @param asked what was under way; is entered as it turned out */
async function assertPromised(
  store: LocalObjectStore,
  promised: Promises,
  asked: { readonly key: string; readonly body: string | null } | null,
): Promise<void> {
  if (asked !== null) {
    const found = (await store.get(asked.key))?.toString() ?? null
    const stood = promised.get(asked.key) ?? null
    const may = stood === null || asked.body === null ? [stood, asked.body] : [stood]
    assert.ok(may.includes(found), `${asked.key}: found ${JSON.stringify(found)}`)
    promised.set(asked.key, found)
  }
  for (const [key, body] of promised)
    assert.equal((await store.get(key))?.toString() ?? null, body, `${key} is what was promised`)
}

const batch = { segmentsMax: 3, bytesMax: 1e9, waitMs: 1, isPatient: false }
const convertOptions: readonly EtlOptions[] = [
  etlOptions,
  { ...etlOptions, archive: true },
  { ...etlOptions, batch },
]
const convertedLines = [1, 2, 3, 4, 5, 6, 7, 8]

async function segmentsToConvert(cleanup: Cleanup): Promise<Bench> {
  const bench = await Bench.make()
  cleanup.after(() => bench.remove())
  await bench.segment(1, 1, ['BTC-USD', 'ETH-USD', 'BTC-USD', 'reject', 'ETH-USD'])
  await bench.segment(2, 6, ['BTC-USD', 'BTC-USD', 'BTC-USD'])
  return bench
}

/** By options: how it ends when nothing happens. */
const ends = new Map<EtlOptions, Promise<unknown>>()

async function endOf(options: EtlOptions): Promise<unknown> {
  const cleanup = new Undo()
  const bench = await segmentsToConvert(cleanup)
  await runEtlOnce(await bench.worker(), options, collect(), never)
  const state = await bench.state()
  await cleanup.run()
  return state
}

const convert: Play = async (random, losses, cleanup) => {
  const bench = await segmentsToConvert(cleanup)
  const grave = await mkdtemp(join(tmpdir(), 'mdv-grave-'))
  cleanup.after(() => rm(grave, { recursive: true, force: true }))
  const options = convertOptions[Math.floor(random() * convertOptions.length)]!
  let isLost = false
  for (let life = 0; life < 2; life++) {
    const disk = failingDisk(grave, random, 150)
    const act = async (): Promise<void> => {
      const worker = await bench.worker(await openLocalStore(bench.store.location, disk))
      // After a power loss every process of before is dead.
      bench.kill(worker.pid)
      await runEtlOnce(worker, options, collect(), never)
    }
    await until(disk, act, random, losses)
    isLost ||= disk.isCrashed
    await bench.assertWhole(convertedLines)
  }
  await runEtlOnce(await bench.worker(), options, collect(), never)
  ends.set(options, ends.get(options) ?? endOf(options))
  assert.deepEqual(await bench.state(), await ends.get(options))
  return isLost
}

/** A spool that loses its power while it records and while it ships, to a bucket that keeps what it has. */
const ship: Play = async (random, losses, cleanup) => {
  const place = await makePlace(cleanup)
  const bucket = await openLocalStore(join(place.base, '..', 'bucket'))
  const recording = failingDisk(place.grave, random, 140)
  let durable = 0
  await until(recording, async () => (durable = await recordUntilCrash(place, recording, 45)), random, losses)
  let isLost = recording.isCrashed
  for (let life = 0; life < 3; life++) {
    const disk = life === 2 ? new ForgetfulDisk(place.grave) : failingDisk(place.grave, random, 50)
    const act = async (): Promise<void> => {
      await recover(place, disk)
      const spool = await openLocalStore(place.base, disk)
      const deps = { spool, bucket, disk, venue: 'coinbase', sequenceOf }
      for (const object of await listSealed(deps, never)) await shipSealed(deps, object, never)
    }
    await until(disk, act, random, losses)
    isLost ||= disk.isCrashed
  }
  const last = assertWhole(await segmentsIn(bucket))
  assert.ok(last >= durable, `durable ${durable}, in the bucket ${last}`)
  const left = (await listAll(await openLocalStore(place.base), 'raw/ready/', never)).map(({ key }) => key)
  assert.deepEqual(left, [], 'what is in the bucket is not in the spool')
  return isLost
}

const plays: Readonly<Record<PlayName, Play>> = { record, publish, convert, ship }

/** @returns whether the power went out in it @throws with the words that repeat it */
export async function play(name: PlayName, seed: number, losses: Losses): Promise<boolean> {
  const cleanup = new Undo()
  try {
    return await plays[name](seededRandom(seed), losses, cleanup)
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause)
    throw new Error(
      `${words}\nTo repeat this case: MDV_POWER_CASE=${name}/${seed} node --test dist/test-full/power-loss.test.js`,
      { cause },
    )
  } finally {
    await cleanup.run()
  }
}

export const playNames = Object.keys(plays) as PlayName[]
