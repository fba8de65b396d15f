/** What is particular to folders: links, permissions, foreign things in the way. */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { realDisk, type Disk } from '../../src/storage/disk.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { listAll } from '../../src/storage/object-store.ts'

const never = new AbortController().signal

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mdv-local-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

test('a file where the base folder should be is refused with the way out', async (t) => {
  const base = join(await folder(t), 'file')
  await writeFile(base, '')
  await assert.rejects(() => openLocalStore(base), { kind: 'preflight', remedy: /base_dir/ })
})

if (process.platform === 'linux')
  test('a folder that takes none, as an automounter’s, is refused and not asked for ever', async () => {
    await assert.rejects(() => openLocalStore('/proc/mdv/vault'), { kind: 'preflight', remedy: /base_dir/ })
  })

test('a file where a folder of the vault should be is refused, and is no empty folder', async (t) => {
  const base = await folder(t)
  const store = await openLocalStore(base)
  await mkdir(join(base, 'raw'))
  await writeFile(join(base, 'raw/ready'), 'x')
  const refusal = {
    kind: 'preflight',
    message: /raw.ready.coinbase.*: ENOTDIR$/,
    remedy: /a file stands where/,
  }
  await assert.rejects(listAll(store, 'raw/ready/coinbase/', never), refusal)
  await assert.rejects(store.putIfAbsent('raw/ready/coinbase/a', Buffer.from('x')), refusal)
  assert.deepEqual(await listAll(store, 'raw/none/', never), [])
})

test('a full disk is refused with its path and the way out, and leaves no temporary file', async (t) => {
  const base = await folder(t)
  const full: Disk = {
    ...realDisk,
    create: async (path) => {
      const file = await realDisk.create(path)
      return Object.assign(Object.create(file) as typeof file, {
        write: () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' })),
        close: () => file.close(),
      })
    },
  }
  const store = await openLocalStore(base, full)
  await assert.rejects(() => store.putIfAbsent('a/b', Buffer.from('x')), {
    kind: 'preflight',
    message: /a.b: ENOSPC/,
    remedy: /free space/,
  })
  assert.deepEqual(await readdir(join(base, '.mdv', 'tmp')), [])
})

test('symbolic links planted in the vault are neither listed nor followed', async (t) => {
  const base = await folder(t)
  const outside = await folder(t)
  await writeFile(join(outside, 'secret'), 'x')
  await mkdir(join(base, 'raw'))
  await symlink(outside, join(base, 'raw', 'ready'))
  await symlink(join(outside, 'secret'), join(base, 'raw', 'file'))
  const store = await openLocalStore(base)
  assert.deepEqual(await listAll(store, '', never), [])
  await assert.rejects(() => store.get('raw/file'), { kind: 'preflight', message: /ELOOP/ })
  await assert.rejects(() => store.get('raw/ready/secret'), { kind: 'preflight', message: /symbolic link/ })
  await assert.rejects(() => store.delete('raw/ready/secret'), { kind: 'preflight' })
  await assert.rejects(() => store.putIfAbsent('raw/ready/new', Buffer.from('x')), { kind: 'preflight' })
  await assert.rejects(() => listAll(store, 'raw/ready/', never), { kind: 'preflight' })
  assert.deepEqual(await readdir(outside), ['secret'])
})

for (const where of ['.mdv', '.mdv/tmp', '.mdv/scratch', '.mdv/scratch/etl'])
  test(`a link planted as ${where} is refused: nothing is written, made or removed behind it`, async (t) => {
    const base = await folder(t)
    const outside = await folder(t)
    await mkdir(join(outside, 'tmp'))
    const old = join(outside, where.endsWith('tmp') ? 'old' : 'tmp/old')
    await writeFile(old, 'a file of someone else')
    await utimes(old, 1, 1)
    const before = await readdir(outside, { recursive: true })
    await mkdir(dirname(join(base, where)), { recursive: true })
    await symlink(outside, join(base, where))
    const use = async (): Promise<void> => {
      const store = await openLocalStore(base)
      await store.scratch('etl/worker')
    }
    await assert.rejects(use, { kind: 'preflight', message: /symbolic link inside the vault/ })
    assert.deepEqual(await readdir(outside, { recursive: true }), before)
  })

