/** `mdv run` against a simulated exchange: its recorder is killed, comes back, and everything is accounted for after one Ctrl-C. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Exchange } from './exchange.ts'
import { mdv, MdvProcess } from './processes.ts'

const isRecording = /"durableN":[1-9]/

async function recorderPid(vault: string): Promise<number> {
  const { lines } = await mdv('status', '--json', '--no-gaps', '--base-dir', vault)
  const status = JSON.parse(lines.join('')) as { recorder: { pid: number } }
  return status.recorder.pid
}

test('a killed recorder is started again, its segment recovered, and the orderly end converts all', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mdv-run-'))
  const vault = join(folder, 'vault')
  const exchange = await Exchange.start('--products', '4', '--rate', '1000', '--book-depth', '50')
  const run = new MdvProcess([
    'run',
    '--json',
    ...exchange.flags,
    '--base-dir',
    vault,
    '--segment-max-seconds',
    '2',
  ])
  try {
    await run.line(isRecording)
    process.kill(await recorderPid(vault), 'SIGKILL')
    await run.errorLine(/^run +\| ingest ended \(SIGKILL\); again in/)
    await run.next(isRecording)
    assert.equal(await run.end('SIGINT'), 0, run.errors.slice(-10).join('\n'))
    assert.ok(run.lines.every((line) => 'process' in (JSON.parse(line) as object)))
    await mdv('verify', '--base-dir', vault)
    const causes = await mdv(
      'query',
      '--base-dir',
      vault,
      '--output',
      'csv',
      'SELECT DISTINCT cause FROM gaps ORDER BY 1',
    )
    assert.deepEqual(causes.lines, ['cause', 'recorder_died', 'stopped'])
    const status = JSON.parse((await mdv('status', '--json', '--base-dir', vault)).lines.join('')) as {
      backlog: { segments: number }
    }
    assert.equal(status.backlog.segments, 0)
  } finally {
    run.child.kill('SIGKILL')
    await exchange.stop()
    await rm(folder, { recursive: true, force: true })
  }
})
