/**
 * `node dist/test-full/torture.js --cycles 1000 --store local|minio|fake [--seed N] [--batch K]`: real programs are killed, stopped, starved of disk,
 * bucket and exchange, and what they recorded is compared with what was sent. Ends with 1 on any difference.
 */

import { parseArgs } from 'node:util'
import { storeNames } from './torture/plan.ts'
import { runTorture } from './torture/run.ts'

const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '60' },
    store: { type: 'string', default: 'local' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    batch: { type: 'string' },
  },
})
const store = storeNames.find((name) => name === values.store)
if (store === undefined) throw new Error(`--store ${values.store}: ${storeNames.join(', ')}`)

const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => stop.abort(new Error(`told to stop by ${name}`)))

const end = await runTorture({
  store,
  cycles: Number(values.cycles),
  seed: Number(values.seed),
  batch: values.batch === undefined ? null : Number(values.batch),
  say: (line) => console.error(line),
  signal: stop.signal,
})
console.log(end.table)
for (const what of end.unreached) console.log(`never reached: ${what}`)
process.exitCode = end.differences.length + end.unreached.length > 0 ? 1 : 0
