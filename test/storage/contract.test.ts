/** The contract of object stores, over each implementation that needs nothing but this machine. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { realDisk } from '../../src/storage/disk.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { checkContract } from './contract.ts'
import { MemoryStore } from './memory-store.ts'
import { failOften, openOn, startServer } from './s3/bucket.ts'

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mdv-store-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

const withoutLinks = {
  ...realDisk,
  link: () => Promise.reject(Object.assign(new Error('no links here'), { code: 'EPERM' })),
  syncFolder: () => Promise.resolve(false),
}

const stores: Readonly<Record<string, (t: TestContext) => Promise<ObjectStore>>> = {
  local: async (t) => openLocalStore(await folder(t)),
  'local without links': async (t) => openLocalStore(await folder(t), withoutLinks),
  memory: () => Promise.resolve(new MemoryStore()),
  s3: async (t) => openOn(t, await startServer(t), 'shared'),
  's3, one request in twenty failing': async (t) => {
    const seed = Date.now() % 1_000_000
    t.diagnostic(`seed ${seed}`)
    const server = await startServer(t, { seed })
    failOften(server)
    return openOn(t, server, 'shared')
  },
  's3 that ignores conditions, for one writer': async (t) => {
    const server = await startServer(t)
    server.ignoresConditions = true
    return openOn(t, server, 'single-writer')
  },
}

for (const [name, open] of Object.entries(stores)) checkContract(name, open)
