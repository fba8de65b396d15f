/** A bucket of someone else's making, synced to this machine: whatever its keys are, nothing leaves the folder, and what is right comes. */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openLocalStore } from '../../src/storage/local.ts'
import { readySegmentKey, segmentLabel } from '../../src/storage/keys.ts'
import { openOn, startServer } from '../storage/s3/bucket.ts'
import { sync, venue } from './paper-vault.ts'

const ready = `raw/ready/${venue}/`
const good = [1, 2].map((n) => readySegmentKey(venue, segmentLabel('20251203T14', n)))

const hostile = [
  `${ready}../../../../escaped`,
  `${ready}..`,
  `${ready}.`,
  `${ready}/etc/passwd`,
  `${ready}a//b`,
  `${ready}..\\..\\escaped`,
  `${ready}nul\u0000.ndjson`,
  `${ready}line\nbreak`,
  `${ready}${'long'.repeat(225)}`,
]

/** In a bucket both of a pair may be; on disk one is in the other's way, whichever comes first. */
const eitherOr = [`${ready}both`, `${ready}both/below`]

/** Odd, and yet names of files like any other. */
const odd = [
  `raw/ready/${'d/'.repeat(480)}x`,
  `${ready}%2e%2e%2fescaped`,
  `${ready}\u2024\u2024/dots`,
  `${ready}\uff0e\uff0e/full-width`,
  `${ready}\u2025/two-dot-leader`,
  `${ready}~`,
  `${ready}-rf`,
  `${ready}$(touch escaped)`,
]

test('keys made to escape are told of one by one, and all others are copied, into the folder', async (t) => {
  const above = await mkdtemp(join(tmpdir(), 'mdv-hostile-'))
  t.after(() => rm(above, { recursive: true, force: true }))
  const base = join(above, 'one', 'two', 'vault')
  const server = await startServer(t)
  const source = await openOn(t, server, 'single-writer')
  const { objects } = server.buckets.get('vault')!
  await source.putIfAbsent(good[0]!, Buffer.from('good'))
  const [stored] = objects.names().map((name) => objects.get(name)!)
  for (const key of [...good, ...odd, ...hostile, ...eitherOr]) objects.set(`some/where/${key}`, stored!)

  const target = await openLocalStore(base)
  const { tally, events } = await sync({ source, target })

  const files = (await readdir(above, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  assert.ok(files.every((path) => path.startsWith(`${base}/`)))
  const keys = files.map((path) => path.slice(base.length + 1))
  for (const key of [...good, ...odd]) assert.ok(keys.includes(key), key)
  assert.equal(eitherOr.filter((key) => keys.includes(key)).length, 1)
  assert.equal(files.length, good.length + odd.length + 1)
  assert.deepEqual([tally.copied, tally.failed], [good.length + odd.length + 1, hostile.length + 1])
  for (const event of events) assert.ok(!('detail' in event) || event.detail !== '')
})

test('a folder of the copy that is a link elsewhere takes nothing', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'mdv-hostile-'))
  const outside = await mkdtemp(join(tmpdir(), 'mdv-hostile-'))
  t.after(() => Promise.all([base, outside].map((path) => rm(path, { recursive: true, force: true }))))
  const source = await openOn(t, await startServer(t), 'single-writer')
  await source.putIfAbsent(good[0]!, Buffer.from('good'))
  await mkdir(join(base, 'raw'))
  await symlink(outside, join(base, 'raw', 'ready'))
  await assert.rejects(sync({ source, target: await openLocalStore(base) }), { kind: 'preflight' })
  assert.deepEqual(await readdir(outside), [])
})
