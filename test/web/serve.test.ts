/** The server as a stranger meets it: what it refuses, what it cuts off, and that a whole answer is what was recorded. */

import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { VaultError } from '../../src/core/errors.ts'
import { Replay } from '../../src/query/replay/replay.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { replayAnswer } from '../../src/web/replay.ts'
import { isLoopback, startServer, type Answer } from '../../src/web/server.ts'
import { lineText, putSegment, type Recorded } from '../query/recording.ts'

const folder = await mkdtemp(join(tmpdir(), 'mdv-serve-'))
const store = await openLocalStore(folder)
const lines = Array.from({ length: 50 }, (_, i): Recorded => ({
  recorder: 'aaaaaaaaaa',
  n: i + 1,
  recvNs: 1_764_770_400_000_000_000n + BigInt(i),
  frame: `{"channel":"ticker","events":[],"sequence_num":${i}}`,
}))
await putSegment(store, 'segment_20251203T14_00001', lines)

const idleMs = 60_000
const troubles: string[] = []
let opened = 0
const ended = new EventEmitter()
const started = new EventEmitter()
const routes: Record<string, Answer> = {
  '/v1/replay': replayAnswer(async (asked, signal) => {
    const options = { memoryLimitMb: 256, scratchDir: join(folder, 'scratch') }
    return Replay.open(store, 'coinbase', asked, options, signal)
  }, idleMs),
  '/first': replayAnswer(
    async () => ({
      // oxlint-disable-next-line require-yield
      async *bytes() {
        throw new VaultError('corrupt', 'its first part is damaged')
      },
      [Symbol.asyncDispose]: async () => undefined,
    }),
    idleMs,
  ),
  '/early': async () => {
    throw new VaultError('unavailable', 'the bucket is away', { remedy: 'wait' })
  },
  '/late': async (_query, response) => {
    response.write('{"n":1}\n')
    throw new VaultError('corrupt', 'the rest is damaged')
  },
  '/second': async (_query, response, signal) => {
    response.write('{"n":1}\n')
    started.emit('second')
    await once(signal, 'abort')
    ended.emit('two')
  },
  '/endless': async (_query, response, signal) => {
    opened++
    response.write('{"n":1}\n')
    await once(signal, 'abort')
    ended.emit('one')
  },
}
const server = await startServer({
  host: '127.0.0.1',
  port: 0,
  routes,
  onTrouble: (words) => troubles.push(words),
})
after(async () => {
  await server.close()
  await rm(folder, { recursive: true, force: true })
})

async function get(
  path: string,
  options: { readonly method?: string; readonly headers?: Record<string, string> } = {},
): Promise<IncomingMessage> {
  const { hostname, port } = new URL(server.url)
  const asked = request({ hostname, port, path, agent: false, ...options })
  asked.end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  return response
}

test('a replay is the recorded lines as NDJSON', async () => {
  const response = await get('/v1/replay?date=2025-12-03&channels=ticker')
  assert.equal(response.statusCode, 200)
  assert.equal(response.headers['content-type'], 'application/x-ndjson')
  assert.equal(await text(response), lines.map(lineText).join(''))
})

