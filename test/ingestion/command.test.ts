/** `mdv ingest` as a process: what its parent sees through the pipe, and its exit codes. */

import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { MdvProcess } from '../../test-full/processes.ts'
import { readReadySegments } from '../../test-full/segment-lines.ts'
import { withSimulator } from '../simulator/client.ts'

const patience = { timeout: 60_000 }

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mdv-ingest-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

test(
  'a second recorder is refused; the first, told to stop twice at once, stops in order and has what it said was durable',
  patience,
  async (t) => {
    const base = await folder(t)
    await withSimulator({}, async (simulator) => {
      const args = ['ingest', '--base-dir', base, '--product-ids', 'all', '--ws-url', simulator.wsUrl]
      args.push('--rest-url', simulator.restUrl)
      const first = new MdvProcess([...args, '--watermark'])
      try {
        await first.line(/^durable_n=\d{3,}$/)
        const second = new MdvProcess(args)
        assert.equal(await second.ended(), 8)
        assert.match(
          second.errors.join('\n'),
          new RegExp(`recorded into by mdv ingest, pid ${first.child.pid} on `),
        )
      } finally {
        // As a terminal and npx do, or `timeout` and its process group.
        first.child.kill('SIGTERM')
        assert.equal(await first.end('SIGINT'), 0, first.errors.join('\n'))
      }
      const said = first.lines.map((line) => Number(/^durable_n=(\d+)$/.exec(line)![1]))
      assert.deepEqual(
        said,
        [...said].sort((a, b) => a - b),
      )
      const segments = readReadySegments(base)
      assert.ok(segments.every((one) => one.sealed))
      const counters = segments.flatMap((one) => [...one.frames, ...one.events].map((line) => line.n))
      assert.ok(Math.max(...counters) >= Math.max(...said))
      assert.equal(new Set(counters).size, Math.max(...counters), 'counters have no holes')
    })
  },
)

const mistakes: readonly (readonly [what: string, args: readonly string[], code: number, words: RegExp])[] = [
  [
    'an unknown channel',
    ['--channels', 'level2,tickr'],
    2,
    /unknown channel "tickr" \(did you mean "ticker"\?\)/,
  ],
  ['an unknown product', ['--product-ids', 'BTC-UDS'], 3, /no "BTC-UDS" \(did you mean "BTC-USD"\?\)/],
  ['a product that is none', ['--product-ids', '../x'], 2, /"\.\.\/x" is not a product id/],
]

for (const [what, flags, code, words] of mistakes) {
  test(`${what} ends with ${code} and its words`, patience, async (t) => {
    const base = await folder(t)
    await withSimulator({}, async (simulator) => {
      const urls = ['--ws-url', simulator.wsUrl, '--rest-url', simulator.restUrl]
      const run = new MdvProcess(['ingest', '--base-dir', base, ...urls, ...flags])
      assert.equal(await run.ended(), code, run.errors.join('\n'))
      assert.match(run.errors.join('\n'), words)
    })
  })
}

test(
  'a key that others can read is refused before anything is sent',
  { ...patience, skip: process.platform === 'win32' },
  async (t) => {
    const base = await folder(t)
    const path = join(base, 'key.pem')
    await writeFile(path, 'canary-secret')
    const args = [
      'ingest',
      '--base-dir',
      base,
      '--api-key',
      'organizations/a/apiKeys/b',
      '--api-secret-file',
      path,
    ]
    await chmod(path, 0o644)
    const open = new MdvProcess(args)
    assert.equal(await open.ended(), 3)
    assert.match(open.errors.join('\n'), /can be read by others \(mode 644\)[^]*chmod 600/)
    await chmod(path, 0o600)
    const wrong = new MdvProcess(args)
    assert.equal(await wrong.ended(), 3)
    assert.match(wrong.errors.join('\n'), /not a private key in PEM/)
    for (const run of [open, wrong])
      assert.ok(![...run.lines, ...run.errors].some((line) => line.includes('canary')))
  },
)
