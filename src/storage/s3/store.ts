/** An object store in a bucket. Each method is one operation of the files beside this one, with its failures made sentences. */

import { randomUUID } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { VaultError } from '../../core/errors.ts'
import { recordBytesMax, type ObjectInfo, type PutOutcome } from '../object-store.ts'
import { hideCredentials } from '../place.ts'
import type { RemoteAccess, RemoteStore } from '../remote-access.ts'
import type { S3Connection } from './connection.ts'
import { contentOf, contentOfFile, fileToken } from './content.ts'
import { copyObject, type CopySource } from './copy.ts'
import { downloadObject, type Downloaded } from './download.ts'
import { isAbsent } from './failure.ts'
import { listObjects } from './list.ts'
import { probeConditions, type ConditionVerdict } from './probe.ts'
import { putAfterLooking, putIfAbsent, sendPut, type Put } from './put.ts'
import { getWhole, readRange } from './read.ts'
import type { RequestCounts } from './requests.ts'
import { abortUpload, unfinishedUploads, type UnfinishedUpload } from './unfinished.ts'
import { singlePutBytes, uploadParts } from './upload.ts'

/** What one PutObject takes. */
const publishBytesAtMost = 5 * 1024 ** 3

export class S3Store implements RemoteStore {
  readonly location: string
  readonly notes: readonly string[]
  readonly #connection: S3Connection
  readonly #workDir: string
  readonly #honoursConditions: boolean
  /** For servers without conditions: the put under way of each key. */
  readonly #turns = new Map<string, Promise<unknown>>()

  constructor(
    connection: S3Connection,
    workDir: string,
    honoursConditions: boolean,
    notes: readonly string[],
  ) {
    this.location = connection.url('').replace(/\/$/, '')
    this.notes = notes
    this.#connection = connection
    this.#workDir = workDir
    this.#honoursConditions = honoursConditions
  }

  get bucket(): string {
    return this.#connection.bucket
  }

  get region(): string {
    return this.#connection.region
  }

  /** Since it was opened. */
  get requests(): RequestCounts {
    return this.#connection.counter.snapshot()
  }

  /** The key in the bucket: for `copyFrom` of another store. */
  fullKey(key: string): string {
    checkKey(key)
    return this.#connection.full(key)
  }

  async putIfAbsent(key: string, body: Uint8Array): Promise<PutOutcome> {
    const put = { fullKey: this.fullKey(key), content: contentOf(body), token: randomUUID() }
    return this.#connection.explained(key, () => this.#put(put))
  }

