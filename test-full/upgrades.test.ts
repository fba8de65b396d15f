/**
 * One version after another, and one beside another: what an earlier mdv left is taken over, what a later one left is refused with what to do,
 * and left alone, while everything else goes on.
 */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { compareWithAccount } from './compare.ts'
import { Exchange } from './exchange.ts'
import { MdvProcess } from './processes.ts'
import { readReadySegments } from './segment-lines.ts'

let folder = ''
let exchange: Exchange

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mdv-upgrade-'))
  exchange = await Exchange.start('--products', '3', '--rate', '1000', '--book-depth', '50')
})
after(async () => {
  await exchange.stop()
  await rm(folder, { recursive: true, force: true })
})

interface Ran {
  readonly code: number | null
  /** Everything it said. */
  readonly words: string
}

async function run(vault: string, ...args: string[]): Promise<Ran> {
  const process = new MdvProcess([...args, '--base-dir', vault])
  const code = await process.ended()
  return { code, words: [...process.lines, ...process.errors].join('\n') }
}

const ready = (vault: string): string => join(vault, 'raw', 'ready', 'coinbase')
const active = (vault: string): string => join(vault, 'raw', 'active', 'coinbase')
const receipts = (vault: string): string => join(vault, 'processed', 'coinbase', '_receipts')

/** Three sealed segments and a growing one, whose recorder was killed. */
async function recorded(name: string): Promise<string> {
  const vault = join(folder, name)
  const recorder = new MdvProcess([
    'ingest',
    '--base-dir',
    vault,
    ...exchange.flags,
    '--watermark',
    '--segment-max-seconds',
    '1',
  ])
  await recorder.line(/^durable_n=/)
  for (;;) {
    const names = await readdir(ready(vault)).catch(() => [])
    if (names.length >= 3 && (await growing(vault)).length > 0) break
    await recorder.next(/^durable_n=/)
  }
  await recorder.end('SIGKILL')
  return vault
}

async function growing(vault: string): Promise<string[]> {
  const names = await readdir(active(vault))
  return names.filter((name) => name.startsWith('segment_')).map((name) => join(active(vault), name))
}

async function edit(path: string, from: string | RegExp, to: string): Promise<Buffer> {
  const text = await readFile(path, 'latin1')
  const edited = text.replace(from, to)
  assert.notEqual(edited, text, `${path} has ${String(from)}`)
  await writeFile(path, edited, 'latin1')
  return Buffer.from(edited, 'latin1')
}

test('a recorder killed in the middle of a segment is followed by the next version: every durable line is there once', async () => {
  const vault = await recorded('followed')
  for (const path of await growing(vault)) await edit(path, /"software":"[^"]*"/, '"software":"mdv 0.0.9"')
  const next = new MdvProcess(['ingest', '--base-dir', vault, ...exchange.flags, '--watermark'])
  await next.line(/^durable_n=/)
  await exchange.pause()
  assert.equal(await next.end('SIGINT'), 0)
  const comparison = compareWithAccount(readReadySegments(vault), await exchange.sent())
  assert.deepEqual(comparison.differences, [])
  assert.ok(comparison.recorded > 0)
  const converted = await run(vault, 'etl', '--once')
  assert.equal(converted.code, 0, converted.words)
  const verified = await run(vault, 'verify')
  assert.equal(verified.code, 0, verified.words)
  await exchange.stop()
  exchange = await Exchange.start('--products', '3', '--rate', '1000', '--book-depth', '50')
})

test('a segment of a newer format is left as it is, and the others are converted', async () => {
  const vault = await recorded('newer-segment')
  const [first] = (await readdir(ready(vault))).sort()
  const path = join(ready(vault), first!)
  const bytes = await edit(path, '"format":1', '"format":2')
  const { code, words } = await run(vault, 'etl', '--once')
  assert.equal(code, 7)
  assert.match(words, /is of format 2, written by a newer version; left alone · use the newest mdv/)
  assert.match(words, /[2-9] segments converted/)
  assert.deepEqual(await readFile(path), bytes)
  const verified = await run(vault, 'verify')
  assert.equal(verified.code, 6)
  assert.equal(verified.words.match(/^error/gm)?.length, 1, verified.words)
  assert.match(verified.words, /segment_newer .* use the newest mdv on this vault/)
})

