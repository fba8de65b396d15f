/** The demo into a real S3 server: the same counts as on disk, the bucket's tree, and Polars reading it by `s3://` paths. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { minioMissing, startMinio, type Minio } from '../test/storage/minio.ts'
import { MdvProcess, mdv } from './processes.ts'

const missing = minioMissing()
const minio: Minio | undefined = missing === undefined ? await startMinio() : undefined
const dir = await mkdtemp(join(tmpdir(), 'mdv-s3-demo-'))
after(async () => {
  await minio?.stop()
  await rm(dir, { recursive: true, force: true })
})

const python = process.env['MDV_TEST_PYTHON'] ?? 'python3'
const seconds = 15

test(
  'a demo into a bucket: sent, recorded, converted and missing agree, and Polars sees the rows',
  { skip: missing ?? false },
  async (t) => {
    process.env['AWS_ACCESS_KEY_ID'] = minio!.accessKeyId
    process.env['AWS_SECRET_ACCESS_KEY'] = minio!.secretAccessKey
    process.env['AWS_REGION'] = 'us-east-1'
    const bucket = ['--backend', 's3', '--s3-bucket', minio!.bucket, '--s3-endpoint-url', minio!.url]
    const folder = join(dir, 'demo')
    const demo = new MdvProcess([
      'demo',
      '--storage',
      's3',
      ...bucket,
      '--s3-force-path-style',
      '--seconds',
      String(seconds),
      '--rate',
      '10000',
      '--dir',
      folder,
    ])
    assert.equal(await demo.ended(), 0, demo.errors.slice(-10).join('\n'))
    const report = demo.lines.join('\n')
    t.diagnostic(demo.lines.join(' | '))
    assert.match(report, /✓ frames sent/)
    assert.match(report, /✓ lines written/)
    assert.doesNotMatch(report, /✗/)
    assert.match(report, /processed\/coinbase\/level2\/ +\d+ objects/)

    const config = ['--config', join(folder, 'config.yaml')]
    const verified = await mdv('verify', ...config)
    t.diagnostic(verified.lines.join(' '))
    const [counted] = (
      await mdv('query', ...config, '--output', 'csv', 'SELECT count(*) FROM level2')
    ).lines.slice(-1)
    assert.equal(await countByPolars(config), counted)
  },
)

/** Through the snippet that the vault prints for it. */
async function countByPolars(config: readonly string[]): Promise<string> {
  const code = (await mdv('query', ...config, '--snippet', 'polars')).lines.join('\n')
  const script = `${code}\nprint(scan("level2").select(pl.len()).collect().item())`
  const { stdout } = await promisify(execFile)(python, ['-c', script])
  return stdout.trimEnd().split('\n').at(-1)!
}
