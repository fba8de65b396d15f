/** The product list: looked up, waited for, compared with what was asked. */

import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { VaultError } from '../../src/core/errors.ts'
import {
  awaitProducts,
  compareList,
  fetchText,
  listProducts,
  refuseUnknown,
} from '../../src/ingestion/products.ts'
import { coinbase } from '../../src/venue/coinbase.ts'
import { ManualClock } from '../segment/manual-clock.ts'

const never = new AbortController().signal

function body(...ids: string[]): string {
  return JSON.stringify({ products: ids.map((product_id) => ({ product_id, status: 'online' })) })
}

async function withServer(listener: RequestListener, use: (url: string) => Promise<void>): Promise<void> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

test('ids are sorted, each once, from the path the venue has', async () => {
  const asked: string[] = []
  const get = async (url: string): Promise<string> => {
    asked.push(url)
    return body('ETH-USD', 'BTC-USD', 'ETH-USD')
  }
  assert.deepEqual(await listProducts(coinbase, 'https://rest.test', get, never), ['BTC-USD', 'ETH-USD'])
  assert.deepEqual(asked, ['https://rest.test/api/v3/brokerage/market/products'])
})

test('a list of nothing is no list: recording nothing would look like success', async () => {
  await assert.rejects(
    listProducts(coinbase, 'https://rest.test', async () => body(), never),
    {
      kind: 'unavailable',
      message: /names no product that is traded/,
    },
  )
})

test('a recorder started before its network waits longer each time and has the list in the end', async () => {
  const clock = new ManualClock()
  const waits: number[] = []
  const waiting = Object.assign(Object.create(clock) as ManualClock, {
    sleep: async (delayMs: number) => void waits.push(delayMs),
  })
  let left = 8
  const get = async (): Promise<string> => {
    if (left-- > 0) throw new VaultError('unavailable', 'no network')
    return body('BTC-USD')
  }
  let failures = 0
  const products = await awaitProducts(coinbase, 'https://rest.test', get, waiting, () => failures++, never)
  assert.deepEqual(products, ['BTC-USD'])
  assert.equal(failures, 8)
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
})

test('a failure that waiting does not help is not waited for', async () => {
  const get = (): Promise<string> => Promise.reject(new TypeError('a bug'))
  await assert.rejects(
    awaitProducts(coinbase, 'https://rest.test', get, new ManualClock(), () => assert.fail(), never),
    { message: 'a bug' },
  )
})

test('an unknown product is refused with the nearest one; an alias is known by its label', () => {
  const listed = ['BTC-USD', 'ETH-USD', 'SOL-USD']
  refuseUnknown(coinbase, ['BTC-USD', 'ETH-USDC'], listed)
  assert.throws(() => refuseUnknown(coinbase, ['BTC-USD', 'ETH-UDS', 'QQQQQQ-JPY'], listed), {
    kind: 'config',
    message: 'coinbase.product_ids: the venue has no "ETH-UDS" (did you mean "ETH-USD"?), "QQQQQQ-JPY"',
  })
})

const answers: readonly (readonly [what: string, answer: RequestListener, message: RegExp])[] = [
  [
    'a redirect is not followed',
    (_request, response) => response.writeHead(302, { location: 'http://169.254.169.254/' }).end(),
    /^GET http:\S+: .*redirect/,
  ],
  ['a server error is named', (_request, response) => response.writeHead(503).end('busy'), /HTTP 503$/],
  [
    'an answer without end is cut off',
    (_request, response) => {
      const piece = Buffer.alloc(1024 * 1024, 0x20)
      const more = (): void => {
        while (!response.destroyed && response.write(piece));
      }
      response.writeHead(200).on('drain', more)
      more()
    },
    /more than 67108864 bytes/,
  ],
  ['a hang-up is named', (request) => request.socket.destroy(), /^GET http:\S+: \S/],
]

for (const [what, answer, message] of answers) {
  test(what, async () => {
    await withServer(answer, async (url) => {
      await assert.rejects(fetchText(`${url}/list`, never), { kind: 'unavailable', message })
    })
  })
}

test('nobody there is an outside failure that names the address', async () => {
  await assert.rejects(fetchText('http://127.0.0.1:9/list', never), {
    kind: 'unavailable',
    message: /^GET http:\/\/127\.0\.0\.1:9\/list: /,
  })
})

test('a stop ends the wait for an answer', async () => {
  const stop = new AbortController()
  await withServer(
    () => stop.abort(),
    async (url) => {
      await assert.rejects(fetchText(`${url}/list`, stop.signal), { name: 'AbortError' })
    },
  )
})

test('a product is gone when two looks in a row lack it, and is back with the first that has it', () => {
  const look = (listed: readonly string[], recorded: readonly string[], missingBefore: readonly string[]) =>
    compareList(coinbase, 'all', recorded, listed, missingBefore)
  const both = ['A-USD', 'B-USD']
  assert.deepEqual(look(['A-USD'], both, []), { added: [], removed: [], missing: ['B-USD'] })
  assert.deepEqual(look(both, both, ['B-USD']), { added: [], removed: [], missing: [] })
  assert.deepEqual(look(['A-USD'], both, ['B-USD']), { added: [], removed: ['B-USD'], missing: ['B-USD'] })
  assert.deepEqual(look(both, ['A-USD'], ['B-USD']), { added: ['B-USD'], removed: [], missing: [] })
})

test('of named products only those are taken up and given up; an alias is listed under its own product', () => {
  const wanted = ['A-USD', 'BTC-USDC']
  const look = (listed: readonly string[], recorded: readonly string[]) =>
    compareList(coinbase, wanted, recorded, listed, ['A-USD'])
  assert.deepEqual(look(['BTC-USD', 'C-USD'], wanted), { added: [], removed: ['A-USD'], missing: ['A-USD'] })
  assert.deepEqual(look(['BTC-USD', 'C-USD'], ['BTC-USDC']), { added: [], removed: [], missing: ['A-USD'] })
  assert.deepEqual(look(['A-USD', 'BTC-USD'], ['BTC-USDC']), { added: ['A-USD'], removed: [], missing: [] })
})
