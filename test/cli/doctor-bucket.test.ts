/** What mdv doctor says of a bucket: everything right, and each thing wrong by itself. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { loadConfig } from '../../src/cli/config-load.ts'
import { bucketChecks } from '../../src/cli/doctor/bucket.ts'
import { failedCheck } from '../../src/cli/doctor/machine.ts'
import { leastPolicy } from '../../src/cli/doctor/policy.ts'
import { systemClock } from '../../src/cli/system-clock.ts'
import { S3Server, testAccount } from '../storage/s3-server/server.ts'

interface Said {
  readonly state: string
  readonly words: string
  readonly remedy?: string
}

async function ask(
  t: TestContext,
  server: S3Server,
  more: Readonly<Record<string, string>> = {},
): Promise<Map<string, Said>> {
  const folder = await mkdtemp(join(tmpdir(), 'mdv-doctor-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const env = {
    MDV_STORAGE_BACKEND: 's3',
    MDV_STORAGE_S3_BUCKET: 'vault',
    MDV_STORAGE_S3_PREFIX: 'a/b',
    MDV_STORAGE_S3_ENDPOINT_URL: server.url,
    MDV_STORAGE_S3_FORCE_PATH_STYLE: 'true',
    MDV_STORAGE_S3_AWS_ACCESS_KEY_ID: testAccount.accessKeyId,
    MDV_STORAGE_S3_AWS_SECRET_ACCESS_KEY: testAccount.secretAccessKey,
    MDV_STORAGE_CACHE_DIR: folder,
    ...more,
  }
  const { config } = await loadConfig({ path: undefined, readFile: false, env, flags: {}, sections: [] })
  const { signal } = new AbortController()
  const around = { config, clock: systemClock, random: () => 0.5, env: {}, signal }
  const said = new Map<string, Said>()
  for (const check of await bucketChecks(around))
    said.set(check.name, await check.run(around).catch(failedCheck))
  return said
}

async function start(t: TestContext): Promise<S3Server> {
  const server = await S3Server.start({ buckets: ['vault'] })
  t.after(() => server.down())
  return server
}

test('a bucket that is as it should be passes every check, and nothing is left in it', async (t) => {
  const server = await start(t)
  const said = await ask(t, server)
  assert.deepEqual(
    [...said].filter(([, { state }]) => state === 'fail'),
    [],
  )
  assert.match(said.get('credentials')!.words, /^from the configuration, key …TEST$/)
  assert.doesNotMatch(JSON.stringify([...said]), new RegExp(testAccount.secretAccessKey))
  assert.match(said.get('conditions')!.words, /If-None-Match:\* holds/)
  assert.deepEqual(server.buckets.get('vault')!.objects.names(), [])
  assert.deepEqual(server.buckets.get('vault')!.uploads.names(), [])
})

const mistakes: readonly [
  name: string,
  change: (server: S3Server) => Readonly<Record<string, string>>,
  check: string,
  words: RegExp,
  remedy: RegExp,
][] = [
  [
    'a wrong secret',
    () => ({ MDV_STORAGE_S3_AWS_SECRET_ACCESS_KEY: 'no' }),
    'bucket',
    /secret key does not belong/,
    /./,
  ],
  [
    'a bucket that is not there',
    () => ({ MDV_STORAGE_S3_BUCKET: 'other' }),
    'bucket',
    /there is no bucket other/,
    /./,
  ],
  [
    'a clock that is half an hour off',
    (server) => {
      server.clockOffsetMs = 1_800_000
      return {}
    },
    'bucket',
    /clock/,
    /clock|NTP/i,
  ],
  [
    'no right to write',
    (server) => {
      server.denied.add('PutObject')
      return {}
    },
    'rights',
    // What was not put cannot be got, and that is no lack of a right.
    /lacking: s3:PutObject \([^;]*\)$/,
    /mdv doctor --policy/,
  ],
  [
    'a server that ignores conditions',
    (server) => {
      server.ignoresConditions = true
      return {}
    },
    'conditions',
    /./,
    /single_writer/,
  ],
]

for (const [name, change, check, words, remedy] of mistakes)
  test(`${name} is found, with the way out`, async (t) => {
    const server = await start(t)
    const said = (await ask(t, server, change(server))).get(check)!
    assert.equal(said.state, 'fail')
    assert.match(said.words, words)
    assert.match(said.remedy!, remedy)
  })

test('no right to abort uploads is a warning', async (t) => {
  const server = await start(t)
  server.denied.add('AbortMultipartUpload')
  assert.equal((await ask(t, server)).get('rights')!.state, 'warn')
})

test('a server that is away is said to be, and nothing more is asked', async (t) => {
  const server = await start(t)
  await server.down()
  const said = await ask(t, server)
  assert.deepEqual([...said.keys()], ['bucket'])
  assert.match(said.get('bucket')!.words, /cannot be reached/)
})

test('the least policy names the prefix and nothing beside it', () => {
  const place = {
    backend: 's3',
    bucket: 'vault',
    prefix: 'a/b',
    region: null,
    endpointUrl: null,
    forcePathStyle: false,
    credentials: null,
    singleWriter: false,
  } as const
  const { Statement } = JSON.parse(leastPolicy([place])) as {
    Statement: { Action: string[]; Resource: string; Condition?: object }[]
  }
  assert.deepEqual(
    Statement.map(({ Resource }) => Resource),
    ['arn:aws:s3:::vault/a/b/*', 'arn:aws:s3:::vault', 'arn:aws:s3:::vault'],
  )
  assert.deepEqual(Statement[1]!.Condition, { StringLike: { 's3:prefix': ['a/b/*'] } })
})
