/** A spool, a bucket and one recorder's segment between them, for tests of the owner and of those who rescue it. */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { RescueDeps } from '../../src/segment/rescue.ts'
import { listSealed, shipGrowing, shipSealed, type ShipDeps } from '../../src/segment/ship.ts'
import { realDisk } from '../../src/storage/disk.ts'
import { activeSegmentKey, bindingKey, chunkFolder, readySegmentKey } from '../../src/storage/keys.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { listAll, type LocalObjectStore, type ObjectStore } from '../../src/storage/object-store.ts'
import { ManualClock } from './manual-clock.ts'

export const never = new AbortController().signal
export const venue = 'coinbase'
export const recorder = 'abcdefghij'
export const label = 'segment_20251203T14_00001'
export const folder = chunkFolder(venue, label, recorder, 1)
const sequenceOf = (frame: Buffer): number => Number(/"sequence_num":(\d+)/.exec(frame.toString())?.[1] ?? -1)

export const header = `${JSON.stringify({
  segment: {
    format: 1,
    venue,
    url: 'wss://example.test',
    software: 'mdv test',
    recorder,
    n: 1,
    prev: null,
    opened_ns: '1764770400000000000',
  },
})}\n`

export function line(n: number): string {
  const frame = `{"channel":"ticker","sequence_num":${n},"pad":"${'x'.repeat(n % 41)}"}`
  const head = `{"n":${n},"recv_ns":"${1_764_770_400_000_000_000n + BigInt(n)}","conn":"${recorder}-1","len":${frame.length},"msg":${frame}`
  return `${head},"crc":"${crc32(head).toString(16).padStart(8, '0')}"}\n`
}

/** The growing file after `lines` lines. */
export function grown(lines: number): string {
  return header + Array.from({ length: lines }, (_, i) => line(i + 1)).join('')
}

export function sealed(lines: number): string {
  const body = grown(lines)
  const seal = {
    lines,
    bytes: body.length,
    sha256: createHash('sha256').update(body).digest('hex'),
    first_n: 1,
    last_n: lines,
    first_recv_ns: String(1_764_770_400_000_000_001n),
    last_recv_ns: String(1_764_770_400_000_000_000n + BigInt(lines)),
    connections: [{ conn: `${recorder}-1`, frames: lines, first_seq: 1, last_seq: lines, gaps: [] }],
  }
  return `${body}${JSON.stringify({ seal })}\n`
}

/** A spool and a bucket, and what was in segments that have been converted and removed meanwhile. */
export class World {
  readonly spool: LocalObjectStore
  readonly bucket: ObjectStore
  readonly converted: string[] = []
  durable = 0

  private constructor(spool: LocalObjectStore, bucket: ObjectStore) {
    this.spool = spool
    this.bucket = bucket
  }

  /** @param bucket left out: a folder stands for it */
  static async make(t: { after(undo: () => Promise<void>): void }, bucket?: ObjectStore): Promise<World> {
    const base = await mkdtemp(join(tmpdir(), 'mdv-ship-'))
    t.after(() => rm(base, { recursive: true, force: true }))
    const spool = await openLocalStore(join(base, 'spool'))
    return new World(spool, bucket ?? (await openLocalStore(join(base, 'bucket'))))
  }

  owner(bucket: ObjectStore = this.bucket): ShipDeps {
    return { spool: this.spool, bucket, disk: realDisk, venue, sequenceOf }
  }

  rescuer(bucket: ObjectStore = this.bucket, by = 'rescuer'): RescueDeps {
    return { store: bucket, disk: realDisk, clock: new ManualClock(), by, software: 'mdv test', sequenceOf }
  }

  async grow(lines: number): Promise<void> {
    this.durable = lines
    await this.#write(activeSegmentKey(venue, label), grown(lines))
  }

  /** Another growing file of the same recorder. */
  async growOther(otherLabel: string, firstN: number): Promise<void> {
    await this.#write(activeSegmentKey(venue, otherLabel), header.replace('"n":1,', `"n":${firstN},`))
  }

  async flush(bucket?: ObjectStore) {
    const durableBytes = grown(this.durable).length
    return shipGrowing(this.owner(bucket), { label, firstN: 1, durableBytes }, null, never)
  }

  /** @param as another where a segment with its label still waits in the spool, as recovery does */
  async seal(as = label): Promise<void> {
    await this.#write(readySegmentKey(venue, as), sealed(this.durable))
    await this.spool.delete(activeSegmentKey(venue, label))
  }

  async ship(bucket?: ObjectStore): Promise<void> {
    for (const object of await listSealed(this.owner(), never))
      await shipSealed(this.owner(bucket), object, never)
  }

  /** As conversion does: bound, committed, removed. */
  async convert(bucket: ObjectStore = this.bucket): Promise<void> {
    for (const { key } of await listAll(bucket, 'raw/ready/', never)) {
      const text = (await bucket.get(key))?.toString()
      // A removal of before took effect late.
      if (text === undefined) continue
      const { segment } = JSON.parse(text.slice(0, text.indexOf('\n'))) as {
        segment: { recorder: string; n: number }
      }
      await bucket.putIfAbsent(bindingKey(venue, segment.recorder, segment.n, 1), Buffer.from('{}'))
      this.converted.push(text)
      await bucket.delete(key)
    }
  }

  /** The segments by identity; a second one with the same identity has to be the same, byte for byte. */
  async segments(): Promise<Map<string, string>> {
    await this.convert()
    const byIdentity = new Map<string, string>()
    for (const text of this.converted) {
      const { segment } = JSON.parse(text.slice(0, text.indexOf('\n'))) as {
        segment: { recorder: string; n: number }
      }
      const identity = `${segment.recorder} ${segment.n}`
      const before = byIdentity.get(identity)
      assert.ok(before === undefined || before === text, `two different segments ${identity}`)
      byIdentity.set(identity, text)
    }
    return byIdentity
  }

  /** What stands in raw/ready of the bucket is sealed, and of the owner's lines as they were. */
  async assertReadyWhole(): Promise<void> {
    for (const { key } of await listAll(this.bucket, 'raw/ready/', never)) {
      const own = (await this.bucket.get(key))!.toString().split('\n')
      assert.match(own.at(-2)!, /^\{"seal":/, key)
      assert.equal(own.at(-1), '', key)
      if (!own[0]!.includes(`"recorder":"${recorder}"`)) continue
      for (const text of own.slice(1, -2))
        assert.equal(`${text}\n`, line(Number(/^\{"n":(\d+)/.exec(text)![1])), key)
    }
  }

  /** Every durable line of the owner's, once, as it was. */
  async assertWhole(words: string): Promise<void> {
    const lines: string[] = []
    for (const [identity, text] of await this.segments())
      if (identity.startsWith(recorder)) {
        const own = text.trimEnd().split('\n')
        assert.match(own.at(-1)!, /^\{"seal":/, `${words}: ${identity} is sealed`)
        lines.push(...own.slice(1, -1))
      }
    const counters = lines.map((text) => Number(/^\{"n":(\d+)/.exec(text)![1])).sort((a, b) => a - b)
    assert.deepEqual(
      counters,
      Array.from({ length: this.durable }, (_, i) => i + 1),
      words,
    )
    for (const text of lines) assert.equal(`${text}\n`, line(Number(/^\{"n":(\d+)/.exec(text)![1])))
  }

  async #write(key: string, text: string): Promise<void> {
    const path = this.spool.pathOf(key)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  }
}
