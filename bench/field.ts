/**
 * Conversion against what people write themselves: `JSON.parse` of each line and a Parquet writer in JavaScript; and a dataframe library, where
 * `MDV_TEST_PYTHON` names a Python with Polars. Both keep doubles, one unsorted file a table, check nothing, and drop what they do not know. In turn:
 * `node dist/bench/field.js [MB] [TURNS]`.
 */

import { execFileSync } from 'node:child_process'
import { createReadStream, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parquetWriteBuffer, type ColumnSource } from 'hyparquet-writer'
import { convertSegments } from '../src/etl/convert.ts'
import { readySegmentKey } from '../src/storage/keys.ts'
import { benchPlan, writeBenchSegment } from './etl-segment.ts'
import { machine, median, printTable, tell } from './report.ts'
import { rowFields } from './venue-fields.ts'

const sizeMb = Number(process.argv[2] ?? 100)
const turns = Number(process.argv[3] ?? 5)
const label = 'segment_20251203T14_00001'
const words = new Set(['side', 'type', 'product_id', 'trade_id', 'event_time', 'time'])

type List = keyof typeof rowFields

interface Frame {
  readonly channel: string
  readonly timestamp: string
  readonly sequence_num: number
  readonly events: readonly ({ readonly type: string; readonly product_id?: string } & Partial<
    Record<List, readonly Readonly<Record<string, string>>[]>
  >)[]
}

