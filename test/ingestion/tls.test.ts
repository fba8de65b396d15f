/** TLS: a server whose certificate nobody vouches for, or that is another's, gets no subscribe and gives no product list. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { DEFAULT_MIN_VERSION } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { WebSocketServer } from 'ws'
import { fetchText } from '../../src/ingestion/products.ts'
import { dialWebSocket } from '../../src/ingestion/socket.ts'

/** Of `localhost`, signed by itself, until 2126; it opens nothing but this test. */
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgRD3BZ0a/f1D3gBjZ
FI89SsJOr2QtxeeLZ9jLM8Yh/gehRANCAAQLMZcb9/ywSR5lk8I+NvQJtjt3XH8E
7qLaNwgGKAWMX8mgWk6RGxGCpE+S2LzK+/22Twoquq5WWOR26aChdA8O
-----END PRIVATE KEY-----`
const cert = `-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUdTGb7xHYFPfO9bFQI4fGQHuJjFEwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNzAwMDAyMFoYDzIxMjYxMTAz
MDAwMDIwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQLMZcb9/ywSR5lk8I+NvQJtjt3XH8E7qLaNwgGKAWMX8mgWk6RGxGC
pE+S2LzK+/22Twoquq5WWOR26aChdA8Oo2kwZzAdBgNVHQ4EFgQU7Yo0qQjjx3kw
3yrnxv4Uoe4Cg6kwHwYDVR0jBBgwFoAU7Yo0qQjjx3kw3yrnxv4Uoe4Cg6kwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SAAwRQIhAPN8HnkXe4NERSAwiVV66nMqU/zFgLUXDFlCP2UXI7LXAiAA+yUDj0hB
s7Z1srLC+qsVOdfp5lTwvVUHwfKvrPJG5Q==
-----END CERTIFICATE-----`

/** Says what it is asked for; to a socket that has spoken, three frames and goodbye. */
async function withTls(use: (port: number, requests: string[]) => Promise<void>): Promise<void> {
  const requests: string[] = []
  const server = createServer({ key, cert }, (request, response) => {
    requests.push(request.url ?? '')
    response.end('{}')
  })
  new WebSocketServer({ server }).on('connection', (socket) => {
    socket.on('message', (data) => {
      requests.push(`socket: ${(data as Buffer).toString()}`)
      for (const sizeBytes of [2, 100_000, 3_000_000]) socket.send('x'.repeat(sizeBytes))
      socket.close(1000, 'enough')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await use((server.address() as AddressInfo).port, requests)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

/** What the recorder's socket hears there, in a process that trusts the certificate. */
async function dialTrusting(url: string): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'mdv-tls-'))
  try {
    await writeFile(join(folder, 'ca.pem'), cert)
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') }
    const script = fileURLToPath(new URL('dial.js', import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [script, url], { env })
    return stdout.trimEnd().split('\n')
  } finally {
    await rm(folder, { recursive: true })
  }
}

test('a certificate signed by itself is refused by the product list and by the socket, before anything is said', async () => {
  await withTls(async (port, requests) => {
    await assert.rejects(fetchText(`https://localhost:${port}/`, new AbortController().signal), {
      kind: 'unavailable',
      message: /self-signed certificate/,
    })
    const detail = await new Promise<string>((resolve) => {
      const ignored = (): void => undefined
      const url = `wss://localhost:${port}`
      dialWebSocket(url, { opened: ignored, read: ignored, frame: ignored, closed: (_, why) => resolve(why) })
    })
    assert.match(detail, /self-signed certificate/)
    assert.deepEqual(requests, [])
  })
})

test('one that is trusted is heard by its name, and refused for another host', async () => {
  await withTls(async (port, requests) => {
    assert.deepEqual(await dialTrusting(`wss://localhost:${port}`), [
      'frame of 2: xx',
      `frame of 100000: ${'x'.repeat(20)}`,
      `frame of 3000000: ${'x'.repeat(20)}`,
      'closed 1000 enough',
    ])
    const [closed] = await dialTrusting(`wss://127.0.0.1:${port}`)
    assert.match(closed!, /^closed 1006 .*(does not match certificate's altnames|IP)/)
    assert.deepEqual(requests, ['socket: hello'])
  })
})

test('the oldest TLS that is spoken is 1.2', () => {
  assert.equal(DEFAULT_MIN_VERSION, 'TLSv1.2')
})
