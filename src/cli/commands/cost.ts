/** `mdv cost`: what a month in a bucket costs, line by line. */

import { formatBytes } from '../../core/bytes.ts'
import { VaultError } from '../../core/errors.ts'
import {
  assumedRates,
  measuredRates,
  monthlyCost,
  type CostLine,
  type CostSettings,
  type DailyRates,
} from '../../query/cost.ts'
import { processed, rawArchive, rawReady } from '../../storage/keys.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { readReceipts } from '../../table/receipts.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import type { Config } from '../config.ts'
import { openForReading } from '../open-reading.ts'

const venue = 'coinbase'

export const command: Command = {
  name: 'cost',
  summary: "estimate a month's bill in a bucket, from measured rates or assumed ones",
  example: 'mdv cost --mb-per-second 1 --stored-gb 1000 --products 100 --latency-minutes 60',
  sections: ['cost', 'etl', 'storage'],

  configure(parser) {
    parser
      .option('--mb-per-second <n>', 'assume this much recorded, instead of measuring what the vault holds')
      .option('--stored-gb <n>', 'assume this much stored')
      .option('--products <n>', 'with --mb-per-second: how many products (default: 100)')
      .option(
        '--latency-minutes <n>',
        'with --mb-per-second: what one conversion takes together (default: 60)',
      )
  },

  async run(context): Promise<ExitCode> {
    const config = await context.config()
    const rate = number(context, 'mbPerSecond', '--mb-per-second')
    const assumedGb = number(context, 'storedGb', '--stored-gb')
    const isAssumed = rate !== null && assumedGb !== null
    const found = isAssumed ? null : await measure(context, config)
    const rates = rate === null ? found!.rates : assumedRates(assumptions(context, config, rate))
    const storedBytes = assumedGb === null ? found!.storedBytes : assumedGb * 1e9
    const lines = monthlyCost(rates, storedBytes, settingsOf(config, rate !== null))
    await context.output.out(context.json ? jsonText(rates, lines) : tableText(rates, lines))
    return 0
  },
}

function number(context: CommandContext, key: string, flag: string): number | null {
  const given = context.options[key]
  if (given === undefined) return null
  const value = Number(given)
  if (Number.isFinite(value) && value > 0) return value
  throw new VaultError('usage', `${flag} ${JSON.stringify(given)}: not a number above 0`)
}

function assumptions(context: CommandContext, config: Config, mbPerSecond: number) {
  return {
    mbPerSecond,
    products: number(context, 'products', '--products') ?? 100,
    secondsPerJob: (number(context, 'latencyMinutes', '--latency-minutes') ?? 60) * 60,
    segmentMb: config.ingestion.segment_max_mb,
    segmentSeconds: config.ingestion.segment_max_seconds,
  }
}

/** What is only assumed is priced as if all of it lay in a bucket. */
function settingsOf({ storage, etl, cost }: Config, isAssumed: boolean): CostSettings {
  return {
    isRawInBucket: isAssumed || storage.ingestion.backend === 's3',
    isProcessedInBucket: isAssumed || storage.processed.backend === 's3',
    pollSeconds: etl.poll_interval_seconds,
    prices: {
      storageGbMonth: cost.storage_gb_month,
      putPer1000: cost.put_per_1000,
      getPer1000: cost.get_per_1000,
    },
  }
}

interface Measured {
  readonly rates: DailyRates
  readonly storedBytes: number
}

async function measure(context: CommandContext, config: Config): Promise<Measured> {
  const store = await openForReading(context, config.storage)
  const receipts = await readReceipts(store, venue, context.signal)
  const rates = measuredRates(receipts)
  if (rates === null)
    throw new VaultError('usage', `${store.location} holds less than a minute of converted recording`, {
      remedy: `assume it: ${command.example}`,
    })
  return { rates, storedBytes: await storedBytes(store, config, context.signal) }
}

async function storedBytes(store: ObjectStore, { storage }: Config, signal: AbortSignal): Promise<number> {
  const inBucket = [
    ...(storage.raw.backend === 's3' ? [rawReady(venue), rawArchive(venue)] : []),
    ...(storage.processed.backend === 's3' ? [processed(venue)] : []),
  ]
  let total = 0
  for (const prefix of inBucket)
    for await (const batch of store.list(prefix, signal))
      for (const { sizeBytes } of batch) total += sizeBytes
  return total
}

function jsonText(rates: DailyRates, lines: readonly CostLine[]): string {
  return `${JSON.stringify({ per_day: rates, lines, dollars_per_month: sum(lines) }, null, 2)}\n`
}

function tableText(rates: DailyRates, lines: readonly CostLine[]): string {
  const { rawBytes, segments, jobs, parts, parquetBytes } = rates
  const day =
    `a day: ${formatBytes(Math.round(rawBytes))} in ${Math.round(segments)} segments, ` +
    `${Math.round(jobs)} conversions, ${formatBytes(Math.round(parquetBytes))} of Parquet in ${Math.round(parts)} parts\n\n`
  const body = lines.map(
    ({ what, kind, count, dollarsPerMonth }) =>
      `${what.padEnd(54)}${countText(kind, count).padStart(18)}${dollars(dollarsPerMonth).padStart(10)}\n`,
  )
  return `${day}${body.join('')}${'a month'.padEnd(72)}${dollars(sum(lines)).padStart(10)}\n`
}

function countText(kind: CostLine['kind'], count: number): string {
  return kind === 'GB' ? `${count.toFixed(1)} GB` : `${Math.round(count).toLocaleString('en')} ${kind}/day`
}

function dollars(amount: number): string {
  return `$${amount.toFixed(2)}`
}

function sum(lines: readonly CostLine[]): number {
  return lines.reduce((total, line) => total + line.dollarsPerMonth, 0)
}
