/** What a connection does with each frame it receives. */

import assert from 'node:assert/strict'
import { coinbase } from '../../src/venue/coinbase.ts'
import type { FrameScan } from '../../src/venue/venue.ts'

const into: FrameScan = { sequence: -1, kind: 'data' }

export function venueScan(bytes: Buffer): unknown {
  coinbase.scan(bytes, into)
  assert.ok(Number.isSafeInteger(into.sequence) && into.sequence >= -1, `sequence ${into.sequence}`)
  return coinbase.notice(bytes, into.kind)
}
