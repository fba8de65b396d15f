/** How long commands take that do next to nothing, beside Node doing nothing: `node dist/bench/start.js [ROUNDS]`. Whole processes, in turn. */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cleanEnv } from './clean-env.ts'
import { machine, median, printTable, tell } from './report.ts'

const rounds = Number(process.argv[2] ?? 15)
const main = fileURLToPath(new URL('../src/cli/main.js', import.meta.url))

const commands = [
  { name: 'mdv --help', args: [main, '--help'], mostMs: 60 },
  { name: 'mdv status', args: [main, 'status', '--base-dir', '.'], mostMs: 250 },
]

function msOf(args: readonly string[], cwd: string): number {
  const from = performance.now()
  const { status, stderr } = spawnSync(process.execPath, args, { cwd, env: cleanEnv(), encoding: 'utf8' })
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`)
  return performance.now() - from
}

const dir = mkdtempSync(join(tmpdir(), 'mdv-bench-'))
const empty: number[] = []
const taken = commands.map(() => [] as number[])
try {
  for (let round = 0; round < rounds; round++) {
    empty.push(msOf(['-e', '0'], dir))
    commands.forEach(({ args }, i) => taken[i]!.push(msOf(args, dir)))
  }
} finally {
  rmSync(dir, { recursive: true, force: true })
}

process.stdout.write(`${machine()}, medians of ${rounds}\n`)
const reference = median(empty)
const rows = commands.map(({ name, mostMs }, i) => {
  const value = median(taken[i]!.map((ms, round) => ms - empty[round]!))
  tell({
    name: `start of ${name}, above Node's own`,
    unit: 'ms',
    value,
    reference,
    goal: { most: mostMs, of: 'value' },
  })
  return [name, median(taken[i]!).toFixed(0), value.toFixed(0)]
})
printTable(['command', 'ms', 'above node -e 0'], [['node -e 0', reference.toFixed(0), ''], ...rows])
