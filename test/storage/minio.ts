/** A real MinIO for tests: the binary that MDV_TEST_MINIO names, on a free port, with a folder of its own that goes at the end. */

import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadSdk } from '../../src/storage/s3/sdk.ts'

export interface Minio {
  readonly url: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Is there. */
  readonly bucket: string
  readonly stop: () => Promise<void>
}

const accessKeyId = 'mdvtest'

const startWithinMs = 30_000

/**
 * @returns why it cannot run here, for a test's `skip`; undefined: it can
 * @throws in CI, where it has to run
 */
export function minioMissing(): string | undefined {
  if (binaryPath() !== '') return undefined
  const why = 'MDV_TEST_MINIO is not set: the path of a minio binary'
  if (process.env['CI'] !== undefined) throw new Error(why)
  return why
}

function binaryPath(): string {
  return process.env['MDV_TEST_MINIO'] ?? ''
}

export async function startMinio(): Promise<Minio> {
  const dataDir = await mkdtemp(join(tmpdir(), 'mdv-minio-'))
  const port = await freePort()
  const secretAccessKey = randomUUID()
  const child = spawn(binaryPath(), ['server', '--quiet', '--address', `127.0.0.1:${port}`, dataDir], {
    stdio: 'ignore',
    env: {
      ...process.env,
      MINIO_ROOT_USER: accessKeyId,
      MINIO_ROOT_PASSWORD: secretAccessKey,
      MINIO_BROWSER: 'off',
    },
  })
  const ended = once(child, 'exit')
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
    await rm(dataDir, { recursive: true, force: true })
  }
  const minio = { url: `http://127.0.0.1:${port}`, accessKeyId, secretAccessKey, bucket: 'vault', stop }
  const early = ended.then(() => Promise.reject(new Error('minio ended at its start')))
  await Promise.race([untilUp(minio), early])
  early.catch(() => undefined)
  return minio
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** It is up when a bucket can be made. */
async function untilUp(minio: Minio): Promise<void> {
  const sdk = loadSdk()
  const client = new sdk.S3Client({
    region: 'us-east-1',
    endpoint: minio.url,
    forcePathStyle: true,
    credentials: minio,
    maxAttempts: 1,
  })
  const deadlineMs = Date.now() + startWithinMs
  for (;;) {
    try {
      await client.send(new sdk.CreateBucketCommand({ Bucket: minio.bucket }))
      client.destroy()
      return
    } catch (error) {
      if (Date.now() > deadlineMs) throw error
      await sleep(100)
    }
  }
}