test('bad questions are answered in one line, with the way out', async () => {
  const cases: [string, number, RegExp][] = [
    ['/v1/replay?from=now', 400, /^\{"error":"from= \\"now\\": not an instant","remedy":"write it as/],
    ['http://[', 400, /not an address/],
    ['/v1/replay?fro=2025-12-03', 400, /"fro=: not a question"/],
    ['/v1/replay?from=2025-12-03&from=2025-12-04', 400, /"from=: twice"/],
    ['/v1/replay/../../etc/passwd', 404, /"error"/],
    ['/__proto__', 404, /there is \/v1\/replay/],
    ['/first', 500, /^\{"error":"its first part is damaged"\}/],
    ['/early', 503, /"the bucket is away","remedy":"wait"/],
  ]
  for (const [path, status, body] of cases) {
    const response = await get(path)
    assert.equal(response.statusCode, status, path)
    assert.match(await text(response), body)
  }
  assert.equal((await get('/v1/replay', { method: 'POST' })).statusCode, 405)
  assert.deepEqual(troubles.splice(0), ['/first: its first part is damaged', '/early: the bucket is away'])
})

test('a page whose name leads to this machine is turned away', async () => {
  for (const host of ['evil.example', 'evil.example:80', '127.0.0.1.evil.example'])
    assert.equal((await get('/v1/replay', { headers: { host } })).statusCode, 403, host)
  for (const host of ['localhost', 'localhost:1234', '[::1]:80', '127.0.0.1'])
    assert.equal((await get('/v1/replay', { headers: { host } })).statusCode, 200, host)
  assert.deepEqual(
    ['127.0.0.1', '127.9.9.9', '::1', 'localhost', '0.0.0.0', '::', '10.0.0.1', '127.evil'].map(isLoopback),
    [true, true, true, true, false, false, false, false],
  )
})

test('what goes wrong after the first byte cuts the answer off: a part is never taken for the whole', async () => {
  await assert.rejects(text(await get('/late')), { code: 'ECONNRESET' })
  assert.deepEqual(troubles.splice(0), ['/late: the rest is damaged'])
})

test('HTTP/1.0, where the end of the connection ends an answer, is refused', async () => {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  socket.end('GET /late HTTP/1.0\r\nHost: localhost\r\n\r\n')
  assert.match(await text(socket), /^HTTP\/1\.1 505 /)
})

test('a reader that leaves ends its answer, and no more than eight go on at once', async () => {
  const responses = await Promise.all(Array.from({ length: 8 }, () => get('/endless')))
  assert.equal(opened, 8)
  const ninth = await get('/v1/replay')
  assert.equal(ninth.statusCode, 503)
  assert.match(await text(ninth), /8 answers are under way/)
  for (const response of responses) {
    const end = once(ended, 'one')
    response.destroy()
    await end
  }
  assert.equal((await get('/v1/replay')).statusCode, 200)
  troubles.length = 0
})

test('a client that asked several things at once and left holds none of the places', async () => {
  const began = opened
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  const left = Promise.all([once(ended, 'one'), once(ended, 'two')])
  socket.write(
    'GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\nGET /second HTTP/1.1\r\nHost: localhost\r\n\r\n',
  )
  await once(started, 'second')
  assert.equal(opened, began + 1)
  socket.destroy()
  await left
})

test('a reader that takes nothing holds nothing, and is cut off', async () => {
  const block = Buffer.alloc(1 << 20, 'x')
  let taken = 0
  const stalled = {
    async *bytes(): AsyncGenerator<Buffer> {
      for (;;) {
        taken++
        yield block
      }
    },
    [Symbol.asyncDispose]: async () => void ended.emit('stalled'),
  }
  const slow = await startServer({
    host: '127.0.0.1',
    port: 0,
    routes: { '/': replayAnswer(async () => stalled, 100) },
    onTrouble: () => undefined,
  })
  const end = once(ended, 'stalled')
  const socket = connect(Number(new URL(slow.url).port), '127.0.0.1')
  socket.pause()
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await end
  assert.ok(taken > 0 && taken < 32, `${taken} MiB were read for a reader that took none`)
  socket.destroy()
  await slow.close()
})

test('a port that is taken is named, with the way out', async () => {
  const port = Number(new URL(server.url).port)
  await assert.rejects(startServer({ host: '127.0.0.1', port, routes: {}, onTrouble: () => undefined }), {
    kind: 'preflight',
    message: new RegExp(`^127\\.0\\.0\\.1:${port}: .*EADDRINUSE`),
  })
})

test('a server that is stopped cuts what is under way and ends', async () => {
  const other = await startServer({ host: '127.0.0.1', port: 0, routes, onTrouble: () => undefined })
  const asked = request(`${other.url}/endless`, { agent: false })
  asked.end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  await other.close()
  await assert.rejects(text(response))
})
