/** Checks of a bucket: credentials, region, rights, conditional writes, clock, speed. What they put there they take away. */

import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { VaultError } from '../../core/errors.ts'
import { placeName, type Place, type S3Place } from '../../storage/place.ts'
import type { S3Connection } from '../../storage/s3/connection.ts'
import { explainS3 } from '../../storage/s3/explain.ts'
import { isAbsent } from '../../storage/s3/failure.ts'
import { fail, ok, warn, type Check, type Surroundings, type Verdict } from './check.ts'
import { settingChecks } from './bucket-settings.ts'

/** Each bucket of the configuration once. */
export function bucketsOf({ config: { storage } }: Pick<Surroundings, 'config'>): S3Place[] {
  const places: readonly Place[] = [storage.ingestion, storage.raw, storage.processed]
  const byName = new Map<string, S3Place>()
  for (const place of places)
    if (place.backend === 's3') byName.set(`${place.endpointUrl ?? ''} ${placeName(place)}`, place)
  return [...byName.values()]
}

/** Opened by the first check of a place; without it there is nothing more to ask. */
export async function bucketChecks(around: Surroundings): Promise<Check[]> {
  const checks: Check[] = []
  for (const place of bucketsOf(around)) {
    const opened = await open(around, place)
    checks.push({ name: 'bucket', of: 'machine', run: () => Promise.resolve(opened.verdict) })
    const { connection } = opened
    if (connection === undefined) continue
    for (const make of [credentials, rights, conditions, clock, speed, ...settingChecks]) {
      const check = make(connection, around, place)
      checks.push({ ...check, run: () => connection.explained('', () => check.run(around)) })
    }
  }
  return checks
}

/** A check of an opened bucket. */
export type BucketCheck = (connection: S3Connection, around: Surroundings, place: S3Place) => Check

async function open(
  { clock, random, env, config, signal }: Surroundings,
  place: S3Place,
): Promise<{ readonly verdict: Verdict; readonly connection?: S3Connection }> {
  const { connectToBucket } = await import('../../storage/s3/region.ts')
  const startedMs = clock.monotonicMs()
  try {
    const settings = { ...place, workDir: join(config.storage.cache_dir, 'work') }
    const once = { attempts: 2, firstMs: 200, limitMs: 1000, giveUpMs: 10_000 }
    const stop = { signal, graceMs: 0 }
    const connection = await connectToBucket(settings, { clock, random, env, retries: once, stop })
    const elapsedMs = (clock.monotonicMs() - startedMs).toFixed(0)
    return {
      verdict: ok(`${placeName(place)} in ${connection.region}, listed in ${elapsedMs} ms`),
      connection,
    }
  } catch (error) {
    return { verdict: failed(error) }
  }
}

/** What a request says is not ours: one bounded line of it. */
function failed(error: unknown): Verdict {
  if (!(error instanceof VaultError)) throw error
  return fail(oneLine(error.message), error.remedy ?? 'MDV_DEBUG=1 shows more')
}

export function oneLine(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f]+/g, ' ').slice(0, 300)
}

const sources: Readonly<Record<string, string>> = {
  CREDENTIALS_ENV_VARS: 'the environment',
  CREDENTIALS_PROFILE: 'a profile',
  CREDENTIALS_SSO: 'SSO',
  CREDENTIALS_STS_ASSUME_ROLE_WEB_ID: 'web identity',
  CREDENTIALS_HTTP: 'the container',
  CREDENTIALS_PROCESS: 'a program that a profile names',
}

/** Where the SDK's chain found them. Of all its parts only that of instances puts no name to what it finds. */
function sourceOf(found: object): string {
  const names = Object.keys((found as { readonly $source?: object }).$source ?? {})
  if (names.length === 0) return 'the instance role'
  return names.map((name) => sources[name]).find((word) => word !== undefined) ?? 'the AWS chain'
}

const credentials: BucketCheck = (connection, _around, place) => ({
  name: 'credentials',
  of: 'machine',
  async run() {
    const found = await connection.request('head', ({ client }) => client.config.credentials())
    const from = place.credentials === null ? sourceOf(found) : 'the configuration'
    const until = found.expiration === undefined ? '' : `, until ${found.expiration.toISOString()}`
    return ok(`from ${from}, key …${found.accessKeyId.slice(-4)}${until}`)
  },
})

const body = Buffer.from('mdv doctor')

/** Each right by using it. */
const rights: BucketCheck = (connection) => ({
  name: 'rights',
  of: 'machine',
  async run() {
    const Bucket = connection.bucket
    const Key = connection.full(`.mdv/doctor/${randomUUID()}`)
    const lacking: string[] = []
    const attempt = async (right: string, act: () => Promise<unknown>): Promise<void> => {
      try {
        await act()
      } catch (error) {
        // What could not be put is not there to get: that was allowed, and answered.
        if (isAbsent(error)) return
        const { message } = explainS3(error, connection.context('.mdv/doctor'))
        lacking.push(`${right} (${oneLine(message)})`)
      }
    }
    const needed = async (): Promise<void> => {
      await attempt('s3:PutObject', () =>
        connection.request('put', ({ client, sdk }) =>
          client.send(new sdk.PutObjectCommand({ Bucket, Key, Body: body })),
        ),
      )
      await attempt('s3:GetObject', () =>
        connection.request('get', ({ client, sdk }) =>
          client.send(new sdk.GetObjectCommand({ Bucket, Key })),
        ),
      )
      await attempt('s3:GetBucketLocation', () =>
        connection.request('head', ({ client, sdk }) =>
          client.send(new sdk.GetBucketLocationCommand({ Bucket })),
        ),
      )
      await attempt('s3:DeleteObject', () =>
        connection.request('delete', ({ client, sdk }) =>
          client.send(new sdk.DeleteObjectCommand({ Bucket, Key })),
        ),
      )
    }
    await needed()
    if (lacking.length > 0)
      return fail(
        `lacking: ${lacking.join('; ')}`,
        '"mdv doctor --policy" prints the least policy; give it to these credentials',
      )
    await attempt('s3:AbortMultipartUpload', () => uploadAndAbort(connection, Key))
    await attempt('s3:ListBucketMultipartUploads', () =>
      connection.request('list', ({ client, sdk }) =>
        client.send(new sdk.ListMultipartUploadsCommand({ Bucket, Prefix: Key })),
      ),
    )
    return lacking.length === 0
      ? ok('put, get, list, delete, location, uploads in parts')
      : warn(
          `lacking: ${lacking.join('; ')}`,
          'unfinished uploads of mdv sync cannot be removed: give these too, or set a lifecycle rule',
        )
  },
})