test('a segment that a newer version was growing holds up neither recording nor recovery, and stays', async () => {
  const vault = await recorded('newer-growing')
  const [path] = await growing(vault)
  const bytes = await edit(path!, '"format":1', '"format":2')
  const recovery = await run(vault, 'segments', 'recover')
  assert.equal(recovery.code, 7, recovery.words)
  assert.match(
    recovery.words,
    /written by a newer version of mdv and left as it is: let that version recover it/,
  )
  const next = new MdvProcess(['ingest', '--base-dir', vault, ...exchange.flags, '--watermark'])
  await next.line(/^durable_n=[1-9]/)
  assert.equal(await next.end('SIGINT'), 0)
  assert.match(next.errors.join('\n'), /recording goes on beside it/)
  assert.deepEqual(await readFile(path!), bytes)
})

for (const [what, of] of [
  ['receipt', receipts],
  ['binding', (vault: string) => join(vault, 'processed', 'coinbase', '_jobs')],
] as const)
  test(`a ${what} of a newer format stops conversion with what to do, and nothing is converted twice`, async () => {
    const vault = await recorded(`newer-${what}`)
    assert.equal((await run(vault, 'etl', '--once', '--no-delete-after-processing')).code, 0)
    const names = (await readdir(of(vault), { recursive: true })).filter((name) => name.endsWith('.json'))
    const path = join(of(vault), names.sort()[0]!)
    const original = await readFile(path, 'latin1')
    await edit(path, /"format": ?1/, '"format":2')
    const before = await everyKey(vault)
    const etl = await run(vault, 'etl', '--once')
    assert.notEqual(etl.code, 0, etl.words)
    assert.match(etl.words, /format 2, written by a newer version/)
    assert.match(etl.words, /newest mdv|upgrade/)
    assert.doesNotMatch(etl.words, /^\s+at /m)
    if (what === 'receipt') {
      const query = await run(vault, 'query', 'SELECT count(*) FROM level2')
      assert.notEqual(query.code, 0)
      assert.match(query.words, /format 2, written by a newer version/)
    }
    assert.deepEqual(
      (await everyKey(vault)).filter((key) => key.startsWith('processed')),
      before.filter((key) => key.startsWith('processed')),
    )
    await writeFile(path, original, 'latin1')
    const again = await run(vault, 'etl', '--once')
    assert.equal(again.code, 0, again.words)
    assert.equal((await run(vault, 'segments', 'recover')).code, 0)
    assert.equal((await run(vault, 'etl', '--once')).code, 0)
    const verified = await run(vault, 'verify')
    assert.equal(verified.code, 0, verified.words)
  })

test('a claim with words of a newer version is respected until it expires, then taken over', async () => {
  const vault = await recorded('newer-claim')
  const [first] = (await readdir(ready(vault))).sort()
  const { segment } = JSON.parse((await readFile(join(ready(vault), first!), 'latin1')).split('\n')[0]!) as {
    segment: { recorder: string; n: number }
  }
  const job = `${first!.replace('.ndjson', '')}_${segment.recorder}_${segment.n}`
  const claims = join(vault, 'raw', 'processing', 'coinbase')
  await mkdir(claims, { recursive: true })
  const lease = {
    host: 'elsewhere',
    boot: 'x',
    pid: 1,
    startedMs: 1,
    token: 't',
    purpose: 'mdv 9',
    later: {},
  }
  const claim = { format: 9, lease, later: [1] }
  await writeFile(join(claims, `${job}.1.claim.json`), JSON.stringify(claim))
  const { code, words } = await run(vault, 'etl', '--once')
  assert.equal(code, 0, words)
  const verified = await run(vault, 'verify')
  assert.equal(verified.code, 0, verified.words)
  assert.deepEqual(await readdir(ready(vault)), [])
})

async function everyKey(vault: string): Promise<string[]> {
  const names = await readdir(vault, { recursive: true, withFileTypes: true })
  return names
    .filter((name) => name.isFile())
    .map((name) => join(name.parentPath, name.name).slice(vault.length + 1))
    .sort()
}
