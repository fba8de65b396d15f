/** A bucket of the test server, opened as a store: time between attempts does not pass, everything else is real. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { TestContext } from 'node:test'
import { systemClock } from '../../../src/cli/system-clock.ts'
import type { Clock } from '../../../src/core/clock.ts'
import { hideCredentials } from '../../../src/storage/place.ts'
import { seededRandom } from '../../../src/core/random.ts'
import { openS3Store } from '../../../src/storage/s3/open.ts'
import type { S3Deps, S3Mode, S3Settings } from '../../../src/storage/s3/settings.ts'
import type { S3Store } from '../../../src/storage/s3/store.ts'
import { S3Server, testAccount, type S3ServerOptions } from '../s3-server/server.ts'

export const impatientClock: Clock = {
  ...systemClock,
  sleep: async (_delayMs, signal) => {
    signal.throwIfAborted()
    await setImmediate()
  },
}

export const testDeps: S3Deps = { clock: impatientClock, random: seededRandom(1), env: {} }

export async function startServer(t: TestContext, options: S3ServerOptions = {}): Promise<S3Server> {
  const server = await S3Server.start({ buckets: ['vault'], ...options })
  t.after(() => server.down())
  return server
}

export async function settingsFor(
  t: TestContext,
  server: Pick<S3Server, 'url'>,
  more: Partial<S3Settings> = {},
): Promise<S3Settings> {
  const workDir = await mkdtemp(join(tmpdir(), 'mdv-s3-'))
  t.after(() => rm(workDir, { recursive: true, force: true }))
  return {
    bucket: 'vault',
    prefix: 'some/where',
    region: null,
    endpointUrl: server.url,
    forcePathStyle: true,
    credentials: hideCredentials({ ...testAccount, sessionToken: null }),
    workDir,
    ...more,
  }
}

export async function openOn(
  t: TestContext,
  server: S3Server,
  mode: S3Mode = 'read',
  more: Partial<S3Settings> = {},
  deps: Partial<S3Deps> = {},
): Promise<S3Store> {
  const store = await openS3Store(await settingsFor(t, server, more), mode, { ...testDeps, ...deps })
  t.after(() => store.close())
  return store
}

/** One request in twenty fails, in one of the ways of the field. */
export function failOften(server: S3Server, chance = 0.05): void {
  const kinds = ['slow-down', 'internal', 'reset-before', 'reset-after', 'truncated'] as const
  server.faults.byChance(Object.fromEntries(kinds.map((kind) => [kind, chance / kinds.length])))
}
