/**
 * A recorder, and the recovery after it, that may die at any step on their disk. With a bucket the folder is the spool, and what was recovered
 * is shipped afterwards: then the bucket is looked at.
 */

import assert from 'node:assert/strict'
import { appendFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { listSealed, shipSealed } from '../../src/segment/ship.ts'
import { realDisk } from '../../src/storage/disk.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { listAll, type LocalObjectStore, type ObjectStore } from '../../src/storage/object-store.ts'
import { assertEndIsSaid, leaveOpen, recordUntilCrash } from '../segment/cut-off.ts'
import { ForgetfulDisk } from '../segment/forgetful-disk.ts'
import {
  assertWhole,
  makePlace,
  never,
  recover,
  segmentsIn,
  sequenceOf,
  type Found,
  type Place,
} from '../segment/recorded.ts'
import { CrashNow } from '../storage/crashing-store.ts'
import type { Stand } from './stand.ts'
import type { Cleanup, CrashPoint, Ran, Scenario, World } from './sweep.ts'

const framesRecorded = 25
const torn = '{"n":10,"recv_ns":"1'

abstract class DiskWorld implements World {
  protected readonly place: Place
  readonly #bucket: ObjectStore | null

  constructor(place: Place, bucket: ObjectStore | null) {
    this.place = place
    this.#bucket = bucket
  }

  abstract run(point: CrashPoint): Promise<Ran>
  abstract state(): Promise<unknown>

  /** What was published before the death is sealed and whole. */
  async assertWhole(): Promise<void> {
    for (const { key, result, bad } of await segmentsIn(await this.spool()))
      assert.ok(bad.length === 0 && result.sealProblem === null && result.seal !== null, key)
  }

  async finish(): Promise<void> {
    await recover(this.place)
    await recover(this.place)
    if (this.#bucket === null) return
    const spool = await this.spool()
    const deps = { spool, bucket: this.#bucket, disk: realDisk, venue: 'coinbase', sequenceOf }
    for (const object of await listSealed(deps, never)) await shipSealed(deps, object, never)
    for (const prefix of ['raw/active/', 'raw/ready/'])
      assert.deepEqual(await listAll(spool, prefix, never), [], 'what is in the bucket is not in the spool')
  }

  protected spool(): Promise<LocalObjectStore> {
    return openLocalStore(this.place.base, new ForgetfulDisk(this.place.grave))
  }

  protected async segments(): Promise<Found[]> {
    return segmentsIn(this.#bucket ?? (await this.spool()))
  }
}

/** How many lines are there depends on when it died: that those called durable are, and which way it ended. */
class RecordWorld extends DiskWorld {
  #durable = 0

  async run({ at, kind }: CrashPoint): Promise<Ran> {
    const disk = new ForgetfulDisk(this.place.grave, at, kind)
    this.#durable = await recordUntilCrash(this.place, disk, framesRecorded)
    await disk.closeFiles()
    return { steps: disk.steps, published: [], isCrashed: disk.isCrashed }
  }

  async state(): Promise<unknown> {
    const segments = await this.segments()
    const last = assertWhole(segments)
    assert.ok(last >= this.#durable, `durable ${this.#durable}, found ${last}`)
    assertEndIsSaid(segments)
    return 'whole'
  }
}

class RecoverWorld extends DiskWorld {
  async run({ at, kind }: CrashPoint): Promise<Ran> {
    await appendFile(await leaveOpen(this.place, 9), torn)
    const disk = new ForgetfulDisk(this.place.grave, at, kind)
    await recover(this.place, disk).catch((error: unknown) => {
      if (error instanceof CrashNow || (error instanceof Error && error.cause instanceof CrashNow)) return
      throw error
    })
    await disk.closeFiles()
    return { steps: disk.steps, published: [], isCrashed: disk.isCrashed }
  }

  async state(): Promise<unknown> {
    const segments = await this.segments()
    assertWhole(segments)
    const spool = await listAll(await this.spool(), 'raw/rejected/', never)
    return {
      rejected: spool.map(({ key, sizeBytes }) => [key, sizeBytes]),
      segments: segments.map(({ key, result, lines }) => ({
        key,
        recovered: result.seal?.recovered,
        lines: lines.map((line) => (line.kind === 'event' ? Object.keys(line.event as object) : line.kind)),
      })),
    }
  }
}

function diskScenario(
  program: string,
  story: string,
  newWorld: new (place: Place, bucket: ObjectStore | null) => World,
): Scenario {
  return {
    program,
    story,
    kinds: ['landed', 'lost'],
    isTypical: true,
    stepsVary: true,
    begin(stand: Stand) {
      return Promise.resolve(async (each: Cleanup): Promise<World> => {
        const place = await makePlace(each)
        return new newWorld(place, stand.kind === 'local' ? null : await bucketOf(stand, each))
      })
    },
  }
}

async function bucketOf(stand: Stand, cleanup: Cleanup): Promise<ObjectStore> {
  const base = await mkdtemp(join(tmpdir(), 'mdv-bucket-'))
  cleanup.after(() => rm(base, { recursive: true, force: true }))
  return (await stand.stand(await openLocalStore(base), cleanup)).store
}

export const recordScenarios: readonly Scenario[] = [
  diskScenario('record and rotate', `${framesRecorded} frames over several segments`, RecordWorld),
  diskScenario('recover', 'a torn tail', RecoverWorld),
]