/** Columns of one table as they fill. */
class Columns {
  readonly #fields: readonly string[]
  readonly #common: Record<'n' | 'recv_ns' | 'sequence_num', (number | bigint)[]> = {
    n: [],
    recv_ns: [],
    sequence_num: [],
  }
  readonly #timestamps: string[] = []
  readonly #products: string[] = []
  readonly #values: (string | number)[][]

  constructor(list: List) {
    this.#fields = rowFields[list]
    this.#values = this.#fields.map(() => [])
  }

  add(n: number, recvNs: bigint, frame: Frame, product: string, row: Readonly<Record<string, string>>): void {
    this.#common.n.push(n)
    this.#common.recv_ns.push(recvNs)
    this.#common.sequence_num.push(frame.sequence_num)
    this.#timestamps.push(frame.timestamp)
    this.#products.push(product)
    this.#fields.forEach((name, i) => this.#values[i]!.push(words.has(name) ? row[name]! : Number(row[name])))
  }

  sources(): ColumnSource[] {
    return [
      { name: 'n', data: this.#common.n.map(Number), type: 'DOUBLE' },
      { name: 'recv_ns', data: this.#common.recv_ns, type: 'INT64' },
      { name: 'sequence_num', data: this.#common.sequence_num.map(Number), type: 'DOUBLE' },
      { name: 'timestamp', data: this.#timestamps, type: 'STRING' },
      { name: 'product', data: this.#products, type: 'STRING' },
      ...this.#fields.map((name, i): ColumnSource => ({
        name: `row_${name}`,
        data: this.#values[i]!,
        type: words.has(name) ? 'STRING' : 'DOUBLE',
      })),
    ]
  }
}

async function byScript(path: string, dir: string): Promise<void> {
  const tables = new Map((Object.keys(rowFields) as List[]).map((list) => [list, new Columns(list)]))
  for await (const text of createInterface({ input: createReadStream(path) })) {
    const line = JSON.parse(text) as { readonly n?: number; readonly recv_ns?: string; readonly msg?: Frame }
    if (line.msg === undefined) continue
    for (const event of line.msg.events)
      for (const [list, columns] of tables)
        for (const row of event[list] ?? [])
          columns.add(line.n!, BigInt(line.recv_ns!), line.msg, event.product_id ?? row['product_id']!, row)
  }
  for (const [list, columns] of tables)
    writeFileSync(
      join(dir, `script.${list}.parquet`),
      Buffer.from(parquetWriteBuffer({ columnData: columns.sources() })),
    )
}

const polars = `
import sys, polars as pl
path, out = sys.argv[1:3]
row = lambda names: pl.List(pl.Struct({name: pl.String for name in names.split()}))
lists = {${Object.entries(rowFields)
  .map(([list, fields]) => `"${list}": "${fields.join(' ')}"`)
  .join(', ')}}
event = pl.Struct({"type": pl.String, "product_id": pl.String, **{name: row(fields) for name, fields in lists.items()}})
schema = {"n": pl.Int64, "recv_ns": pl.String, "msg": pl.Struct({"channel": pl.String, "timestamp": pl.String, "sequence_num": pl.Int64, "events": pl.List(event)})}
frames = pl.read_ndjson(path, schema=schema, ignore_errors=True).filter(pl.col("msg").is_not_null()).unnest("msg").explode("events").unnest("events")
for name, fields in lists.items():
    rows = frames.select("n", "recv_ns", "timestamp", "sequence_num", pl.col("product_id").alias("product"), name).filter(pl.col(name).list.len() > 0).explode(name).unnest(name)
    numbers = [field for field in fields.split() if field not in (${[...words].map((word) => `"${word}"`).join(', ')})]
    rows.with_columns(pl.col(numbers).cast(pl.Float64)).write_parquet(f"{out}/polars.{name}.parquet")
`

function byPolars(python: string, path: string, dir: string): void {
  execFileSync(python, ['-c', polars, path, dir], { stdio: ['ignore', 'ignore', 'inherit'] })
}

/** What it makes stays, as in a vault: removing files slows the making of others for a minute (ext4). */
async function convert(path: string, scratchDir: string): Promise<void> {
  const source = { key: readySegmentKey('coinbase', label), label, file: async () => path }
  await convertSegments([source], benchPlan(label, scratchDir), new AbortController().signal)
}

async function secondsOf(work: () => Promise<void> | void): Promise<number> {
  const from = performance.now()
  await work()
  return (performance.now() - from) / 1000
}

async function measure(dir: string): Promise<void> {
  const path = join(dir, `${label}.ndjson`)
  writeBenchSegment(path, { sizeBytes: sizeMb * 1e6, firstN: 1, products: 50 })
  const python = process.env['MDV_TEST_PYTHON']
  const times: { readonly own: number; readonly script: number; readonly polars: number | null }[] = []
  for (let turn = 0; turn < turns; turn++)
    times.push({
      script: await secondsOf(() => byScript(path, dir)),
      polars: python === undefined ? null : await secondsOf(() => byPolars(python, path, dir)),
      own: await secondsOf(() => convert(path, join(dir, `scratch_${turn}`))),
    })
  const rate = (seconds: readonly number[]): number => sizeMb / median(seconds)
  const own = rate(times.map((each) => each.own))
  const others = [
    { name: 'JSON.parse and a Parquet writer in JavaScript', seconds: times.map((each) => each.script) },
    { name: 'Polars', seconds: times.flatMap((each) => each.polars ?? []) },
  ].filter(({ seconds }) => seconds.length > 0)
  process.stdout.write(`${machine()}, a segment of ${sizeMb} MB, medians of ${turns}\n`)
  printTable(
    ['', 'MB/s', 'here beside it'],
    [
      ['mdv etl, all tables, exact, sorted, a file for each product', own.toFixed(1), ''],
      ...others.map(({ name, seconds }) => [
        `${name}: rows of three tables as doubles`,
        rate(seconds).toFixed(1),
        (own / rate(seconds)).toFixed(2),
      ]),
    ],
  )
  for (const { name, seconds } of others)
    tell({
      name: `conversion beside ${name}`,
      unit: 'MB/s',
      value: own,
      reference: rate(seconds),
      goal: { least: 3, of: 'ratio' },
    })
}

const dir = await mkdtemp(join(tmpdir(), 'mdv-bench-'))
try {
  await measure(dir)
} finally {
  await rm(dir, { recursive: true, force: true })
}
