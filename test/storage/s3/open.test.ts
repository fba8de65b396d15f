/** Opening: region, rights, and servers that only pretend. */

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { Clock } from '../../../src/core/clock.ts'
import { hideCredentials } from '../../../src/storage/place.ts'
import { openS3Store } from '../../../src/storage/s3/open.ts'
import { namedRegion } from '../../../src/storage/s3/settings.ts'
import { testAccount, type S3Server } from '../s3-server/server.ts'
import { failOften, impatientClock, openOn, settingsFor, startServer, testDeps } from './bucket.ts'

test('the region is the one named, by configuration before environment, else the one the bucket tells', async (t) => {
  const server = await startServer(t, { region: 'eu-north-1' })
  const settings = await settingsFor(t, server)
  const env = { AWS_REGION: '', AWS_DEFAULT_REGION: 'b' }
  assert.equal(namedRegion({ ...settings, region: 'a' }, env), 'a')
  assert.equal(namedRegion(settings, { ...env, AWS_REGION: 'c' }), 'c')
  assert.equal(namedRegion(settings, env), 'b')
  assert.equal(namedRegion(settings, {}), null)
  const store = await openOn(t, server)
  assert.equal(store.region, 'eu-north-1')
  assert.equal(store.location, 's3://vault/some/where')
  await assert.rejects(openS3Store({ ...settings, region: 'us-west-2' }, 'read', testDeps), {
    kind: 'preflight',
    message: /the bucket is not in us-west-2/,
    remedy: /eu-north-1/,
  })
})

test('a server that honours conditions is opened for many, and nothing of the probe is left', async (t) => {
  const server = await startServer(t)
  const store = await openOn(t, server, 'shared')
  assert.deepEqual(await store.probeConditions(), { verdict: 'shared', ifMatch: 'both' })
  assert.deepEqual(server.buckets.get('vault')!.objects.names(), [])
  assert.deepEqual(store.notes, [])
})

test('the second opening within a day sends two puts, and still finds a server that changed', async (t) => {
  const server = await startServer(t)
  const settings = await settingsFor(t, server)
  const putsOfOpening = async (nowMs: number) => {
    const clock = { ...impatientClock, nowMs: () => nowMs }
    const store = await openS3Store(settings, 'shared', { ...testDeps, clock })
    store.close()
    return store.requests.put
  }
  const dayMs = 24 * 60 * 60 * 1000
  assert.deepEqual(
    [await putsOfOpening(1), await putsOfOpening(2), await putsOfOpening(1 + dayMs)],
    [13, 2, 13],
  )
  server.ignoresConditions = true
  await assert.rejects(putsOfOpening(2 + dayMs), {
    kind: 'preflight',
    message: /answered 200 instead of 412/,
  })
})

test('the probe does not take lost answers for faults of the server', async (t) => {
  const server = await startServer(t, { seed: 5 })
  const store = await openOn(t, server)
  failOften(server, 0.3)
  for (let i = 0; i < 10; i++) {
    const probed = await store.probeConditions().catch((error: { kind: string }) => error.kind)
    if (probed !== 'unavailable') assert.equal((probed as { verdict: string }).verdict, 'shared')
  }
})

test('a server that ignores conditions is refused for many, by the check it failed, and offered to one', async (t) => {
  const server = await startServer(t)
  server.ignoresConditions = true
  const settings = await settingsFor(t, server)
  await assert.rejects(openS3Store(settings, 'shared', testDeps), {
    kind: 'preflight',
    message: /a second create with If-None-Match:\* was answered 200 instead of 412/,
    remedy: /single_writer/,
  })
  const store = await openOn(t, server, 'single-writer')
  assert.match(store.notes[0]!, /only this one process may write/)
  assert.equal(await store.putIfAbsent('x', Buffer.from('1')), 'created')
  assert.equal(await store.putIfAbsent('x', Buffer.from('2')), 'exists')
})

test('opened for reading, nothing is written and no right to write is needed', async (t) => {
  const server = await startServer(t)
  server.denied.add('PutObject').add('DeleteObject')
  const store = await openOn(t, server, 'read')
  assert.equal(server.counts.get('PutObject'), undefined)
  assert.equal(await store.get('x'), undefined)
  await assert.rejects(openS3Store(await settingsFor(t, server), 'shared', testDeps), {
    kind: 'preflight',
    message: /access is denied/,
  })
})

const wrong = {
  'an unknown key': { settings: { accessKeyId: 'AKIAOTHER' }, message: /access key id is not known/ },
  'a wrong secret': { settings: { secretAccessKey: 'not-it' }, message: /secret key does not belong/ },
  'an expired token': { settings: { sessionToken: 'old' }, message: /session token has expired/ },
} as const