async function uploadAndAbort(connection: S3Connection, Key: string): Promise<void> {
  const Bucket = connection.bucket
  const { UploadId } = await connection.request('multipart', ({ client, sdk }) =>
    client.send(new sdk.CreateMultipartUploadCommand({ Bucket, Key })),
  )
  await connection.request('multipart', ({ client, sdk }) =>
    client.send(new sdk.AbortMultipartUploadCommand({ Bucket, Key, UploadId: UploadId! })),
  )
}

const conditions: BucketCheck = (connection, _around, place) => ({
  name: 'conditions',
  of: 'machine',
  async run() {
    const { probeConditions } = await import('../../storage/s3/probe.ts')
    const probed = await connection.explained('', () => probeConditions(connection))
    if (probed.verdict === 'shared')
      return ok(`If-None-Match:* holds, also in a race of eight (If-Match: ${probed.ifMatch})`)
    const words = oneLine(probed.failedCheck)
    return place.singleWriter
      ? warn(words, 'single_writer is set: see to it that one mdv process writes there at a time')
      : fail(
          words,
          'use a server that honours conditional writes (on some: versioning off), or storage.s3.single_writer: true with one process at a time',
        )
  },
})

const skewWarnMs = 30_000
/** AWS refuses requests signed further off. */
const skewFailMs = 15 * 60_000

const clock: BucketCheck = (connection, around) => ({
  name: "bucket's clock",
  of: 'machine',
  async run() {
    const url = connection.endpointUrl ?? `https://s3.${connection.region}.amazonaws.com`
    // Only its date is wanted: also a redirect has one.
    const response = await fetch(url, {
      redirect: 'manual',
      signal: AbortSignal.any([around.signal, AbortSignal.timeout(10_000)]),
    })
    await response.body?.cancel()
    const date = Date.parse(response.headers.get('date') ?? '')
    if (Number.isNaN(date)) return ok('the server sends no date')
    const skewMs = date + 500 - around.clock.nowMs()
    const words = `${(Math.abs(skewMs) / 1000).toFixed(0)} s ${skewMs < 0 ? 'ahead of' : 'behind'} the server's`
    if (Math.abs(skewMs) > skewFailMs) return fail(words, 'set this clock (NTP): requests are refused')
    return Math.abs(skewMs) > skewWarnMs ? warn(words, 'set this clock (NTP)') : ok(words)
  },
})

const rounds = 10
const largeBytes = 8_000_000
const slowBytesPerSecond = 2_000_000

const speed: BucketCheck = (connection, { clock: time }) => ({
  name: 'speed',
  of: 'network',
  async run() {
    const Bucket = connection.bucket
    const Key = connection.full(`.mdv/doctor/${randomUUID()}`)
    const put = (Body: Buffer) =>
      connection.request('put', ({ client, sdk }) =>
        client.send(new sdk.PutObjectCommand({ Bucket, Key, Body })),
      )
    const get = () =>
      connection.request('get', async ({ client, sdk }) =>
        (await client.send(new sdk.GetObjectCommand({ Bucket, Key }))).Body!.transformToByteArray(),
      )
    const timed = async (act: () => Promise<unknown>): Promise<number> => {
      const startedMs = time.monotonicMs()
      await act()
      return time.monotonicMs() - startedMs
    }
    const median = async (act: () => Promise<unknown>): Promise<number> => {
      const times: number[] = []
      for (let i = 0; i < rounds; i++) times.push(await timed(act))
      return times.sort((a, b) => a - b)[rounds >> 1]!
    }
    try {
      const [putMs, getMs] = [await median(() => put(body)), await median(get)]
      const large = randomBytes(largeBytes)
      const upRate = largeBytes / ((await timed(() => put(large))) / 1000)
      const downRate = largeBytes / ((await timed(get)) / 1000)
      const words = `put ${putMs.toFixed(0)} ms, get ${getMs.toFixed(0)} ms, ${(upRate / 1e6).toFixed(1)} MB/s up, ${(downRate / 1e6).toFixed(1)} MB/s down`
      return upRate < slowBytesPerSecond
        ? warn(
            words,
            'a busy feed needs 2 MB/s: record fewer products, or keep raw/ on disk (storage.etl_storage_output)',
          )
        : ok(words)
    } finally {
      await connection.request('delete', ({ client, sdk }) =>
        client.send(new sdk.DeleteObjectCommand({ Bucket, Key })),
      )
    }
  },
})
