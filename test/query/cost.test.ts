/** The bill: its arithmetic by hand, and rates from receipts. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assumedRates, measuredRates, monthlyCost, type CostSettings } from '../../src/query/cost.ts'
import type { Receipt } from '../../src/table/receipt.ts'

const prices = { storageGbMonth: 0.023, putPer1000: 0.005, getPer1000: 0.0004 }
const inBucket: CostSettings = {
  isRawInBucket: true,
  isProcessedInBucket: true,
  pollSeconds: 30,
  prices,
}
const assumed = { mbPerSecond: 1, products: 100, secondsPerJob: 3600, segmentMb: 100, segmentSeconds: 300 }

function total(settings: CostSettings, storedBytes: number): number {
  const lines = monthlyCost(assumedRates(assumed), storedBytes, settings)
  return lines.reduce((sum, line) => sum + line.dollarsPerMonth, 0)
}

test('1 MB/s is 864 segments of 100 MB, 24 conversions and 7200 parts a day', () => {
  const rates = assumedRates(assumed)
  assert.equal(rates.rawBytes, 86_400_000_000)
  assert.equal(rates.segments, 864)
  assert.equal(rates.jobs, 24)
  assert.equal(rates.parts, 7200)
})

test('a quiet recording is sealed by age, and never converted more often than sealed', () => {
  const rates = assumedRates({ ...assumed, mbPerSecond: 0.001, secondsPerJob: 1 })
  assert.equal(rates.segments, 288)
  assert.equal(rates.jobs, 288)
})

test('1 TB stored and 1 MB/s recorded stay below 30 dollars a month at a latency of an hour', () => {
  const dollars = total({ ...inBucket, pollSeconds: 60 }, 1e12)
  assert.ok(dollars > 23 && dollars < 30, `${dollars}`)
})

test('a conversion a segment costs thirty times as many parts', () => {
  const each = assumedRates({ ...assumed, secondsPerJob: 100 })
  assert.equal(each.parts / assumedRates(assumed).parts, 36)
})

test('layers on disk cost no requests', () => {
  const lines = monthlyCost(assumedRates(assumed), 0, {
    ...inBucket,
    isRawInBucket: false,
    isProcessedInBucket: false,
  })
  assert.deepEqual(
    lines.map((line) => [line.kind, line.dollarsPerMonth]),
    [['GB', 0]],
  )
})

test('rates are measured over the time that receipts span, and not at all below a minute', () => {
  const receipt = (fromS: number, untilS: number): Receipt =>
    ({
      sources: [
        {
          size_bytes: 1000,
          first_recv_ns: `${fromS}000000000`,
          last_recv_ns: `${untilS}000000000`,
        },
      ],
      parts: [{ size_bytes: 10 }, { size_bytes: 20 }],
    }) as unknown as Receipt
  assert.equal(measuredRates([receipt(1_700_000_000, 1_700_000_030)]), null)
  assert.equal(measuredRates([]), null)
  const rates = measuredRates([receipt(1_700_000_000, 1_700_000_300), receipt(1_700_000_300, 1_700_000_600)])!
  assert.equal(rates.segments, 2 * 144)
  assert.equal(rates.rawBytes, 2000 * 144)
  assert.equal(rates.parquetBytes, 60 * 144)
  assert.equal(rates.parts, 4 * 144)
})
