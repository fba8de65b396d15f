/** The index of parts on this machine: it spares receipts, and never changes what is seen, whatever became of the vault or of itself. */

import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { VaultError } from '../../src/core/errors.ts'
import { startEngine } from '../../src/query/engine.ts'
import { askedCatalog, type AskedCatalog } from '../../src/query/prune/asked-catalog.ts'
import { viewsRead } from '../../src/query/prune/names-read.ts'
import { receiptKey } from '../../src/storage/keys.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import type { Receipt } from '../../src/table/receipt.ts'
import { encodeReceipt } from '../../src/table/receipts.ts'
import { SmallVault } from './small-vault.ts'

let vault: SmallVault
let made: Receipt[]
const { signal } = new AbortController()
const options = { memoryLimitMb: 256, scratchDir: '', allowFiles: false }

beforeEach(async () => {
  vault = await SmallVault.make()
  made = []
  for (let i = 0; i < 60; i++) made.push(await job(i))
  const { learn } = await ask()
  await learn()
})
afterEach(() => vault.remove())

/** One part of one product, of its own segment. */
async function job(i: number, product = `P${i}-USD`, generation = 1): Promise<Receipt> {
  const rows = [{ table: 'level2', product, n: i * 10 + 1, values: { side: 'bid' } }] as const
  const digits = `${generation}${String(i).padStart(7, '0')}`
  return vault.job({
    label: `segment_20251203T14_${String(i + 1).padStart(5, '0')}`,
    firstN: i * 10 + 1,
    lastN: i * 10 + 9,
    rows,
    generation,
    digits,
  })
}

let receiptsRead = 0

/** Counts receipts that are read. */
function watched(): ObjectStore {
  const { store } = vault
  return new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name)
      if (typeof member !== 'function') return member
      return (...args: unknown[]): unknown => {
        if (name === 'get' && String(args[0]).includes('/_receipts/')) receiptsRead++
        return Reflect.apply(member, target, args)
      }
    },
  })
}

async function ask(where = `product_id = 'P7-USD'`, location?: string): Promise<AskedCatalog> {
  receiptsRead = 0
  using engine = await startEngine(options)
  const sql = `SELECT * FROM level2 WHERE ${where}`
  const mayRead = await viewsRead(engine.connection, sql)
  const store = location === undefined ? watched() : Object.assign(Object.create(watched()), { location })
  const index = { dir: await vault.store.scratch('index'), fromParts: 60 }
  const openAdopted = async (): Promise<void> => undefined
  return await askedCatalog(
    engine.connection,
    { store, venue: 'coinbase', sql, mayRead, openAdopted, index },
    signal,
  )
}

async function keysOf(where?: string): Promise<string[]> {
  return (await ask(where)).parts.map(({ key }) => key).sort()
}

const partKeys = (...receipts: readonly Receipt[]): string[] =>
  receipts.flatMap(({ parts }) => parts.map(({ key }) => key)).sort()

test('a question of one product reads its receipt and no other', async () => {
  assert.deepEqual(await keysOf(), partKeys(made[7]!))
  assert.equal(receiptsRead, 1)
  assert.equal((await ask()).partsThere, 60)
  assert.deepEqual(await keysOf('true'), partKeys(...made))
})

test('what was committed since is seen', async () => {
  const late = await job(100, 'P7-USD')
  assert.deepEqual(await keysOf(), partKeys(made[7]!, late))
  assert.equal(receiptsRead, 2)
})

test('what a later generation replaced is not seen any more', async () => {
  const again = await job(7, 'P7-USD', 2)
  assert.deepEqual(await keysOf(), partKeys(again))
})

test('what a merge holds is not seen twice, whether it is known or new', async () => {
  const [a, b] = [made[7]!, made[8]!]
  const supersedes = [a, b].map(({ job: name, generation }) => ({ job: name, generation }))
  const merge: Receipt = {
    ...a,
    job: 'compact_20251203T14_abc12345',
    sources: [...a.sources, ...b.sources],
    parts: [
      ...a.parts.map((part) => ({ ...part, key: part.key.replace('part_', 'part_merged_') })),
      ...b.parts,
    ],
    supersedes,
  }
  await put(merge)
  assert.deepEqual(await keysOf(), partKeys({ ...merge, parts: merge.parts.slice(0, 1) }))
  // Known: the index is made anew with the merge in it, and the receipts that it holds still lie there.
  await forget()
  await (await ask()).learn()
  assert.deepEqual(await keysOf(), partKeys({ ...merge, parts: merge.parts.slice(0, 1) }))
  assert.equal(receiptsRead, 1)
})

