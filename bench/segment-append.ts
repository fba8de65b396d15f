/** What one frame costs the recorder's event loop, beside the CRC that it cannot do without; and how fast a segment is scanned. */

import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import { systemClock } from '../src/cli/system-clock.ts'
import { writeInThread } from '../src/cli/writer-thread.ts'
import { SegmentLog } from '../src/segment/log.ts'
import { SegmentScanner } from '../src/segment/scan.ts'
import { openLocalStore } from '../src/storage/local.ts'
import { listAll } from '../src/storage/object-store.ts'

const frames = 200_000
const frame = Buffer.from(`{"channel":"ticker","sequence_num":1,"pad":"${'a'.repeat(584)}"}`)
const recorder = 'abcdefghij'
const never = new AbortController().signal

/** Nanoseconds a 740-byte CRC takes here and now. */
function crcNs(): number {
  const line = Buffer.alloc(740, 0x61)
  const start = systemClock.monotonicNs()
  for (let i = 0; i < frames; i++) crc32(line)
  return Number(systemClock.monotonicNs() - start) / frames
}

const base = await mkdtemp(join(tmpdir(), 'mdv-bench-'))
try {
  const store = await openLocalStore(base)
  const log = new SegmentLog(
    { clock: systemClock, openWriter: writeInThread(base, null) },
    {
      venue: 'coinbase',
      url: '',
      software: 'bench',
      recorder,
      segmentBytesMax: 1_000_000_000,
      segmentAgeMsMax: null,
      flushEveryMs: 200,
      flushBytes: 1024 * 1024,
      fsync: true,
      queueBytesMax: 512 * 1024 * 1024,
    },
  )
  const connection = log.openConnection(`${recorder}-1`)
  let spentNs = 0n
  let crc = 0
  for (let i = 0; i < frames;) {
    const start = systemClock.monotonicNs()
    for (let k = 0; k < 1000; k++, i++)
      log.appendFrame(connection, 1_764_770_400_015_964_031n + BigInt(i), frame, false, i)
    spentNs += systemClock.monotonicNs() - start
    await nextTurn()
    if (i === frames / 2) crc = crcNs()
  }
  await log.close()
  const appendNs = Number(spentNs) / frames
  console.log(
    `append ${appendNs.toFixed(0)} ns a frame of ${frame.length} bytes, its CRC alone ${crc.toFixed(0)} ns (${(appendNs / crc).toFixed(1)}x)`,
  )

  for (const { key } of await listAll(store, 'raw/ready/', never)) {
    const { size } = await stat(store.pathOf(key))
    const scanner = new SegmentScanner({})
    const start = systemClock.monotonicNs()
    for await (const chunk of store.read(key, 0, size, never)) scanner.push(chunk)
    const result = scanner.end()
    const seconds = Number(systemClock.monotonicNs() - start) / 1e9
    console.log(
      `scan ${(size / 1e6 / seconds).toFixed(0)} MB/s over ${result.lines} lines, ${result.badLines} bad`,
    )
  }
} finally {
  await rm(base, { recursive: true, force: true })
}
