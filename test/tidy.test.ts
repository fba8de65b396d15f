/**
 * The rooms of ARCHITECTURE.md as data: who may import whom, and where the outside world may be touched. A change of the
 * architecture is a change of this table. Each rule is also tried on a planted violation.
 */

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

interface Room {
  /** Rooms it may import, beside itself. */
  readonly mayImport: readonly string[]
  /** Whether it may touch disk, network and processes itself. */
  readonly mayDoIo: boolean
}

const bytesAndBelow = ['segment', 'table', 'storage', 'venue', 'dataset', 'core']

const rooms: Readonly<Record<string, Room>> = {
  cli: {
    mayImport: ['web', 'ingestion', 'etl', 'query', 'simulator', 'sync', ...bytesAndBelow],
    mayDoIo: true,
  },
  web: { mayImport: ['query', ...bytesAndBelow], mayDoIo: true },
  ingestion: { mayImport: bytesAndBelow, mayDoIo: true },
  etl: { mayImport: bytesAndBelow, mayDoIo: true },
  query: { mayImport: bytesAndBelow, mayDoIo: true },
  simulator: { mayImport: bytesAndBelow, mayDoIo: true },
  sync: { mayImport: bytesAndBelow, mayDoIo: true },
  segment: { mayImport: ['storage', 'venue', 'dataset', 'core'], mayDoIo: false },
  table: { mayImport: ['storage', 'venue', 'dataset', 'core'], mayDoIo: false },
  storage: { mayImport: ['core'], mayDoIo: true },
  venue: { mayImport: ['core'], mayDoIo: false },
  dataset: { mayImport: ['core'], mayDoIo: false },
  core: { mayImport: [], mayDoIo: false },
}

/** Modules through which a program reaches the outside. */
const outside =
  /^(node:(fs|net|http|https|http2|tls|dgram|dns|child_process|worker_threads|cluster|readline|repl|inspector)(\/.*)?|ws|@duckdb\/.*)$/

/** Names that say nothing. */
const emptyName = /(^|[/-])(utils?|helpers?|managers?|misc|common-stuff|index)\.ts$/

/** Spelt so that this file is not found by its own rule. */
const unfinished = /\b(TO(?:DO)|FIX(?:ME)|XX(?:X)|HA(?:CK))\b/

