/** Large transfers take their buffers and no more. The server is a process of its own, so that only the client is measured. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openS3Store } from '../src/storage/s3/open.ts'
import { settingsFor, testDeps } from '../test/storage/s3/bucket.ts'

const never = new AbortController().signal
const sizeBytes = 160_000_000
const boundBytes = 150_000_000

async function startProcess(t: TestContext, args: readonly string[]): Promise<{ readonly url: string }> {
  const main = fileURLToPath(new URL('../test/storage/s3-server/main.js', import.meta.url))
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  return { url: line.split(' ')[1]! }
}

/** Resident memory is sampled between the turns of the loop, where buffers are alive. */
async function peakAboveIdle(work: () => Promise<void>): Promise<number> {
  const idleBytes = process.memoryUsage.rss()
  let peakBytes = 0
  const watch = setInterval(() => {
    peakBytes = Math.max(peakBytes, process.memoryUsage.rss() - idleBytes)
  }, 2)
  await work()
  clearInterval(watch)
  return peakBytes
}

test('160 MB up and down stay below 150 MB above idle', async (t) => {
  const server = await startProcess(t, ['--bucket', 'vault'])
  const store = await openS3Store(await settingsFor(t, server), 'read', testDeps)
  t.after(() => store.close())
  const scratch = await store.scratch('test')
  const [path, copy] = [join(scratch, 'large'), join(scratch, 'copy')]
  for (let i = 0; i < 10; i++) await writeFile(path, randomBytes(sizeBytes / 10), { flag: 'a' })
  const peakBytes = await peakAboveIdle(async () => {
    await store.uploadLarge(path, 'large', never)
    const downloaded = await store.download('large', copy, never)
    assert.deepEqual([downloaded.sizeBytes, downloaded.wasVerified], [sizeBytes, true])
    let read = 0
    for await (const chunk of store.read('large', 0, sizeBytes, never)) read += chunk.length
    assert.equal(read, sizeBytes)
  })
  t.diagnostic(`peak ${Math.round(peakBytes / 1e6)} MB above idle`)
  assert.ok(peakBytes < boundBytes, `${peakBytes} bytes above idle`)
  assert.equal((await stat(copy)).size, sizeBytes)
})
