/** The S3 store on a real MinIO: the same contract as everywhere, and what only a real server can confirm. */

import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { Secret } from '../src/core/secret.ts'
import { listAll } from '../src/storage/object-store.ts'
import { hideCredentials } from '../src/storage/place.ts'
import { openS3Store } from '../src/storage/s3/open.ts'
import { loadSdk } from '../src/storage/s3/sdk.ts'
import type { S3Mode, S3Settings } from '../src/storage/s3/settings.ts'
import type { S3Store } from '../src/storage/s3/store.ts'
import { checkContract } from '../test/storage/contract.ts'
import { minioMissing, startMinio, type Minio } from '../test/storage/minio.ts'
import { settingsFor, testDeps } from '../test/storage/s3/bucket.ts'

const never = new AbortController().signal
const missing = minioMissing()
const minio: Minio | undefined = missing === undefined ? await startMinio() : undefined
after(() => minio?.stop())

async function settingsOn(t: TestContext, more: Partial<S3Settings> = {}): Promise<S3Settings> {
  const { accessKeyId, secretAccessKey, url } = minio!
  const credentials = hideCredentials({ accessKeyId, secretAccessKey, sessionToken: null })
  return settingsFor(t, { url }, { credentials, prefix: randomUUID(), ...more })
}

async function open(t: TestContext, mode: S3Mode = 'shared'): Promise<S3Store> {
  const store = await openS3Store(await settingsOn(t), mode, testDeps)
  t.after(() => store.close())
  return store
}

if (minio !== undefined) checkContract('minio', open)

test('minio honours conditions, quoted and unquoted', { skip: missing ?? false }, async (t) => {
  const store = await open(t)
  assert.deepEqual(await store.probeConditions(), { verdict: 'shared', ifMatch: 'both' })
  assert.deepEqual(store.notes, [])
})

test('minio lists 1,100 keys of any letters in order', { skip: missing ?? false }, async (t) => {
  const store = await open(t)
  const keys = Array.from({ length: 1100 }, (_, i) => `raw/${i} a+b=ü\u{1f600}&<%41>`)
  for (let i = 0; i < keys.length; i += 50)
    await Promise.all(keys.slice(i, i + 50).map((key) => store.putIfAbsent(key, Buffer.from(key))))
  assert.deepEqual(
    (await listAll(store, 'raw/', never)).map(({ key }) => key),
    [...keys].sort(),
  )
  assert.equal((await store.get(keys[7]!))?.toString(), keys[7])
  assert.equal(await store.delete(keys[7]!), true)
})

test(
  'minio takes large files in parts, copies them and gives them back verified',
  { skip: missing ?? false },
  async (t) => {
    const store = await open(t)
    const scratch = await store.scratch('test')
    const [path, back] = [join(scratch, 'large'), join(scratch, 'back')]
    const bytes = randomBytes(40_000_003)
    await writeFile(path, bytes)
    await store.uploadLarge(path, 'large', never)
    const { sha256 } = await store.download('large', back, never)
    assert.ok(bytes.equals(await readFile(back)))
    const source = { bucket: minio!.bucket, fullKey: store.fullKey('large'), sizeBytes: bytes.length, sha256 }
    await store.copyFrom(source, 'copy', never)
    assert.equal((await store.download('copy', back, never)).wasVerified, true)
    assert.equal(await store.publishFile(path, 'published'), 'created')
    assert.equal((await store.head('published'))?.sizeBytes, bytes.length)
  },
)

test('minio tells of uploads nobody finished, and removes them', { skip: missing ?? false }, async (t) => {
  const store = await open(t)
  const sdk = loadSdk()
  const client = new sdk.S3Client({
    region: 'us-east-1',
    endpoint: minio!.url,
    forcePathStyle: true,
    credentials: minio!,
  })
  t.after(() => client.destroy())
  const Key = store.fullKey('raw/left')
  await client.send(new sdk.CreateMultipartUploadCommand({ Bucket: minio!.bucket, Key }))
  const stale = await store.staleUploads('raw/left', Number.MAX_SAFE_INTEGER, never)
  assert.equal(stale.length, 1)
  for (const upload of stale) await store.abortUpload(upload)
  assert.deepEqual(await store.staleUploads('raw/left', Number.MAX_SAFE_INTEGER, never), [])
})

const refusals = {
  'an unknown key': [{ accessKeyId: 'AKIAOTHER' }, /access key id is not known/],
  'a wrong secret': [{ secretAccessKey: new Secret('not-the-secret') }, /secret key does not belong/],
} as const

for (const [name, [wrong, message]] of Object.entries(refusals))
  test(`minio refuses ${name}, and the sentence says so`, { skip: missing ?? false }, async (t) => {
    const settings = await settingsOn(t)
    const credentials = { ...settings.credentials!, ...wrong }
    await assert.rejects(openS3Store({ ...settings, credentials }, 'read', testDeps), {
      kind: 'preflight',
      message,
    })
  })

test('minio has no such bucket, and the sentence says so', { skip: missing ?? false }, async (t) => {
  await assert.rejects(openS3Store(await settingsOn(t, { bucket: 'not-there' }), 'read', testDeps), {
    kind: 'preflight',
    message: /there is no bucket not-there/,
  })
})