/** What nothing here may do, tests among it; spelt so that this file is not found by its own rules. */
const unsafe: Readonly<Record<string, RegExp>> = {
  'a shell reads what a program is started with': /\bshell: (?:true|['"])|(?<!\.)\bexec(?:Sync)?\(\s*[`'"]/,
  'certificates are not checked':
    /rejectUnauthor(?:ized)|NODE_TLS_REJECT_UNAUTHOR(?:IZED)|checkServer(?:Identity)/,
  'text becomes code': /\bnode:v(?:m)\b|\bnew Func(?:tion)\(|\bev(?:al)\(/,
  'it listens to the network': /listen\([^)]*['"](?:0\.0\.0\.0|::)['"]|\.listen\((?:\d+|port)\)/,
}

/** @param path from the root with `/`: `src/etl/run.ts` @returns what is against the rules, one line each */
function violations(path: string, text: string): string[] {
  const found: string[] = []
  if (emptyName.test(path)) found.push(`${path}: a name that says nothing`)
  if (unfinished.test(text)) found.push(`${path}: something left unfinished`)
  for (const [what, pattern] of Object.entries(unsafe)) if (pattern.test(text)) found.push(`${path}: ${what}`)
  if (!path.startsWith('src/')) return found
  if (!/^(#!.*\n)?\/\*\*/.test(text)) found.push(`${path}: no header comment`)
  if (/^export default\b/m.test(text)) found.push(`${path}: a default export`)
  if (/^export \*/m.test(text)) found.push(`${path}: a barrel`)
  if (/\bFILTER\s*\([^()`]*(\([^()`]*\)[^()`]*)*\)\s*OVER\b/i.test(text))
    found.push(`${path}: a filtered window takes the square of its rows`)
  const room = path.split('/')[1]!
  const rules = rooms[room]
  if (rules === undefined) return [...found, `${path}: no such room`]
  for (const name of imports(text)) found.push(...importViolations(path, room, rules, name))
  if (!rules.mayDoIo && /\bfetch\(/.test(text)) found.push(`${path}: fetch in a room without I/O`)
  return found
}

function importViolations(path: string, room: string, rules: Room, name: string): string[] {
  if (!name.startsWith('.'))
    return outside.test(name) && !rules.mayDoIo ? [`${path}: ${name} in a room without I/O`] : []
  const target = posix.join(posix.dirname(path), name).split('/')
  if (target[0] !== 'src') return [`${path}: ${name} is outside src/`]
  const wanted = target[1]!
  return wanted === room || rules.mayImport.includes(wanted)
    ? []
    : [`${path}: ${room}/ may not import ${wanted}/ (${name})`]
}

/** Names in `import … from`, `export … from`, `import '…'` and `import('…')`. */
function imports(text: string): string[] {
  return [...text.matchAll(/(?:\bfrom |\bimport |\bimport\()['"]([^'"]+)['"]/g)].map((match) => match[1]!)
}

const root = fileURLToPath(new URL('../../', import.meta.url))

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`)
    .filter((path) => path.endsWith('.ts'))
}

test('imports point down, I/O stays in its rooms, every source file says what it is', () => {
  const paths = ['src', 'test', 'test-full', 'bench'].flatMap(sources)
  assert.ok(paths.length > 100)
  const found = paths.flatMap((path) => violations(path, readFileSync(join(root, path), 'utf8')))
  assert.deepEqual(found, [])
})

test('the table of rooms holds every room, and ARCHITECTURE.md tells of it', () => {
  const folders = readdirSync(join(root, 'src'))
  assert.deepEqual(folders.sort(), Object.keys(rooms).sort())
  const architecture = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')
  for (const room of folders) assert.match(architecture, new RegExp(`^\\|[^|]*\\| \`${room}/\` \\|`, 'm'))
})

const header = '/** What it is. */\n'
/** Two halves that this file's own rules do not know. */
const cut = (one: string, other: string): string => one + other

const planted: readonly (readonly [path: string, text: string, what: RegExp])[] = [
  ['src/core/time.ts', `${header}import { x } from '../storage/local.ts'`, /core\/ may not import storage\//],
  ['src/etl/run.ts', `${header}import { x } from '../query/run.ts'`, /etl\/ may not import query\//],
  [
    'src/query/a/b.ts',
    `${header}const x = await import('../../cli/main.ts')`,
    /query\/ may not import cli\//,
  ],
  [
    'src/segment/log.ts',
    `${header}export { x } from '../table/receipt.ts'`,
    /segment\/ may not import table\//,
  ],
  ['src/venue/x.ts', `${header}import type { X } from '../dataset/x.ts'`, /venue\/ may not import dataset\//],
  ['src/query/x.ts', `${header}import { x } from '../../test/x.ts'`, /outside src/],
  [
    'src/core/time.ts',
    `${header}import { readFile } from 'node:fs/promises'`,
    /node:fs\/promises in a room without I\/O/,
  ],
  ['src/dataset/x.ts', `${header}import { DuckDBInstance } from '@duckdb/node-api'`, /without I\/O/],
  ['src/segment/x.ts', `${header}import { spawn } from 'node:child_process'`, /without I\/O/],
  ['src/venue/x.ts', `${header}const page = await fetch('https://x')`, /fetch in a room without I\/O/],
  ['test/x.ts', header + cut("spawn('ls', [], { sh", 'ell: true })'), /a shell reads/],
  ['src/cli/x.ts', header + cut('ex', 'ec(`ls ${name}`)'), /a shell reads/],
  [
    'src/storage/x.ts',
    header + cut('agent({ rejectUnauthor', 'ized: false })'),
    /certificates are not checked/,
  ],
  ['src/query/x.ts', header + cut("import vm from 'node:", "vm'"), /text becomes code/],
  ['src/simulator/x.ts', header + cut('server.listen(', '8080)'), /it listens to the network/],
  ['test/x.ts', header + cut("server.listen(0, '0.0.", "0.0')"), /it listens to the network/],
  [
    'src/query/x.ts',
    header + cut('const sql = `SELECT count(*) FILT', 'ER (a > b)\n  OVER (ORDER BY n)`'),
    /a filtered window/,
  ],
  ['src/attic/x.ts', header, /no such room/],
  ['src/core/x.ts', `import { x } from './y.ts'`, /no header comment/],
  ['src/core/x.ts', `${header}export default 1`, /default export/],
  ['src/core/x.ts', `${header}export * from './y.ts'`, /barrel/],
  ['src/core/string-utils.ts', header, /says nothing/],
  ['test/helpers.ts', header, /says nothing/],
  ['test/x.test.ts', `${header}// ${['TO', 'DO'].join('')}: later`, /unfinished/],
]

for (const [path, text, what] of planted)
  test(`a planted violation is found: ${what.source}`, () => {
    const found = violations(path, text)
    assert.equal(found.length, 1)
    assert.match(found[0]!, what)
  })

test('what is allowed is not found', () => {
  const text = `#!/usr/bin/env node\n${header}import { x } from '../core/time.ts'\nimport { crc32 } from 'node:zlib'\nimport { y } from './line.ts'\n`
  assert.deepEqual(violations('src/segment/x.ts', text), [])
})
