/**
 * Does `mdv verify --deep` see what is wrong? A vault of real processes is damaged in one place at a time: each damage has to be found, none
 * without one. Ways of doing harm: damaged-vault.ts.
 */

import assert from 'node:assert/strict'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { seededRandom } from '../src/core/random.ts'
import type { Receipt } from '../src/table/receipt.ts'
import { errorsOf, makeVault, victimOf, ways } from './damaged-vault.ts'

const seed = Number(process.env['MDV_SEED'] ?? Date.now() % 1_000_000)
const mutations = Number(process.env['MDV_MUTATIONS'] ?? 3 * ways.length)

let folder = ''
let whole = ''

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mdv-mutation-'))
  whole = join(folder, 'whole')
  await makeVault(whole, seed)
})
after(() => rm(folder, { recursive: true, force: true }))

test('without damage nothing is found', async () => {
  assert.deepEqual(await errorsOf(whole), [])
})

test(`each of ${mutations} damages is found (MDV_SEED=${seed})`, async (t) => {
  const random = seededRandom(seed)
  const missed: string[] = []
  const tried = new Map<string, number>()
  for (let i = 0; i < mutations; i++) {
    const vault = join(folder, 'victim')
    await cp(whole, vault, { recursive: true })
    const [name, way] = ways[i % ways.length]!
    const what = await way(victimOf(vault, random))
    tried.set(name, (tried.get(name) ?? 0) + 1)
    if ((await errorsOf(vault)).length === 0) missed.push(`${name}: ${what}`)
    await rm(vault, { recursive: true, force: true })
  }
  t.diagnostic([...tried].map(([name, count]) => `${name} ${count}`).join(' · '))
  assert.deepEqual(missed, [])
})

test('a job with bytes so damaged that they hold no counter misses no other line: each of its parts is missed', async () => {
  const receipts = join(whole, 'processed', 'coinbase', '_receipts')
  const texts = await Promise.all(
    (await readdir(receipts)).map((name) => readFile(join(receipts, name), 'utf8')),
  )
  const receipt = texts.map((text) => JSON.parse(text) as Receipt).find(({ lines }) => lines.rejected > 0)!
  const vault = join(folder, 'victim')
  const missed: string[] = []
  for (const part of receipt.parts) {
    await cp(whole, vault, { recursive: true })
    const parts = receipt.parts.filter((one) => one !== part)
    const path = join(vault, 'processed', 'coinbase', '_receipts', `${receipt.job}.json`)
    await writeFile(path, JSON.stringify({ ...receipt, parts }))
    const found = await errorsOf(vault)
    if (!found.some(({ kind }) => kind === 'lines_missing')) missed.push(`${part.key}, ${part.rows} rows`)
    await rm(vault, { recursive: true, force: true })
  }
  assert.deepEqual(missed, [])
})