for (const [name, { settings, message }] of Object.entries(wrong))
  test(`${name} is told at opening, without the secret`, async (t) => {
    const server = await startServer(t)
    server.expiredToken = 'old'
    const plain = { ...testAccount, sessionToken: null, ...settings }
    const credentials = hideCredentials(plain)
    await assert.rejects(
      openS3Store(await settingsFor(t, server, { credentials }), 'read', testDeps),
      (error: Error & { kind: string }) => {
        assert.equal(error.kind, 'preflight')
        assert.match(error.message, message)
        assert.ok(!JSON.stringify([error, String(error.cause)]).includes(plain.secretAccessKey))
        return true
      },
    )
  })

test('a clock that is off, a bucket that is not there and a bad name are told at opening', async (t) => {
  const server = await startServer(t)
  const open = async (bucket: string) =>
    openS3Store(await settingsFor(t, server, { bucket }), 'read', testDeps)
  await assert.rejects(open('none'), { kind: 'preflight', message: /there is no bucket none/ })
  await assert.rejects(open('A_b'), { kind: 'preflight', message: /is not a name for a bucket/ })
  server.clockOffsetMs = 20 * 60 * 1000
  await assert.rejects(open('vault'), { kind: 'preflight', message: /clock is more than 15 minutes off/ })
})

test('an endpoint at which a web page answers is told at opening', async (t) => {
  const server = await startServer(t)
  server.faults.next('web-page', 'ListObjectsV2', 6)
  await assert.rejects(openS3Store(await settingsFor(t, server), 'read', testDeps), {
    kind: 'unavailable',
    message: /^s3:\/\/vault: what http:\S+ answers is not S3/,
    remedy: /API, not its console/,
  })
})

/** Until a request of this kind, to which no answer comes, has arrived. */
async function arrived(server: S3Server, operation: string): Promise<void> {
  const before = server.counts.get(operation) ?? 0
  while ((server.counts.get(operation) ?? 0) === before) await setImmediate()
}

test('a stop ends the opening of a bucket that does not answer, in the listing and in the trial of conditions', async (t) => {
  for (const operation of ['ListObjectsV2', 'PutObject']) {
    const server = await startServer(t)
    server.faults.next('hang', operation)
    const stop = new AbortController()
    const deps = { ...testDeps, stop: { signal: stop.signal, graceMs: 30_000 } }
    const opening = openS3Store(await settingsFor(t, server), 'shared', deps)
    await arrived(server, operation)
    stop.abort(new Error('asked to stop'))
    await assert.rejects(opening, { message: 'asked to stop' })
  }
})

test('a stop gives what an opened store does its time, and then ends it', async (t) => {
  const server = await startServer(t)
  const [stop, graces] = [new AbortController(), [] as { delayMs: number; over: () => void }[]]
  const clock: Clock = {
    ...testDeps.clock,
    after(delayMs, over) {
      graces.push({ delayMs, over })
      return { cancel: () => undefined }
    },
  }
  const store = await openOn(
    t,
    server,
    'shared',
    {},
    { clock, stop: { signal: stop.signal, graceMs: 30_000 } },
  )
  stop.abort(new Error('asked to stop'))
  assert.equal(await store.putIfAbsent('begun', Buffer.from('x')), 'created')
  server.faults.next('hang', 'GetObject')
  const getting = store.get('begun')
  await arrived(server, 'GetObject')
  assert.deepEqual(
    graces.map(({ delayMs }) => delayMs),
    [30_000],
  )
  graces[0]!.over()
  await assert.rejects(getting, { message: 'asked to stop' })
  await assert.rejects(store.get('begun'), { message: 'asked to stop' })
})

function setEnvironment(t: TestContext, values: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries(values)) {
    const before = process.env[name]
    t.after(() => setVariable(name, before))
    setVariable(name, value)
  }
}

function setVariable(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name]
  else process.env[name] = value
}

const nowhere = {
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_SHARED_CREDENTIALS_FILE: '/nowhere',
  AWS_CONFIG_FILE: '/nowhere',
  AWS_ACCESS_KEY_ID: undefined,
  AWS_SECRET_ACCESS_KEY: undefined,
  AWS_SESSION_TOKEN: undefined,
  AWS_PROFILE: undefined,
}

test('credentials that are not configured come from the chain of AWS, and their lack is told', async (t) => {
  const server = await startServer(t)
  const settings = await settingsFor(t, server, { credentials: null })
  setEnvironment(t, nowhere)
  await assert.rejects(openS3Store(settings, 'read', testDeps), {
    kind: 'preflight',
    message: /no AWS credentials were found \(Could not load credentials/,
  })
  await assert.rejects(openS3Store(settings, 'read', { ...testDeps, env: { AWS_PROFILE: 'vualt' } }), {
    kind: 'preflight',
    message: /none of a profile "vualt" \(AWS_PROFILE\) either/,
  })
  setEnvironment(t, {
    AWS_ACCESS_KEY_ID: testAccount.accessKeyId,
    AWS_SECRET_ACCESS_KEY: testAccount.secretAccessKey,
  })
  const store = await openS3Store(settings, 'read', testDeps)
  assert.equal(await store.get('x'), undefined)
  store.close()
})
