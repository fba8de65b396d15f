/** What a person names as an end of a sync: a folder, a bucket, or a place of the configuration. Pure. */

import { VaultError } from '../core/errors.ts'
import type { Place, S3Place } from '../storage/place.ts'
import { vaultPrefixes } from './key-class.ts'

/** The configured places, and what a bucket on the command line is reached by. */
export interface KnownPlaces {
  readonly ingestion: Place
  readonly raw: Place
  readonly processed: Place
  readonly s3: Omit<S3Place, 'backend' | 'bucket' | 'prefix'>
}

export interface ServerFlags {
  readonly endpointUrl: string | undefined
  readonly region: string | undefined
}

export interface Where {
  readonly raw: Place
  readonly processed: Place
  /** Which of vaultPrefixes belong to it. */
  readonly prefixes: readonly string[]
}

const layerNames = ['ingestion', 'raw', 'processed', 'vault'] as const

/**
 * @param folderOf makes a folder's name absolute
 * @param side `src` or `dst`, as in the flags
 * @throws {VaultError} `usage`
 */
export function parseWhere(
  text: string,
  known: KnownPlaces,
  flags: ServerFlags,
  side: 'src' | 'dst',
  folderOf: (text: string) => string,
): Where {
  const isUrl = /^s3:\/\//i.test(text)
  const flag = flags.endpointUrl === undefined ? 'region' : 'endpoint-url'
  if (!isUrl && (flags.endpointUrl !== undefined || flags.region !== undefined))
    throw new VaultError('usage', `--${side}-${flag}: ${JSON.stringify(text)} is no s3:// URL`, {
      remedy: `leave it out, or name a bucket: s3://bucket/prefix`,
    })
  if (isUrl) return both(bucketPlace(text, known, flags))
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]+):\/\//.exec(text)?.[1]
  if (scheme !== undefined || text === '')
    throw new VaultError('usage', `${JSON.stringify(text)}: neither a folder nor s3://bucket/prefix`, {
      remedy: `name a folder, a bucket, or one of ${layerNames.join(', ')}; a folder of such a name is ./${layerNames[1]}`,
    })
  if (text === 'vault') return { raw: known.raw, processed: known.processed, prefixes: vaultPrefixes }
  if (text === 'ingestion' || text === 'raw')
    return { raw: known[text], processed: known[text], prefixes: ['raw/'] }
  if (text === 'processed')
    return { raw: known.processed, processed: known.processed, prefixes: ['processed/'] }
  return both({ backend: 'local', baseDir: folderOf(text) })
}

function both(place: Place): Where {
  return { raw: place, processed: place, prefixes: vaultPrefixes }
}

function bucketPlace(text: string, known: KnownPlaces, flags: ServerFlags): S3Place {
  const [bucket = '', ...names] = text.slice('s3://'.length).replace(/\/+$/, '').split('/')
  const isBucket = /^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/.test(bucket)
  const isPrefix = names.every((name) => /^[A-Za-z0-9._=-]+$/.test(name) && name !== '.' && name !== '..')
  if (!isBucket || !isPrefix)
    throw new VaultError('usage', `${JSON.stringify(text)}: not s3://bucket/prefix`, {
      remedy: 'prefixes are letters, digits and . _ - = with single slashes between them',
    })
  return {
    backend: 's3',
    bucket,
    prefix: names.join('/'),
    ...known.s3,
    ...(flags.endpointUrl === undefined ? {} : { endpointUrl: flags.endpointUrl }),
    ...(flags.region === undefined ? {} : { region: flags.region }),
  }
}

/** What both ends have: a layer has no more than its own. @throws {VaultError} `usage` when that is nothing */
export function sharedPrefixes(source: Where, target: Where): readonly string[] {
  const shared = source.prefixes.filter((prefix) => target.prefixes.includes(prefix))
  if (shared.length > 0) return shared
  throw new VaultError('usage', 'raw segments have no place among processed ones, nor these among raw ones', {
    remedy: 'name two layers of one kind, or a folder or bucket: mdv sync processed s3://bucket/prefix',
  })
}