test('a receipt of another size or time than what was read is read again', async () => {
  const path = vault.store.pathOf(receiptKey('coinbase', made[7]!.job, 1))
  const other = { ...made[7]!, parts: made[7]!.parts.map((part) => ({ ...part, product_id: 'P8-USD' })) }
  await writeFile(path, Buffer.concat([encodeReceipt(other), Buffer.from(' ')]))
  assert.deepEqual(await keysOf(), [])
  assert.deepEqual(await keysOf(`product_id = 'P8-USD'`), partKeys(made[7]!, made[8]!))
})

test('past a share of receipts that came since all are read, and the index is made anew', async () => {
  for (let i = 100; i < 151; i++) made.push(await job(i))
  const { parts, learn } = await ask()
  assert.equal(parts.length, 1)
  assert.equal(receiptsRead, 111)
  await learn()
  await ask()
  assert.equal(receiptsRead, 1)
})

test('an index that is damaged, of another vault or of a newer version is not believed', async () => {
  const dir = await vault.store.scratch('index')
  const list = join(dir, 'coinbase.json')
  const saved = JSON.parse(await readFile(list, 'utf8')) as { facts: string; location: string }
  const facts = await readFile(join(dir, saved.facts))
  const spoil: Readonly<Record<string, () => Promise<void>>> = {
    'a byte of the facts': async () => {
      const other = Buffer.from(facts)
      other[other.length >> 1]! ^= 1
      await writeFile(join(dir, saved.facts), other)
    },
    'no facts': async () => writeFile(list, JSON.stringify({ ...saved, facts: 'nothing.parquet' })),
    'half a list': async () => writeFile(list, JSON.stringify(saved).slice(0, 100)),
    'another vault': async () => writeFile(list, JSON.stringify({ ...saved, location: '/elsewhere' })),
    'a newer version': async () => writeFile(list, JSON.stringify({ ...saved, format: 2 })),
    'no receipts': async () => writeFile(list, JSON.stringify({ ...saved, receipts: 7 })),
    'no object': async () => writeFile(list, 'null'),
  }
  for (const [name, act] of Object.entries(spoil)) {
    await act()
    const { parts, learn } = await ask()
    assert.deepEqual([parts.length, receiptsRead], [1, 60], name)
    await learn()
    await ask()
    assert.equal(receiptsRead, 1, `${name}: made anew`)
    await writeFile(join(dir, saved.facts), facts)
    await writeFile(list, JSON.stringify(saved))
  }
})

test('a question that needs all of a table leaves the index as it is', async () => {
  const dir = await vault.store.scratch('index')
  const before = await readdir(dir)
  const { parts, learn } = await ask('true')
  assert.equal(parts.length, 60)
  await learn()
  assert.deepEqual(await readdir(dir), before)
})

test('a store that goes away after the answer costs the index, not the answer', async () => {
  await forget()
  const { learn } = await ask()
  const { store } = vault
  const list = store.list.bind(store)
  store.list = () => {
    throw new VaultError('unavailable', 'the bucket is away')
  }
  await learn()
  store.list = list
  assert.equal((await ask()).parts.length, 1)
})

test('only the newest index is kept', async () => {
  await forget()
  await (await ask()).learn()
  const dir = await vault.store.scratch('index')
  await writeFile(join(dir, 'coinbase.0123456789abcdef.parquet.list'), '{}')
  await forget()
  await (await ask()).learn()
  assert.equal((await readdir(dir)).length, 2)
})

async function put(receipt: Receipt): Promise<void> {
  await vault.store.putIfAbsent(
    receiptKey('coinbase', receipt.job, receipt.generation),
    encodeReceipt(receipt),
  )
}

async function forget(): Promise<void> {
  await writeFile(join(await vault.store.scratch('index'), 'coinbase.json'), '{}')
}
