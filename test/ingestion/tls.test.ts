/** TLS: a server whose certificate nobody vouches for, or that is another's, gets no subscribe and gives no product list. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { DEFAULT_MIN_VERSION } from 'node:tls'
import { WebSocket, WebSocketServer } from 'ws'
import { fetchText } from '../../src/ingestion/products.ts'

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

async function withTls(use: (port: number, requests: string[]) => Promise<void>): Promise<void> {
  const requests: string[] = []
  const server = createServer({ key, cert }, (request, response) => {
    requests.push(request.url ?? '')
    response.end('{}')
  })
  new WebSocketServer({ server }).on('connection', () => requests.push('socket'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await use((server.address() as AddressInfo).port, requests)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

test('a certificate signed by itself is refused by the product list and by the socket, before anything is said', async () => {
  await withTls(async (port, requests) => {
    await assert.rejects(fetchText(`https://localhost:${port}/`, new AbortController().signal), {
      kind: 'unavailable',
      message: /self-signed certificate/,
    })
    const socket = new WebSocket(`wss://localhost:${port}`)
    const [error] = (await once(socket, 'error')) as [Error]
    assert.match(error.message, /self-signed certificate/)
    assert.deepEqual(requests, [])
  })
})

test('one that is trusted is refused for another host', async () => {
  await withTls(async (port, requests) => {
    const trusted = new WebSocket(`wss://localhost:${port}`, { ca: cert })
    await once(trusted, 'open')
    trusted.terminate()
    const other = new WebSocket(`wss://127.0.0.1:${port}`, { ca: cert })
    const [error] = (await once(other, 'error')) as [Error]
    assert.match(error.message, /does not match certificate's altnames|IP/)
    assert.deepEqual(requests, ['socket'])
  })
})

test('the oldest TLS that is spoken is 1.2', () => {
  assert.equal(DEFAULT_MIN_VERSION, 'TLSv1.2')
})
