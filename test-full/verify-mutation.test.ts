/**
 * Does `mdv verify --deep` see what is wrong? A vault of real processes is damaged in one place at a time: each damage has to be found, none
 * without one. Ways of doing harm: damaged-vault.ts.
 */

import assert from 'node:assert/strict'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { seededRandom } from '../src/core/random.ts'
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
