/** The storage section as places: each layer's own keys, and storage's where it has none. Pure. */

import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { Secret } from '../core/secret.ts'
import { isSamePlace, placeName, type Place, type S3Place } from '../storage/place.ts'
import type { StorageConfig } from './config.ts'
import type { Setting } from './config-load.ts'
import { storageLayers } from './options.ts'
import type { OptionValue } from './option-value.ts'

export type SettingAt = (path: string) => Setting

/** `storage`, or a layer of it. */
type Section = 'storage' | `storage.${(typeof storageLayers)[number]}`

/** Places from settings that storageProblems had nothing to say about. */
export function storageOf(at: SettingAt): StorageConfig {
  const cacheDir = at('storage.cache_dir').value
  return {
    ingestion: placeOf(at, 'storage.ingestion_storage'),
    raw: placeOf(at, 'storage.etl_storage_input'),
    processed: placeOf(at, 'storage.etl_storage_output'),
    s3: serverOf(at, 'storage'),
    cache_dir: resolve(cacheDir === null ? join(homedir(), '.cache', 'mdv') : expandHome(cacheDir)),
    cache_max_gb: Number(at('storage.cache_max_gb').value),
  }
}

/** Every problem of the section, with its place. */
export function storageProblems(at: SettingAt, place: (setting: Setting) => string): string[] {
  const sections: readonly Section[] = [
    'storage',
    ...storageLayers.map((layer) => `storage.${layer}` as const),
  ]
  return [...new Set(sections.flatMap((section) => sectionProblems(section, at, place)))]
}

/** What works and is seldom meant. */
export function storageWarnings({ ingestion, raw }: StorageConfig): string[] {
  if (isSamePlace(ingestion, raw)) return []
  return [
    `storage.ingestion_storage is ${placeName(ingestion)} and storage.etl_storage_input ${placeName(raw)}: nothing is converted until "mdv sync" moves it there`,
  ]
}

function sectionProblems(section: Section, at: SettingAt, place: (setting: Setting) => string): string[] {
  const problems: string[] = []
  const id = at(`${section}.s3.aws_access_key_id`)
  const secret = at(`${section}.s3.aws_secret_access_key`)
  if (id.value !== null && secret.value === null)
    problems.push(`${place(id)}: needs ${secret.spec.path} beside it`)
  if (secret.value !== null && id.value === null)
    problems.push(`${place(secret)}: needs ${id.spec.path} beside it`)
  const backend = own(at, section, 'backend')
  if (backend.value !== 's3') return problems
  const bucket = bucketOf(at, section)
  if (bucket.value === null) problems.push(`${place(backend)}: s3 needs a bucket: set storage.s3.bucket`)
  else if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/.test(String(bucket.value)))
    problems.push(`${place(bucket)}: ${JSON.stringify(bucket.value)} is no bucket name`)
  const prefix = own(at, section, 's3.prefix')
  if (!isPrefix(trimSlashes(prefix.value)))
    problems.push(
      `${place(prefix)}: ${JSON.stringify(prefix.value)} is no prefix: letters, digits and . _ - = / between them`,
    )
  return problems
}

function isPrefix(prefix: string): boolean {
  if (prefix === '') return true
  return prefix.split('/').every((part) => /^[A-Za-z0-9._=-]+$/.test(part) && part !== '.' && part !== '..')
}

function placeOf(at: SettingAt, section: Section): Place {
  if (own(at, section, 'backend').value !== 's3')
    return { backend: 'local', baseDir: resolve(expandHome(own(at, section, 'base_dir').value)) }
  return {
    backend: 's3',
    bucket: String(bucketOf(at, section).value),
    prefix: trimSlashes(own(at, section, 's3.prefix').value),
    ...serverOf(at, section),
  }
}

function serverOf(at: SettingAt, section: Section): StorageConfig['s3'] {
  const textOrNull = (key: string): string | null => {
    const { value } = own(at, section, key)
    return value === null ? null : String(value)
  }
  return {
    region: textOrNull('s3.region'),
    endpointUrl: textOrNull('s3.endpoint_url'),
    forcePathStyle: own(at, section, 's3.force_path_style').value === true,
    credentials: credentialsOf(at, section),
    singleWriter: own(at, section, 's3.single_writer').value === true,
  }
}

/** Of one section as a whole: half a pair from each would be nobody's. */
function credentialsOf(at: SettingAt, section: Section): S3Place['credentials'] {
  const from = at(`${section}.s3.aws_access_key_id`).value === null ? 'storage' : section
  const id = at(`${from}.s3.aws_access_key_id`).value
  if (id === null) return null
  return {
    accessKeyId: String(id),
    secretAccessKey: secretOf(at(`${from}.s3.aws_secret_access_key`))!,
    sessionToken: secretOf(at(`${from}.s3.aws_session_token`)),
  }
}

function secretOf({ value }: Setting): Secret | null {
  return value instanceof Secret ? value : null
}

/** On S3 base_dir may hold the bucket's name, where somebody wrote it. */
function bucketOf(at: SettingAt, section: Section): Setting {
  const bucket = own(at, section, 's3.bucket')
  if (bucket.value !== null) return bucket
  const folder = own(at, section, 'base_dir')
  return folder.origin === 'default' ? bucket : folder
}

function own(at: SettingAt, section: Section, key: string): Setting {
  const setting = at(`${section}.${key}`)
  return setting.value === null ? at(`storage.${key}`) : setting
}

function trimSlashes(value: OptionValue): string {
  return value === null ? '' : String(value).replace(/^\/+|\/+$/g, '')
}

/** `~/data` as a shell would write it: a file or a variable has no shell to do so. */
export function expandHome(value: OptionValue | undefined): string {
  return String(value).replace(/^~(?=$|[/\\])/, () => homedir())
}
