/** The recorder's writer on its threads: what goes in comes out as lines, and a disk that refuses does not hold up its end. */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { systemClock } from '../../src/cli/system-clock.ts'
import { writeInThread } from '../../src/cli/writer-thread.ts'
import { SegmentLog } from '../../src/segment/log.ts'
import { SegmentScanner } from '../../src/segment/scan.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { listAll } from '../../src/storage/object-store.ts'
import { smallOptions } from '../segment/recorded.ts'

/** What waits for ever has failed. */
const patience = { timeout: 30_000 }
const never = new AbortController().signal

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mdv-threads-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

function logIn(folder: string, onTrouble: () => void = assert.fail): SegmentLog {
  return new SegmentLog(
    { clock: systemClock, openWriter: writeInThread(folder, null), onTrouble },
    { ...smallOptions, segmentBytesMax: 1_000_000_000, queueBytesMax: 200_000_000, flushBytes: 50_000 },
  )
}

/** Plain, of several lines, binary, and no object: the last three take lines in memory of their own. */
const frameAt = (i: number): { readonly bytes: Buffer; readonly isBinary: boolean } => ({
  bytes: Buffer.from(
    [`{"i":${i}}`, `{"i":\n${i}}`, `no object ${i}`, `{"p":"${'x'.repeat(i)}"}`][(i >> 6) % 4]!,
  ),
  isBinary: i % 50 === 7,
})

test('frames of every kind come out of the threads in order, each once', patience, async (t) => {
  const folder = await folderOf(t)
  const log = logIn(folder)
  const connection = log.openConnection('a-1')
  for (let i = 0; i < 3_000; i++) {
    const { bytes, isBinary } = frameAt(i)
    assert.ok(log.appendFrame(connection, BigInt(i), bytes, isBinary, i))
    if (i % 1_000 === 500) await log.flush()
  }
  await log.close()
  assert.equal(log.durableN, 3_000)
  const store = await openLocalStore(folder)
  const frames: string[] = []
  for (const { key, sizeBytes } of await listAll(store, 'raw/ready/', never)) {
    const scanner = new SegmentScanner({
      line: ({ bytes, form, kind, valueFrom, valueUntil }) => {
        assert.equal(kind, 'frame')
        const value = bytes.toString('utf8', valueFrom, valueUntil)
        if (form === 'msg') frames.push(value)
        else
          frames.push(
            Buffer.from(JSON.parse(value) as string, form === 'text' ? 'utf8' : 'base64').toString(),
          )
      },
    })
    for await (const chunk of store.read(key, 0, sizeBytes, never)) scanner.push(chunk)
    assert.equal(scanner.end().sealProblem, null)
  }
  assert.deepEqual(
    frames,
    Array.from({ length: 3_000 }, (_, i) => frameAt(i).bytes.toString()),
  )
})

test(
  'a disk that refuses to the end is given up, with what the encoder has not come to',
  patience,
  async (t) => {
    const folder = await folderOf(t)
    await mkdir(join(folder, 'raw'))
    await writeFile(join(folder, 'raw', 'active'), 'a file where a folder should be')
    let troubles = 0
    const log = logIn(folder, () => troubles++)
    const connection = log.openConnection('a-1')
    const large = Buffer.from(`{"p":\n"${'x'.repeat(1_000_000)}"}`)
    for (let i = 0; i < 100; i++) assert.ok(log.appendFrame(connection, BigInt(i), large, false, i))
    await assert.rejects(log.close(300), { kind: 'unavailable', message: /did not take the last 100 lines/ })
    assert.ok(troubles > 0)
  },
)
