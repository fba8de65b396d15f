/** Deterministic segments for benchmarks of conversion: frames shaped and mixed as the venue sends them. */

import { createHash } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { seededRandom } from '../src/core/random.ts'
import type { ConvertOptions } from '../src/etl/convert.ts'
import { formatRfc3339Ns } from '../src/core/time.ts'
import { LineEncoder, connectionBytes, lineBytesMax } from '../src/segment/line.ts'

const recorder = 'benchbench'
const openedNs = 1_764_770_400_000_000_000n

/** How benchmarks convert it. */
export function benchPlan(label: string, scratchDir: string): ConvertOptions {
  return {
    scratchDir,
    venue: 'coinbase',
    job: `${label}_benchbench_1`,
    planGeneration: 1,
    partDigits: 'abc12345',
    onParts: () => undefined,
    software: 'mdv bench',
    numberType: 'decimal',
    compression: 'zstd',
    memoryLimitMb: 600,
    threads: 2,
  }
}

export interface BenchSegment {
  readonly sizeBytes: number
  /** Its first counter: the one after the last of the segment before. */
  readonly firstN: number
  readonly products: number
}

/** Writes a sealed segment of about `sizeBytes`; the same bytes for the same wishes. @returns lines */
export function writeBenchSegment(path: string, { sizeBytes, firstN, products }: BenchSegment): number {
  const random = seededRandom(firstN)
  const names = Array.from({ length: products }, (_, i) => productName(i))
  const file = openSync(path, 'w')
  const hash = createHash('sha256')
  const connection = connectionBytes(`${recorder}-1`)
  const encoder = new LineEncoder(firstN)
  const target = Buffer.alloc(1 << 20)
  let written = 0
  const put = (bytes: Buffer): void => {
    writeSync(file, bytes)
    hash.update(bytes)
    written += bytes.length
  }
  put(Buffer.from(`${JSON.stringify({ segment: { ...benchHeader, n: firstN } })}\n`))
  let lines = 0
  for (let fill = 0; written + fill < sizeBytes; lines++) {
    const k = firstN - 1 + lines
    const frame = Buffer.from(benchFrame(random, k, names))
    fill = encoder.frame(target, fill, openedNs + BigInt(k) * 900_017n + 41_000_000n, connection, frame)
    if (fill + lineBytesMax(connection, 65_536) < target.length && written + fill < sizeBytes) continue
    put(target.subarray(0, fill))
    fill = 0
  }
  const seal = {
    lines,
    bytes: written,
    sha256: hash.digest('hex'),
    first_n: firstN,
    last_n: firstN + lines - 1,
    first_recv_ns: String(openedNs + BigInt(firstN - 1) * 900_017n + 41_000_000n),
    last_recv_ns: String(openedNs + BigInt(firstN + lines - 2) * 900_017n + 41_000_000n),
    connections: [],
  }
  writeSync(file, `${JSON.stringify({ seal })}\n`)
  closeSync(file)
  return lines
}

const benchHeader = {
  format: 1,
  venue: 'coinbase',
  url: 'wss://bench.example',
  software: 'mdv bench',
  recorder,
  prev: null,
  opened_ns: String(openedNs),
}

/** A thousand different ones at most. */
function productName(i: number): string {
  return `${'ABCDEFGHIJ'[i % 10]}${'TCXYZKLMNO'[Math.trunc(i / 10) % 10]}${'CDEFGHIJKL'[Math.trunc(i / 100)]}-USD`
}

function benchFrame(random: () => number, k: number, products: readonly string[]): string {
  const sendNs = openedNs + BigInt(k) * 900_017n
  const head = (channel: string): string =>
    `{"channel":"${channel}","timestamp":"${formatRfc3339Ns(sendNs)}","sequence_num":${k},"events":[`
  const product = products[Math.trunc(random() * random() * products.length)]!
  const engine = formatRfc3339Ns(((sendNs - 31_000_000n) / 1000n) * 1000n)
  const draw = random()
  if (draw < 0.01)
    return `${head('heartbeats')}{"current_time":"2025-12-03 14:00:00.674409 +0000 UTC m=+139651.272674714","heartbeat_counter":${k}}]}`
  if (draw < 0.14) return `${head('ticker')}{"type":"update","tickers":[${tickerRow(random, product)}]}]}`
  const count = 1 + Math.trunc(random() * random() * (draw < 0.24 ? 5 : 20))
  if (draw < 0.24) {
    const trades = Array.from({ length: count }, (_, i) =>
      tradeRow(random, product, k * 32 + count - i, engine),
    )
    return `${head('market_trades')}{"type":"update","trades":[${trades.join()}]}]}`
  }
  const updates = Array.from(
    { length: count },
    (_, i) =>
      `{"side":"${i * 2 < count ? 'bid' : 'offer'}","event_time":"${engine}","price_level":"${price(random)}","new_quantity":"${random() < 0.3 ? '0' : decimal(random() * 40, 8)}"}`,
  )
  return `${head('l2_data')}{"type":"update","product_id":"${product}","updates":[${updates.join()}]}]}`
}

function tradeRow(random: () => number, product: string, id: number, time: string): string {
  const side = random() < 0.5 ? 'BUY' : 'SELL'
  return `{"product_id":"${product}","trade_id":"${id}","price":"${price(random)}","size":"${decimal(random(), 8)}","time":"${time}","side":"${side}"}`
}

function tickerRow(random: () => number, product: string): string {
  const p = (): string => price(random)
  const q = (): string => decimal(random() * 4, 8)
  return `{"type":"ticker","product_id":"${product}","price":"${p()}","volume_24_h":"${decimal(random() * 4000, 8)}","low_24_h":"${p()}","high_24_h":"${p()}","low_52_w":"${p()}","high_52_w":"${p()}","price_percent_chg_24_h":"${decimal(random() * 4 - 2, 14)}","best_bid":"${p()}","best_ask":"${p()}","best_bid_quantity":"${q()}","best_ask_quantity":"${q()}"}`
}

function price(random: () => number): string {
  return decimal(62_000 + random() * 1000, 2)
}

/** Plain decimal text, trailing zeros trimmed, as the venue prints. */
function decimal(value: number, digits: number): string {
  const text = value.toFixed(digits).replace(/\.?0+$/, '')
  return text === '-0' ? '0' : text
}
