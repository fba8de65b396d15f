/**
 * `npm run bench`: every benchmark in turn, each in a process of its own, and what each reached at the end. `npm run bench -- etl start`
 * runs only those; `--json FILE` and `--chart FILE` keep the figures and draw them, `--quick` takes fewer turns where there are turns, and
 * `--check` ends with 1 where a figure has sunk below its floor.
 */

import { fork } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { chartSvg } from './chart.ts'
import { floorOf } from './floors.ts'
import { machine, printTable, ratioOf, reached, type Figure } from './report.ts'

/** And what they are given for a quick look. */
const benchmarks: Readonly<Record<string, readonly string[]>> = {
  ingest: ['600000', '3'],
  snapshots: ['6', '1'],
  etl: ['100', '3'],
  field: ['100', '3'],
  sizes: [],
  query: ['3'],
  start: ['7'],
  replay: ['5', '2'],
  growth: ['1'],
  listing: [],
  'segment-append': [],
  simulator: [],
  transfer: [],
  requests: [],
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    chart: { type: 'string' },
    quick: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
  },
})

/** More than the longest takes on a busy machine. */
const longestMs = 1_800_000

/** @returns its figures; none from one that compares nothing */
function run(name: string): Promise<Figure[]> {
  const args = benchmarks[name]!
  process.stdout.write(`\n== ${name}\n`)
  const script = fileURLToPath(new URL(`${name}.js`, import.meta.url))
  const child = fork(script, values.quick ? [...args] : [], {
    stdio: 'inherit',
    // As it is: what is no number would be null in JSON.
    serialization: 'advanced',
    timeout: longestMs,
    killSignal: 'SIGKILL',
  })
  const figures: Figure[] = []
  child.on('message', (figure) => figures.push(figure as Figure))
  return new Promise((resolve) => {
    child.once('close', (code) => {
      if (code !== 0 || (values.check && figures.length === 0)) process.exitCode = 1
      resolve(figures)
    })
  })
}

function rowOf(figure: Figure): string[] {
  const { name, unit, value, reference, goal } = figure
  const bound = 'least' in goal ? `at least ${goal.least}` : `at most ${goal.most}`
  const digits = Math.max(value, reference) < 100 ? 2 : 0
  return [
    name,
    value.toFixed(digits),
    reference.toFixed(digits),
    unit,
    goal.of === 'ratio' ? ratioOf(figure).toFixed(3) : '',
    `${bound}${goal.of === 'ratio' ? '' : ` ${unit}`}`,
    reached(figure) >= 1 ? 'yes' : 'no',
  ]
}

const names = positionals.length > 0 ? positionals : Object.keys(benchmarks)
const strange = names.find((name) => benchmarks[name] === undefined)
if (strange !== undefined)
  throw new Error(`no benchmark "${strange}": there are ${Object.keys(benchmarks).join(', ')}`)

const figures: Figure[] = []
for (const name of names) figures.push(...(await run(name)))

process.stdout.write(`\n${machine()}\n`)
printTable(['figure', 'here', 'reference', 'unit', 'ratio', 'to reach', 'reached'], figures.map(rowOf))
const report = { machine: machine(), figures }
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(report, null, 1) + '\n')
if (values.chart !== undefined) writeFileSync(values.chart, chartSvg(report))
if (values.check) {
  // Neither does what is no number reach its floor.
  const sunk = figures.filter((figure) => !(reached(figure) >= floorOf(figure.name)))
  for (const figure of sunk)
    process.stdout.write(
      `${figure.name}: reaches ${reached(figure).toFixed(2)} of its goal, less than ${floorOf(figure.name)}\n`,
    )
  if (sunk.length > 0) process.exitCode = 1
}
