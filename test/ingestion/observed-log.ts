/** A recorder's log in a folder of its own that tells when what a test waits for has been appended. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { systemClock } from '../../src/cli/system-clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import type { LogEvent } from '../../src/segment/format.ts'
import { SegmentLog, type LogConnection, type SegmentLogOptions } from '../../src/segment/log.ts'
import { writeHere } from '../../src/segment/writer.ts'
import { realDisk, type Disk } from '../../src/storage/disk.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { readReadySegments, type RecordedSegment } from '../../test-full/segment-lines.ts'

const options: SegmentLogOptions = {
  venue: 'coinbase',
  url: 'ws://127.0.0.1',
  software: 'mdv test',
  recorder: 'abcdefghij',
  segmentBytesMax: 4_000_000,
  segmentAgeMsMax: null,
  flushEveryMs: 20,
  flushBytes: 65_536,
  fsync: false,
  queueBytesMax: 64 * 1024 * 1024,
}

export class ObservedLog extends SegmentLog {
  readonly events: LogEvent[] = []
  frames = 0
  readonly #waiting = new Set<() => void>()

  override appendFrame(
    connection: LogConnection,
    recvNs: bigint,
    frame: Buffer,
    isBinary: boolean,
    sequence: number,
  ): boolean {
    const isTaken = super.appendFrame(connection, recvNs, frame, isBinary, sequence)
    if (isTaken) this.frames++
    this.#look()
    return isTaken
  }

  override appendEvent(recvNs: bigint, connection: LogConnection | null, event: LogEvent): void {
    super.appendEvent(recvNs, connection, event)
    this.events.push(event)
    this.#look()
  }

  /** Resolves when it holds, looked at after each line appended. */
  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!holds()) return
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
      look()
    })
  }

  /** Bodies of the events of a kind, so far. */
  all(kind: string): Record<string, unknown>[] {
    return this.events.flatMap((event) => {
      const body = (event as unknown as Record<string, Record<string, unknown> | undefined>)[kind]
      return body === undefined ? [] : [body]
    })
  }

  #look(): void {
    for (const look of this.#waiting) look()
  }
}

export interface OpenedLog {
  readonly log: ObservedLog
  /** Closes the log and reads what it wrote, with another reader than its own. */
  readonly finish: () => Promise<RecordedSegment[]>
}

export async function openLog(
  t: TestContext,
  settings: Partial<SegmentLogOptions> & { readonly disk?: Disk; readonly clock?: Clock } = {},
): Promise<OpenedLog> {
  const folder = await mkdtemp(join(tmpdir(), 'mdv-ingestion-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const { disk = realDisk, clock = systemClock, ...rest } = settings
  const log = new ObservedLog(
    { clock, openWriter: writeHere({ store: await openLocalStore(folder), disk, clock }) },
    { ...options, ...rest },
  )
  const finish = async (): Promise<RecordedSegment[]> => {
    await log.close()
    return readReadySegments(folder)
  }
  return { log, finish }
}
