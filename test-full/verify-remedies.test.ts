/**
 * Is what `mdv verify` says to do what helps? Each way of doing harm is done to a vault of real processes, every command that a finding names is
 * run, and then nothing is found any more but what is truly lost: lines that were cut off, receipts that only a copy has.
 */

import assert from 'node:assert/strict'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { seededRandom } from '../src/core/random.ts'
import type { Finding } from '../src/query/verify/finding.ts'
import { receiptsFirst } from '../src/query/verify/raw.ts'
import { errorsOf, makeVault, victimOf, ways } from './damaged-vault.ts'
import { MdvProcess } from './processes.ts'

const seed = Number(process.env['MDV_SEED'] ?? Date.now() % 1_000_000)
/** A round may bring to light what the one before could not see. */
const roundsMax = 3

let folder = ''
let whole = ''

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mdv-remedies-'))
  whole = join(folder, 'whole')
  await makeVault(whole, seed)
})
after(() => rm(folder, { recursive: true, force: true }))

/** `mdv etl --requeue JOB`, `mdv segments repair KEY && mdv etl --once`: once each. */
function commandsOf(findings: readonly Finding[]): string[][] {
  const commands = findings.flatMap(({ remedy }) =>
    [...remedy.matchAll(/\bmdv ((?:etl|segments) [^&;"(]+)/g)].map((match) => match[1]!.trim()),
  )
  return [...new Set(commands)].map((command) => command.split(/\s+/))
}

/** @returns what each said, for the reader of a failure */
async function doAsTold(vault: string, findings: readonly Finding[]): Promise<string[]> {
  const said: string[] = []
  for (const command of commandsOf(findings)) {
    const run = new MdvProcess([...command, '--base-dir', vault])
    said.push(`mdv ${command.join(' ')}: ${await run.ended()} ${[...run.lines, ...run.errors].join(' | ')}`)
  }
  return said
}

/** Nothing names a command for what only a copy has. */
const lost: Readonly<Record<string, RegExp>> = {
  'truncate ready': /^segment_missing$/,
  'zero ready': /^segment_missing$/,
  'flip ready': /^segment_missing$/,
  'delete ready': /^segment_missing$/,
  'delete receipt': /^(receipt_missing|segment_missing)$/,
  'truncate receipt': /^(receipt_damaged|receipt_missing|segment_missing)$/,
  'swap receipt': /^(receipt_damaged|receipt_missing|segment_missing)$/,
}

/** Of a file that was cut in its first line: nobody can tell whose it was. */
const nothingLeft = 'its first line has no end'

for (const [name, way] of ways)
  test(`${name}: what verify says to do is done, and only what is lost is left (MDV_SEED=${seed})`, async () => {
    const vault = join(folder, 'victim')
    await cp(whole, vault, { recursive: true })
    try {
      const what = await way(victimOf(vault, seededRandom(seed)))
      let findings = await errorsOf(vault)
      assert.ok(findings.length > 0, what)
      const said: string[] = []
      for (let round = 0; round < roundsMax && commandsOf(findings).length > 0; round++) {
        said.push(...(await doAsTold(vault, findings)))
        findings = await errorsOf(vault)
      }
      const left = findings.filter(
        ({ kind, message, remedy }) =>
          lost[name]?.test(kind) !== true &&
          !(name === 'truncate ready' && message === nothingLeft) &&
          // Only the receipt that was damaged knows that this segment was so when it was converted.
          remedy !== receiptsFirst,
      )
      const words = left.map(({ kind, where, message }) => `${kind} ${where}: ${message}`)
      assert.deepEqual(words, [], `${what}\n${said.join('\n')}`)
    } finally {
      await rm(vault, { recursive: true, force: true })
    }
  })
