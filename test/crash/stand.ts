/**
 * Where a scenario's vault stands: in a folder, or in a bucket of the strict server. A folder is filled before and looked at afterwards
 * in both cases; between, a bucket holds what the folder held.
 */

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { hideCredentials } from '../../src/storage/place.ts'
import { openS3Store } from '../../src/storage/s3/open.ts'
import { listAll, type LocalObjectStore, type ObjectStore } from '../../src/storage/object-store.ts'
import { impatientClock, testDeps } from '../storage/s3/bucket.ts'
import { S3Server, testAccount } from '../storage/s3-server/server.ts'
import type { Shelf, StoredObject } from '../storage/s3-server/state.ts'
import type { Cleanup } from './sweep.ts'

export type StandKind = 'local' | 's3'

const never = new AbortController().signal
const prefix = 'some/where/'

/** A vault, once as programs see it and once as a folder. */
export interface Standing {
  /** As programs see it. */
  readonly store: ObjectStore
  /** Brings the folder to what the store holds. */
  mirror(): Promise<void>
}

export interface Stand {
  readonly kind: StandKind
  /** The vault that is in `folder`, as a store of this kind. */
  stand(folder: LocalObjectStore, cleanup: Cleanup): Promise<Standing>
  close(): Promise<void>
}

export const localStand: Stand = {
  kind: 'local',
  stand: (folder) => Promise.resolve({ store: folder, mirror: () => Promise.resolve() }),
  close: () => Promise.resolve(),
}

/** One server, a bucket for each vault. */
export class BucketStand implements Stand {
  readonly kind = 's3'
  readonly server: S3Server
  #buckets = 0

  private constructor(server: S3Server) {
    this.server = server
  }

  static async open(): Promise<BucketStand> {
    return new BucketStand(await S3Server.start())
  }

  async stand(folder: LocalObjectStore, cleanup: Cleanup): Promise<Standing> {
    const name = `vault-${++this.#buckets}`
    const { objects } = this.server.buckets.create(name)
    const workDir = await mkdtemp(join(tmpdir(), 'mdv-stand-'))
    cleanup.after(() => rm(workDir, { recursive: true, force: true }))
    const settings = {
      bucket: name,
      prefix: prefix.slice(0, -1),
      region: 'us-east-1',
      endpointUrl: this.server.url,
      forcePathStyle: true,
      credentials: hideCredentials({ ...testAccount, sessionToken: null }),
      workDir,
    }
    const store = await openS3Store(settings, 'read', { ...testDeps, clock: impatientClock })
    cleanup.after(() => store.close())
    const mirrored = new Map<string, StoredObject>()
    for (const { key, modifiedMs } of await listAll(folder, '', never)) {
      const object = storedObject(readFileSync(folder.pathOf(key)), modifiedMs)
      objects.set(prefix + key, object)
      mirrored.set(key, object)
    }
    return { store, mirror: () => mirror(objects, folder, mirrored) }
  }

  async close(): Promise<void> {
    await this.server.down()
  }
}

function storedObject(body: Buffer, modifiedMs: number): StoredObject {
  const etag = `"${createHash('md5').update(body).digest('hex')}"`
  return { body, etag, modifiedMs, headers: {}, crc32: undefined }
}

/** Writes what changed. @param mirrored what the folder held last; is brought up to date */
async function mirror(
  objects: Shelf<StoredObject>,
  folder: LocalObjectStore,
  mirrored: Map<string, StoredObject>,
): Promise<void> {
  const now = new Map(objects.names().map((name) => [name.slice(prefix.length), objects.get(name)!]))
  for (const key of mirrored.keys()) if (!now.has(key)) await rm(folder.pathOf(key), { force: true })
  for (const [key, object] of now) {
    if (mirrored.get(key) === object) continue
    const path = folder.pathOf(key)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, object.body)
  }
  mirrored.clear()
  for (const [key, object] of now) mirrored.set(key, object)
}
