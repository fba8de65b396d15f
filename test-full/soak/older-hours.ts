/**
 * Segments of hours that are over, as a recorder writes them: what a recorder that was cut off brings in late. They give `mdv compact --watch`
 * something to merge in each of its rounds, where a soak of an hour would wait for one full hour in vain.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { connectionId, makeRecorderId } from '../../src/core/ids.ts'
import { seededRandom } from '../../src/core/random.ts'
import { SegmentLog } from '../../src/segment/log.ts'
import { writeHere } from '../../src/segment/writer.ts'
import { realDisk } from '../../src/storage/disk.ts'
import { readySegmentKey, segmentLabel } from '../../src/storage/keys.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { listAll } from '../../src/storage/object-store.ts'
import { ManualClock } from '../../test/segment/manual-clock.ts'

const dayMs = 86_400_000
const products = 10
const frames = 3_000

/** Brings in one segment at a time. All that come within `roundMs` of one another are of one day, so that each round has a day to merge. */
export class OlderHours {
  readonly #folder: string
  readonly #baseDir: string
  readonly #startMs: number
  readonly #roundMs: number
  #made = 0

  /** @param folder for what is being made, on the disk of the vault */
  constructor(folder: string, baseDir: string, startMs: number, roundMs: number) {
    this.#folder = folder
    this.#baseDir = baseDir
    this.#startMs = startMs
    this.#roundMs = roundMs
  }

  async bring(nowMs: number): Promise<void> {
    const count = this.#made++
    const daysBefore = 2 + Math.floor((nowMs - this.#startMs) / this.#roundMs)
    const hourMs = Math.floor(this.#startMs / dayMs - daysBefore) * dayMs + (count % 24) * 3_600_000
    const folder = await mkdtemp(join(this.#folder, 'older-'))
    try {
      const label = segmentLabel(new Date(hourMs).toISOString().slice(0, 13).replaceAll('-', ''), 1 + count)
      const path = await record(folder, hourMs + 60_000, count)
      await (await openLocalStore(this.#baseDir)).publishFile(path, readySegmentKey('coinbase', label))
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }
}

/** @returns the sealed segment's file */
async function record(folder: string, atMs: number, seed: number): Promise<string> {
  const clock = new ManualClock(atMs)
  const store = await openLocalStore(folder)
  const recorder = makeRecorderId(seededRandom(seed))
  const log = new SegmentLog(
    {
      clock,
      openWriter: writeHere({ store, disk: realDisk, clock }),
      onTrouble(error) {
        throw error
      },
    },
    {
      venue: 'coinbase',
      url: 'ws://older.test',
      software: 'mdv soak',
      recorder,
      segmentBytesMax: 1e9,
      segmentAgeMsMax: null,
      flushEveryMs: 200,
      flushBytes: 256 * 1024,
      fsync: true,
      queueBytesMax: 64e6,
    },
  )
  const connection = log.openConnection(connectionId(recorder, 1))
  for (let i = 0; i < frames; i++)
    log.appendFrame(connection, clock.nowNs() + BigInt(i) * 1_000_000n, frame(atMs + i, i), false, i)
  log.closeConnection(connection)
  await log.close()
  const [ready] = await listAll(store, 'raw/ready/', new AbortController().signal)
  return store.pathOf(ready!.key)
}

function frame(atMs: number, sequence: number): Buffer {
  const time = new Date(atMs).toISOString()
  const update = `{"side":"bid","event_time":"${time}","price_level":"${1 + sequence}.5","new_quantity":"2.25"}`
  const event = `{"type":"update","product_id":"P${sequence % products}-USD","updates":[${update}]}`
  return Buffer.from(
    `{"channel":"l2_data","client_id":"","timestamp":"${time}","sequence_num":${sequence},"events":[${event}]}`,
  )
}
