/** `mdv simulate` says where it listens, serves, and ends. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CommandContext } from '../../src/cli/command.ts'
import { command } from '../../src/cli/commands/simulate.ts'
import { systemClock } from '../../src/cli/system-clock.ts'

function contextOf(
  options: Record<string, string>,
  signal: AbortSignal,
  out: (text: string) => Promise<void>,
) {
  const defaults = { port: '0', rate: '100', products: 'BTC-USD,NEW-USD', seed: '1', faultRate: '0' }
  return {
    clock: systemClock,
    options: { ...defaults, bookDepth: '10', ...options },
    output: { out, err: () => undefined, isTerminal: false },
    signal,
    json: true,
  } as unknown as CommandContext
}

test('the first line has the addresses, which serve until the command is stopped', async () => {
  const stop = new AbortController()
  let count = 0
  const context = contextOf({}, stop.signal, async (text) => {
    const { ws_url, rest_url, control_url, port } = JSON.parse(text) as Record<string, string | number>
    assert.equal(ws_url, `ws://127.0.0.1:${port}`)
    assert.equal(control_url, `${rest_url}/control`)
    const answer = await fetch(`${rest_url}/api/v3/brokerage/market/products`)
    count = ((await answer.json()) as { num_products: number }).num_products
    stop.abort()
  })
  assert.equal(await command.run(context), 0)
  // The two, BTC-USDC as an alias, and one that is offline.
  assert.equal(count, 4)
})

test('an unknown fault and a number that is none are usage errors', async () => {
  const wrong: readonly Record<string, string>[] = [
    { faults: 'drop,oops' },
    { fault: 'oops=0.1' },
    { fault: 'drop' },
    { fault: 'drop=2' },
    { rate: 'fast' },
    { products: '0' },
  ]
  for (const options of wrong) {
    const context = contextOf(options, new AbortController().signal, () => Promise.resolve())
    await assert.rejects(command.run(context), { kind: 'usage' })
  }
})