test('no folder is made behind a link either', async (t) => {
  const base = await folder(t)
  const outside = await folder(t)
  await symlink(outside, join(base, 'raw'))
  const store = await openLocalStore(base)
  await assert.rejects(() => store.putIfAbsent('raw/a/b/c', Buffer.from('x')), { kind: 'preflight' })
  assert.deepEqual(await readdir(outside), [])
})

test('a link with the name of an object is taken for what is there, and not written through', async (t) => {
  const base = await folder(t)
  const outside = await folder(t)
  await writeFile(join(outside, 'precious'), 'as it was')
  await mkdir(join(base, 'k'))
  for (const [name, target] of [
    ['one', join(outside, 'precious')],
    ['two', join(outside, 'absent')],
  ])
    await symlink(target!, join(base, 'k', name!))
  const store = await openLocalStore(base)
  assert.equal(await store.putIfAbsent('k/one', Buffer.from('x')), 'exists')
  assert.equal(await store.putIfAbsent('k/two', Buffer.from('x')), 'exists')
  assert.equal(await store.head('k/one'), undefined)
  await assert.rejects(() => store.get('k/one'), { kind: 'preflight', message: /ELOOP/ })
  assert.deepEqual(await readdir(outside), ['precious'])
  assert.equal(await readFile(join(outside, 'precious'), 'utf8'), 'as it was')
})

test('our own folder is no place for objects and is not listed', async (t) => {
  const store = await openLocalStore(await folder(t))
  await store.scratch('work')
  await assert.rejects(async () => store.putIfAbsent('.mdv/tmp/x', Buffer.from('x')), { kind: 'invalid' })
  assert.deepEqual(await listAll(store, '', never), [])
})

test('the first object in a new folder makes every folder name above it durable', async (t) => {
  const base = await folder(t)
  const synced: string[] = []
  const store = await openLocalStore(base, {
    ...realDisk,
    syncFolder: (path) => {
      synced.push(path)
      return Promise.resolve(true)
    },
  })
  synced.length = 0
  // Made by someone who died before syncing: there is no telling.
  await mkdir(join(base, 'a', 'b'), { recursive: true })
  await store.putIfAbsent('a/b/c', Buffer.from('x'))
  assert.deepEqual([...synced].sort(), [base, join(base, 'a'), join(base, 'a', 'b')])
})

test('two stores in one process do not meet in their temporary names', async (t) => {
  const base = await folder(t)
  const [one, two] = [await openLocalStore(base), await openLocalStore(base)]
  await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      (i % 2 === 0 ? one : two).putIfAbsent(`k/${i}`, Buffer.from(`body ${i}`)),
    ),
  )
  for (let i = 0; i < 20; i++) assert.equal((await one.get(`k/${i}`))?.toString(), `body ${i}`)
})

test('without hard links or folder sync the store says so', async (t) => {
  const store = await openLocalStore(await folder(t), {
    ...realDisk,
    link: () => Promise.reject(Object.assign(new Error('no'), { code: 'ENOTSUP' })),
    syncFolder: () => Promise.resolve(false),
  })
  assert.equal(store.notes.length, 2)
})

test('a publication whose folder sync failed is finished by the next attempt, under the same name', async (t) => {
  const base = await folder(t)
  let refuse = false
  const store = await openLocalStore(base, {
    ...realDisk,
    syncFolder: (path) =>
      refuse && path.endsWith('ready')
        ? Promise.reject(Object.assign(new Error('no'), { code: 'EIO' }))
        : realDisk.syncFolder(path),
  })
  const path = join(await store.scratch('test'), 'file')
  await writeFile(path, 'body')
  await store.putIfAbsent('ready/other', Buffer.from('x'))
  refuse = true
  await assert.rejects(() => store.publishFile(path, 'ready/file'), { kind: 'unavailable' })
  refuse = false
  assert.equal(await store.publishFile(path, 'ready/file'), 'created')
  assert.equal((await store.get('ready/file'))?.toString(), 'body')
  await assert.rejects(() => rm(path), { code: 'ENOENT' })
})
