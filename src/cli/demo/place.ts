/** Where a demo's vault lies: its own folder, or a prefix of its own in the configured bucket. */

import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { systemCode, VaultError } from '../../core/errors.ts'
import { rawReady } from '../../storage/keys.ts'
import { listAll, type ObjectStore } from '../../storage/object-store.ts'
import { openStore } from '../../storage/open.ts'
import { revealCredentials, type Place, type S3Place } from '../../storage/place.ts'
import type { CommandContext } from '../command.ts'
import type { Config } from '../config.ts'
import { withCopies } from '../open-reading.ts'
import { storeDeps } from '../open-vault.ts'

export interface DemoPlace {
  readonly isBucket: boolean
  /** The section `storage` of the demo's configuration; without secrets. */
  readonly storage: Readonly<Record<string, unknown>>
  /** Of the demo's processes: the user's own settings are not the demo's. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Sealed segments that are not converted yet. */
  readonly countReady: () => Promise<number>
  open(): Promise<ObjectStore>
}

export function folderPlace(context: CommandContext, folder: string): DemoPlace {
  const place: Place = { backend: 'local', baseDir: folder }
  return {
    isBucket: false,
    storage: { base_dir: folder },
    env: withoutSettings(context),
    countReady: () => countFiles(folder),
    open: () => openStore(place, 'read', depsOf(context, folder)),
  }
}

/** @throws {VaultError} `config` when no bucket is configured, what opening it throws */
export async function bucketPlace(
  context: CommandContext,
  config: Config,
  folder: string,
): Promise<DemoPlace> {
  const configured = config.storage.processed
  if (configured.backend !== 's3')
    throw new VaultError('config', 'mdv demo --storage s3: no bucket is configured', {
      remedy: 'give --backend s3 --s3-bucket NAME, and --s3-endpoint-url for a server other than AWS',
    })
  const prefix = demoPrefix(configured.prefix, folder)
  const place: S3Place = { ...configured, prefix }
  // Tried before anything runs: a wrong key is said at once, and not by three processes.
  const store = await openStore(place, 'write', depsOf(context, folder))
  return {
    isBucket: true,
    storage: {
      backend: 's3',
      cache_dir: cacheOf(folder),
      s3: {
        bucket: place.bucket,
        prefix,
        force_path_style: place.forcePathStyle,
        single_writer: place.singleWriter,
        ...(place.region === null ? {} : { region: place.region }),
        ...(place.endpointUrl === null ? {} : { endpoint_url: place.endpointUrl }),
      },
    },
    env: { ...withoutSettings(context), ...secretsOf(place) },
    countReady: async () =>
      (await listAll(store, rawReady('coinbase'), context.signal)).length +
      (await countFiles(join(folder, 'spool'))),
    open: async () =>
      withCopies(context, { ...config.storage, processed: place, cache_dir: cacheOf(folder) }, store),
  }
}

/** A prefix takes fewer characters than a folder's name. */
export function demoPrefix(configured: string, folder: string): string {
  const own = `mdv-demo-${basename(folder).replaceAll(/[^A-Za-z0-9._=-]+/g, '_')}`
  return configured === '' ? own : `${configured}/${own}`
}

function depsOf(context: CommandContext, folder: string) {
  return storeDeps(context, { cache_dir: cacheOf(folder) })
}

function cacheOf(folder: string): string {
  return join(folder, 'cache')
}

function withoutSettings({ env }: CommandContext): DemoPlace['env'] {
  return Object.fromEntries(
    Object.entries(env).filter(([key]) => !key.startsWith('MDV_') || key === 'MDV_DEBUG'),
  )
}

/** By the environment, so that they are in no file. */
function secretsOf({ credentials }: S3Place): DemoPlace['env'] {
  if (credentials === null) return {}
  const { accessKeyId, secretAccessKey, sessionToken } = revealCredentials(credentials)
  return {
    MDV_STORAGE_S3_AWS_ACCESS_KEY_ID: accessKeyId,
    MDV_STORAGE_S3_AWS_SECRET_ACCESS_KEY: secretAccessKey,
    ...(sessionToken === null ? {} : { MDV_STORAGE_S3_AWS_SESSION_TOKEN: sessionToken }),
  }
}

async function countFiles(baseDir: string): Promise<number> {
  try {
    const names = await readdir(join(baseDir, ...rawReady('coinbase').split('/')))
    return names.filter((name) => name.endsWith('.ndjson')).length
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 0
    throw error
  }
}