  /**
   * Uploads the file by one PutObject and removes it. A crash between the two leaves object and file: the next call for the same file
   * (inode, time of change and bytes) finds that the object is its own, answers `created` and removes it. Another file with the same
   * bytes is another writer's: `exists`.
   */
  async publishFile(path: string, key: string): Promise<PutOutcome> {
    const fullKey = this.fullKey(key)
    return this.#connection.explained(key, async () => {
      const content = await contentOfFile(path)
      if (content.sizeBytes > publishBytesAtMost)
        throw new VaultError(
          'preflight',
          `${path}: ${content.sizeBytes} bytes are more than one PutObject takes`,
          {
            remedy: 'make segments and parts smaller: 5 GiB is the most',
          },
        )
      const outcome = await this.#put({ fullKey, content, token: await fileToken(path, content) })
      if (outcome === 'created') await rm(path)
      return outcome
    })
  }

  async #put(put: Put): Promise<PutOutcome> {
    if (this.#honoursConditions) return putIfAbsent(this.#connection, put)
    const before = this.#turns.get(put.fullKey) ?? Promise.resolve()
    const look = () => putAfterLooking(this.#connection, put)
    const turn = before.then(look, look)
    this.#turns.set(put.fullKey, turn)
    try {
      return await turn
    } finally {
      if (this.#turns.get(put.fullKey) === turn) this.#turns.delete(put.fullKey)
    }
  }

  async get(key: string, bytesMax = recordBytesMax): Promise<Buffer | undefined> {
    const fullKey = this.fullKey(key)
    return this.#connection.explained(key, () => getWhole(this.#connection, fullKey, bytesMax))
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    const fullKey = this.fullKey(key)
    try {
      const answer = await this.#connection.request('head', ({ client, sdk, options }) =>
        client.send(new sdk.HeadObjectCommand({ Bucket: this.bucket, Key: fullKey }), options),
      )
      return { key, sizeBytes: answer.ContentLength ?? 0, modifiedMs: answer.LastModified?.getTime() ?? 0 }
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw this.#connection.explain(error, key)
    }
  }

  read(key: string, from: number, until: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    checkKey(key)
    return readRange(this.#connection, key, from, until, signal)
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<readonly ObjectInfo[]> {
    try {
      yield* listObjects(this.#connection, prefix, signal)
    } catch (error) {
      throw this.#connection.explain(error, prefix, signal)
    }
  }

  /** S3 answers a removal alike whether there was something: so it is asked first. */
  async delete(key: string): Promise<boolean> {
    if ((await this.head(key)) === undefined) return false
    return this.#connection.explained(key, async () => {
      await this.#connection.request('delete', ({ client, sdk, options }) =>
        client.send(new sdk.DeleteObjectCommand({ Bucket: this.bucket, Key: this.fullKey(key) }), options),
      )
      return true
    })
  }

  async scratch(name: string): Promise<string> {
    checkKey(name)
    const path = join(this.#workDir, 'scratch', name)
    await this.#connection.explained(name, () => mkdir(path, { recursive: true }))
    return path
  }

  fileOf(): undefined {
    return undefined
  }

  /** Stores a file under a key that nobody contends, replacing what was there; the file stays. Memory: 32 MiB. */
  async uploadLarge(path: string, key: string, signal: AbortSignal): Promise<void> {
    const fullKey = this.fullKey(key)
    await this.#connection.explained(
      key,
      async () => {
        const content = await contentOfFile(path, signal)
        if (content.sizeBytes > singlePutBytes)
          return uploadParts(this.#connection, path, fullKey, content, signal)
        const put = { fullKey, content, token: randomUUID() }
        await this.#connection.request(
          'put',
          (attempt) => sendPut(this.#connection, put, {}, attempt),
          signal,
        )
        return undefined
      },
      signal,
    )
  }

  /** Server-side copy to a key that nobody contends, replacing what was there. These credentials must be able to read the source. */
  async copyFrom(source: CopySource, key: string, signal: AbortSignal): Promise<void> {
    const fullKey = this.fullKey(key)
    await this.#connection.explained(key, () => copyObject(this.#connection, source, fullKey, signal), signal)
  }

  /** The object into a local file, ranges in parallel. Memory: 64 MiB. @returns what came, and whether it had a checksum to be held against */
  async download(key: string, path: string, signal: AbortSignal): Promise<Downloaded> {
    checkKey(key)
    return this.#connection.explained(key, () => downloadObject(this.#connection, key, path, signal), signal)
  }

  /**
   * Uploads of keys that start with `prefix`, begun before `startedBeforeMs` (epoch milliseconds, the server's clock) and never finished.
   * MinIO tells of them only for a whole key, and removes them itself after a day.
   */
  async staleUploads(
    prefix: string,
    startedBeforeMs: number,
    signal: AbortSignal,
  ): Promise<UnfinishedUpload[]> {
    return this.#connection.explained(
      prefix,
      () => unfinishedUploads(this.#connection, this.#connection.full(prefix), startedBeforeMs, signal),
      signal,
    )
  }

  async abortUpload(upload: UnfinishedUpload): Promise<void> {
    await this.#connection.explained(upload.fullKey, () => abortUpload(this.#connection, upload))
  }

  /** For programs that read the bucket themselves. The credentials are those of now: some end within the hour. */
  async remoteAccess(): Promise<RemoteAccess> {
    const { region, endpointUrl, forcePathStyle } = this.#connection
    const { accessKeyId, secretAccessKey, sessionToken } = await this.#connection.credentials()
    return {
      urlOf: (key) => this.#connection.url(key),
      scope: `s3://${this.bucket}/${this.#connection.keyPrefix}`,
      credentials: hideCredentials({ accessKeyId, secretAccessKey, sessionToken: sessionToken ?? null }),
      region,
      endpointUrl,
      forcePathStyle,
    }
  }

  /** Whether the server honours conditions, tried anew. */
  probeConditions(signal?: AbortSignal): Promise<ConditionVerdict> {
    return this.#connection.explained('', () => probeConditions(this.#connection, signal), signal)
  }

  /** Aborts what is under way: those operations throw `closed`. */
  close(): void {
    this.#connection.close()
  }
}

/** Keys come from our own functions; one with a part that URLs swallow would reach another object. */
function checkKey(key: string): void {
  const parts = key.split('/')
  const bad = parts[0] === '.mdv' || parts.some((part) => part === '' || part === '.' || part === '..')
  // eslint-disable-next-line no-control-regex
  if (bad || /[\\\u0000-\u001f]/.test(key) || Buffer.byteLength(key) > 1024)
    throw new VaultError('invalid', `not a key: ${JSON.stringify(key)}`)
}
