/**
 * `node dist/test-full/soak.js --seconds 3600 --rate 5000 --seed 1`: an hour of recording, conversion and merging with sockets that die silently;
 * prints how memory, open files, event-loop delay, scratch and logs went, and ends with 1 when one of them rises or something was lost.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Soak } from './soak/run.ts'
import { tableOf } from './soak/samples.ts'
import { findings } from './soak/findings.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3600' },
    rate: { type: 'string', default: '5000' },
    products: { type: 'string', default: '30' },
    seed: { type: 'string', default: '1' },
    'segment-seconds': { type: 'string', default: '5' },
    folder: { type: 'string', default: tmpdir() },
    keep: { type: 'boolean', default: false },
  },
})

const folder = await mkdtemp(join(values.folder, 'mdv-soak-'))
const soak = await Soak.start(
  {
    seconds: Number(values.seconds),
    rate: Number(values.rate),
    products: Number(values.products),
    seed: Number(values.seed),
    segmentSeconds: Number(values['segment-seconds']),
    sampling: { sampleMs: 10_000, samplesPerCollection: 30 },
    every: { silence: 240, ask: 180, verify: 900, older: 60 },
  },
  folder,
  (text) => console.error(text),
)
try {
  const result = await soak.run()
  const { rows, ...rest } = result
  console.log(
    `${process.argv.slice(2).join(' ')} · Node ${process.version}, ${availableParallelism()} processors\n\n${tableOf(rows)}\n`,
  )
  console.log(JSON.stringify(rest, null, 1))
  console.log(`${Math.round(result.accounting.recorded / Number(values.seconds))} frames/s recorded`)
  const found = findings(result, Number(values.seconds))
  console.log(found.length === 0 ? 'nothing that was judged rises, nothing is lost' : found.join('\n'))
  process.exitCode = found.length === 0 ? 0 : 1
} finally {
  await soak.stop()
  if (!values.keep) await rm(folder, { recursive: true, force: true })
}
