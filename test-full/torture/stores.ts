/** Where a tortured vault lies: a folder, or a bucket behind a proxy that fails; and what of it is left at the end. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadSdk } from '../../src/storage/s3/sdk.ts'
import { startMinio } from '../../test/storage/minio.ts'
import { S3Server, testAccount } from '../../test/storage/s3-server/server.ts'
import { mdv } from '../processes.ts'
import { FaultProxy } from './fault-proxy.ts'
import type { StoreName } from './plan.ts'

export interface TortureStore {
  /** For every program. */
  readonly env: Readonly<Record<string, string>>
  /** null: a folder. */
  readonly proxy: FaultProxy | null
  /** A folder with all of the vault, moved there where it lies in a bucket. */
  gather(): Promise<string>
  /** Keys under raw/ that neither hold rejects nor archived segments, and uploads that were not finished. A rescuer's fence stays. */
  leftovers(): Promise<string[]>
  stop(): Promise<void>
}

/** @param folder for the vault, or for spool and cache */
export async function openTortureStore(name: StoreName, folder: string, seed: number): Promise<TortureStore> {
  return name === 'local' ? folderStore(join(folder, 'vault')) : bucketStore(name, folder, seed)
}

const isLeft = (key: string): boolean => /^raw\/(ready|active|processing)\//.test(key)

function folderStore(baseDir: string): TortureStore {
  return {
    env: { MDV_STORAGE_BASE_DIR: baseDir },
    proxy: null,
    gather: async () => baseDir,
    leftovers: async () => filesUnder(baseDir).filter((name) => isLeft(name) && !isReleased(baseDir, name)),
    stop: async () => undefined,
  }
}

/** A lease that was let go keeps its number, and is no holder's. */
function isReleased(baseDir: string, name: string): boolean {
  return name.endsWith('.lease.json') && readFileSync(join(baseDir, name), 'utf8') === '{"lease":null}'
}

/** Files by their path from the folder, with `/`. */
export function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll('\\', '/'),
    )
}

const prefix = 'torture'

interface Server {
  readonly url: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly stop: () => Promise<void>
}

async function startFake(seed: number): Promise<Server> {
  const server = await S3Server.start({ buckets: ['vault'], seed })
  return { url: server.url, ...testAccount, stop: () => server.down() }
}

async function bucketStore(name: 'minio' | 'fake', folder: string, seed: number): Promise<TortureStore> {
  const server: Server = name === 'minio' ? await startMinio() : await startFake(seed)
  const proxy = await FaultProxy.start(server.url, seed)
  const env = {
    MDV_STORAGE_BACKEND: 's3',
    MDV_STORAGE_S3_BUCKET: 'vault',
    MDV_STORAGE_S3_PREFIX: prefix,
    MDV_STORAGE_S3_REGION: 'us-east-1',
    MDV_STORAGE_S3_ENDPOINT_URL: proxy.url,
    MDV_STORAGE_S3_FORCE_PATH_STYLE: 'true',
    MDV_STORAGE_S3_AWS_ACCESS_KEY_ID: server.accessKeyId,
    MDV_STORAGE_S3_AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
    MDV_STORAGE_CACHE_DIR: join(folder, 'cache'),
    MDV_INGESTION_SPOOL_DIR: join(folder, 'spool'),
  }
  return {
    env,
    proxy,
    gather: async () => {
      const moved = join(folder, 'moved')
      Object.assign(process.env, env)
      await mdv('sync', 'vault', moved)
      return moved
    },
    leftovers: () => bucketLeftovers(server),
    stop: async () => {
      await proxy.stop()
      await server.stop()
    },
  }
}

async function bucketLeftovers(server: Server): Promise<string[]> {
  const sdk = loadSdk()
  const client = new sdk.S3Client({
    region: 'us-east-1',
    endpoint: server.url,
    forcePathStyle: true,
    credentials: server,
  })
  const isFence = async (key: string): Promise<boolean> => {
    const object = await client.send(new sdk.GetObjectCommand({ Bucket: 'vault', Key: `${prefix}/${key}` }))
    return (await object.Body!.transformToString()).startsWith('{"fence":{')
  }
  const left: string[] = []
  const list = { Bucket: 'vault', Prefix: `${prefix}/raw/` }
  for await (const page of sdk.paginateListObjectsV2({ client }, list))
    for (const { Key = '' } of page.Contents ?? []) {
      const key = Key.slice(prefix.length + 1)
      if (isLeft(key) && !(await isFence(key))) left.push(key)
    }
  const { Uploads: uploads = [] } = await client.send(
    new sdk.ListMultipartUploadsCommand({ Bucket: 'vault' }),
  )
  client.destroy()
  return [...left, ...uploads.map(({ Key = '' }) => `unfinished upload of ${Key}`)]
}
