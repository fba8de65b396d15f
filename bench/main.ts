/** `npm run bench`: every benchmark in turn, each in a process of its own. Names as arguments run only those: `npm run bench -- etl`. */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const names = ['ingest', 'etl', 'segment-append', 'simulator', 'transfer', 'requests']
const wanted = process.argv.length > 2 ? process.argv.slice(2) : names
for (const name of wanted) {
  if (!names.includes(name)) throw new Error(`no benchmark "${name}": there are ${names.join(', ')}`)
  process.stdout.write(`\n== ${name}\n`)
  const script = fileURLToPath(new URL(`${name}.js`, import.meta.url))
  const { status } = spawnSync(process.execPath, [script], { stdio: 'inherit' })
  if (status !== 0) process.exitCode = 1
}
