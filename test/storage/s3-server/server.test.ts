/** The test server itself, asked by the SDK as others would: what our store never uses must be right for other programs. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import type { S3Client } from '@aws-sdk/client-s3'
import { loadSdk } from '../../../src/storage/s3/sdk.ts'
import { S3Server, testAccount, type S3ServerOptions } from './server.ts'

const sdk = loadSdk()
const Bucket = 'vault'

async function start(t: TestContext, options: S3ServerOptions = {}) {
  const server = await S3Server.start({ buckets: [Bucket], ...options })
  const client = new sdk.S3Client({
    region: 'us-east-1',
    endpoint: server.url,
    forcePathStyle: true,
    credentials: testAccount,
    maxAttempts: 1,
  })
  t.after(() => server.down())
  t.after(() => client.destroy())
  return { server, client }
}

async function put(client: S3Client, Key: string, Body = Key): Promise<void> {
  await client.send(new sdk.PutObjectCommand({ Bucket, Key, Body }))
}

async function textAt(client: S3Client, Key: string, Range?: string): Promise<string> {
  const answer = await client.send(
    new sdk.GetObjectCommand({ Bucket, Key, ...(Range === undefined ? {} : { Range }) }),
  )
  return answer.Body!.transformToString()
}

test('a stream with a trailing checksum is stored without its wrapping, or refused where told so', async (t) => {
  const { server, client } = await start(t)
  const send = () =>
    client.send(
      new sdk.PutObjectCommand({
        Bucket,
        Key: 'stream',
        Body: Readable.from([Buffer.from('abc'), Buffer.from('def')]),
        ContentLength: 6,
      }),
    )
  await send()
  assert.equal(await textAt(client, 'stream'), 'abcdef')
  server.refusesChunked = true
  await assert.rejects(send(), { name: 'MissingContentLength' })
})

test('a wrong checksum is refused, by whichever it is', async (t) => {
  const { client } = await start(t)
  const wrong = { ChecksumCRC32: 'AAAAAA==' }
  await assert.rejects(client.send(new sdk.PutObjectCommand({ Bucket, Key: 'x', Body: 'abc', ...wrong })), {
    name: 'BadDigest',
  })
  await assert.rejects(
    client.send(
      new sdk.PutObjectCommand({ Bucket, Key: 'x', Body: 'abc', ContentMD5: 'AAAAAAAAAAAAAAAAAAAAAA==' }),
    ),
    { name: 'BadDigest' },
  )
})

test('ranges: middle, open, suffix, behind the end', async (t) => {
  const { client } = await start(t)
  await put(client, 'x', '0123456789')
  assert.equal(await textAt(client, 'x', 'bytes=2-4'), '234')
  assert.equal(await textAt(client, 'x', 'bytes=8-'), '89')
  assert.equal(await textAt(client, 'x', 'bytes=-3'), '789')
  await assert.rejects(textAt(client, 'x', 'bytes=10-'), { name: 'InvalidRange' })
})

test('conditions: create, stale and fresh compare-and-set, absent key', async (t) => {
  const { client } = await start(t)
  const send = (condition: { IfNoneMatch?: string; IfMatch?: string }, Key = 'x') =>
    client.send(new sdk.PutObjectCommand({ Bucket, Key, Body: 'b', ...condition }))
  const { ETag } = await send({ IfNoneMatch: '*' })
  await assert.rejects(send({ IfNoneMatch: '*' }), { name: 'PreconditionFailed' })
  await assert.rejects(send({ IfNoneMatch: '"x"' }), { name: 'NotImplemented' })
  await assert.rejects(send({ IfMatch: '"stale"' }), { name: 'PreconditionFailed' })
  await send({ IfMatch: ETag! })
  await assert.rejects(send({ IfMatch: ETag! }, 'none'), { name: 'NoSuchKey' })
})

test('folders are folded at the delimiter, page by page', async (t) => {
  const { server, client } = await start(t)
  server.pageSize = 2
  for (const key of ['a/1', 'a/2', 'b', 'c d/ü+', 'e']) await put(client, key)
  const found: string[] = []
  const pages = sdk.paginateListObjectsV2({ client }, { Bucket, Delimiter: '/' })
  for await (const page of pages)
    found.push(
      ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix!),
      ...(page.Contents ?? []).map(({ Key }) => Key!),
    )
  assert.deepEqual(found.sort(), ['a/', 'b', 'c d/', 'e'])
  assert.equal(await textAt(client, 'c d/ü+'), 'c d/ü+')
})

test('small parts, parts out of order and unknown uploads are refused', async (t) => {
  const { client } = await start(t)
  const Key = 'large'
  const { UploadId } = await client.send(new sdk.CreateMultipartUploadCommand({ Bucket, Key }))
  const part = async (PartNumber: number) => {
    const command = new sdk.UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body: 'small' })
    return { PartNumber, ETag: (await client.send(command)).ETag }
  }
  const complete = (Parts: { PartNumber: number; ETag: string | undefined }[]) =>
    client.send(new sdk.CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }))
  const [one, two] = [await part(1), await part(2)]
  const listed = await client.send(new sdk.ListPartsCommand({ Bucket, Key, UploadId }))
  assert.deepEqual(
    listed.Parts?.map(({ Size }) => Size),
    [5, 5],
  )
  await assert.rejects(complete([one, two]), { name: 'EntityTooSmall' })
  await assert.rejects(complete([two, one]), { name: 'InvalidPartOrder' })
  await complete([one])
  assert.equal(await textAt(client, Key), 'small')
  await assert.rejects(complete([one]), { name: 'NoSuchUpload' })
})

test('what a doctor asks of a bucket is answered', async (t) => {
  const { server, client } = await start(t)
  await client.send(new sdk.HeadBucketCommand({ Bucket }))
  const location = await client.send(new sdk.GetBucketLocationCommand({ Bucket }))
  assert.ok(!location.LocationConstraint)
  assert.equal((await client.send(new sdk.GetBucketVersioningCommand({ Bucket }))).Status, undefined)
  await assert.rejects(client.send(new sdk.GetBucketLifecycleConfigurationCommand({ Bucket })), {
    name: 'NoSuchLifecycleConfiguration',
  })
  await assert.rejects(client.send(new sdk.GetPublicAccessBlockCommand({ Bucket })), {
    name: 'NoSuchPublicAccessBlockConfiguration',
  })
  await assert.rejects(client.send(new sdk.GetBucketReplicationCommand({ Bucket })), {
    name: 'ReplicationConfigurationNotFoundError',
  })
  server.buckets.get(Bucket)!.configuration.set('versioning', {
    xml: '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>',
  })
  assert.equal((await client.send(new sdk.GetBucketVersioningCommand({ Bucket }))).Status, 'Enabled')
})

test('many objects are removed by one request', async (t) => {
  const { server, client } = await start(t)
  for (const key of ['a', 'b', 'c&d']) await put(client, key)
  const Delete = { Objects: [{ Key: 'a' }, { Key: 'c&d' }] }
  await client.send(new sdk.DeleteObjectsCommand({ Bucket, Delete }))
  assert.deepEqual(server.buckets.get(Bucket)!.objects.names(), ['b'])
})

test('with a folder, objects and unfinished uploads outlive the process', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'mdv-s3-server-'))
  t.after(() => rm(dataDir, { recursive: true, force: true }))
  const first = await start(t, { dataDir })
  await put(first.client, 'a/ü', 'kept')
  await put(first.client, 'gone')
  await first.client.send(new sdk.DeleteObjectCommand({ Bucket, Key: 'gone' }))
  await first.client.send(new sdk.CreateMultipartUploadCommand({ Bucket, Key: 'large' }))
  await first.server.down()
  const second = await start(t, { dataDir })
  assert.equal(await textAt(second.client, 'a/ü'), 'kept')
  assert.deepEqual(second.server.buckets.get(Bucket)!.objects.names(), ['a/ü'])
  const uploads = await second.client.send(new sdk.ListMultipartUploadsCommand({ Bucket }))
  assert.equal(uploads.Uploads?.[0]?.Key, 'large')
})
