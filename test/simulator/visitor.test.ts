/** The simulator listens to this machine only, and to no web page that a browser on it has open. */

import assert from 'node:assert/strict'
import { request, type OutgoingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import type { Simulator } from '../../src/simulator/simulator.ts'
import { withSimulator } from './client.ts'

function statusOf(simulator: Simulator, method: string, path: string, headers: OutgoingHttpHeaders) {
  return new Promise<number>((resolve, reject) => {
    const options = { host: '127.0.0.1', port: simulator.port, method, path, headers }
    request(options, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
      .on('error', reject)
      .end()
  })
}

const foreign: readonly OutgoingHttpHeaders[] = [
  { host: 'evil.example' },
  { host: 'evil.example:80' },
  { host: '127.0.0.1.evil.example' },
  { host: 'localhost.evil.example' },
  { host: '10.0.0.1' },
  { origin: 'https://evil.example' },
  { origin: 'null' },
  { origin: 'http://localhost.evil.example' },
  { origin: 'file://' },
]

test('names and pages of others are refused on every path, and change nothing', async () => {
  await withSimulator({}, async (simulator) => {
    for (const headers of foreign)
      for (const [method, path] of [
        ['GET', '/control/account'],
        ['POST', '/control/pause'],
        ['POST', '/control/delist'],
        ['GET', '/api/v3/brokerage/market/products'],
      ] as const)
        assert.equal(await statusOf(simulator, method, path, headers), 403, JSON.stringify(headers))
    const own = { host: `localhost:${simulator.port}`, origin: `http://127.0.0.1:${simulator.port}` }
    assert.equal(await statusOf(simulator, 'GET', '/control/account', own), 200)
  })
})

test('a socket from a page of another site is not opened', async () => {
  await withSimulator({}, async (simulator) => {
    const socket = new WebSocket(simulator.wsUrl, { origin: 'https://evil.example' })
    const error = await new Promise<Error>((resolve, reject) => {
      socket.on('error', resolve).on('open', () => reject(new Error('opened')))
    })
    assert.match(error.message, /403/)
    assert.equal(simulator.account().connections.length, 0)
  })
})

test('nothing listens on other addresses of this machine', async (t) => {
  const others = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .filter(({ internal, family }) => !internal && family === 'IPv4')
  if (others.length === 0) return t.skip('this machine has none')
  await withSimulator({}, async (simulator) => {
    for (const { address } of others) {
      const code = await new Promise<string>((resolve) => {
        const socket = connect({ host: address, port: simulator.port })
        socket.on('connect', () => resolve('connected')).on('error', (error) => resolve(String(error)))
      })
      assert.match(code, /ECONNREFUSED/)
    }
  })
})
