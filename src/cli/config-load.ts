/** The effective configuration: flag > environment > file > default, each value with where it came from. */

import { resolve } from 'node:path'
import { VaultError } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import { Secret } from '../core/secret.ts'
import type { Config } from './config.ts'
import type { ConfigFile, FileValue } from './config-file.ts'
import { readConfigText } from './config-read.ts'
import { expandHome, storageOf, storageProblems, storageWarnings } from './config-storage.ts'
import { envOf, flagKey, optionSpecs, type OptionSpec } from './options.ts'
import { readText, type OptionValue } from './option-value.ts'
import { isOpenToOthers, openToOthers } from './secret-file.ts'

export const defaultConfigPath = 'config/config.yaml'

export interface ConfigSources {
  /** From `--config` or MDV_CONFIG; undefined: the default path, where it exists. */
  readonly path: string | undefined
  /** false: as if there were no file. */
  readonly readFile?: boolean
  readonly env: Readonly<Record<string, string | undefined>>
  /** Flags' values by the parser's names (`baseDir`). */
  readonly flags: Readonly<Record<string, unknown>>
  /** Flags that exist on this command, so that others of the same name (a command's own) are left alone. */
  readonly sections: readonly string[]
}

export interface Setting {
  readonly spec: OptionSpec
  readonly value: OptionValue
  /** `default`, `config/config.yaml:7:3`, `environment MDV_…` or a flag's name. */
  readonly origin: string
}

export interface LoadedConfig {
  readonly config: Config
  /** In the order of the table. */
  readonly settings: readonly Setting[]
  /** The file that was read; undefined: none. */
  readonly file: string | undefined
  /** What is odd but no error, one line each. */
  readonly warnings: readonly string[]
}

/** @throws {VaultError} `config` (`usage` where only flags are wrong) with every problem, one a line */
export async function loadConfig(sources: ConfigSources): Promise<LoadedConfig> {
  const path = sources.path ?? defaultConfigPath
  const file = sources.readFile === false ? undefined : await readConfig(path)
  if (file === undefined && sources.path !== undefined)
    throw new VaultError('config', `${path}: no such file`, {
      remedy: `correct --config, or write one: mdv init --config ${path}`,
    })
  const flagProblems: string[] = []
  const problems = [...(file?.problems ?? [])]
  const settings = optionSpecs.map((spec): Setting => {
    const flag = fromFlag(spec, sources, flagProblems)
    const env = fromEnv(spec, sources.env, problems)
    const chosen: FileValue = flag ??
      env ??
      file?.values.get(spec.path) ?? { value: spec.default, origin: 'default' }
    return { spec, ...chosen }
  })
  if (problems.length === 0 && flagProblems.length === 0) problems.push(...crossChecks(settings))
  if (problems.length > 0) throw badConfig('config', [...problems, ...flagProblems])
  if (flagProblems.length > 0) throw badConfig('usage', flagProblems)
  const config = configOf(settings)
  return {
    config,
    settings,
    file: file === undefined ? undefined : path,
    warnings: [
      ...(file?.warnings ?? []),
      ...plainFeedWarnings(config.coinbase),
      ...unknownVariables(sources.env),
      ...storageWarnings(config.storage),
    ],
  }
}

async function readConfig(
  path: string,
): Promise<(ConfigFile & { readonly warnings: readonly string[] }) | undefined> {
  const read = await readConfigText(path)
  if (read === undefined) return undefined
  const { parseConfig } = await import('./config-file.ts')
  const { values, problems } = parseConfig(path, read.text)
  return { values, problems, warnings: openSecrets(path, read.mode, values) }
}

/**
 * A configuration with keys in it that others can read. Said and not refused, as for a key file: whoever mounts one with keys has not
 * always a say in its mode.
 */
function openSecrets(path: string, mode: number, values: ConfigFile['values']): string[] {
  const secret = [...values].find(([, { value }]) => value instanceof Secret)
  if (secret === undefined || !isOpenToOthers(mode)) return []
  const { message, remedy } = openToOthers(`${path}: holds ${secret[0]} and`, path, mode)
  return [`${message}: ${remedy}, or keep keys in the environment or a profile`]
}

function badConfig(kind: 'config' | 'usage', problems: readonly string[]): VaultError {
  return new VaultError(kind, problems.join('\n'), {
    remedy: 'every key: docs/configuration.md, or "mdv config schema" for an editor',
  })
}

function fromFlag(spec: OptionSpec, sources: ConfigSources, problems: string[]): FileValue | undefined {
  if (spec.flag === null || !sources.sections.some((section) => spec.path.startsWith(`${section}.`)))
    return undefined
  const given = sources.flags[flagKey(spec.flag)]
  if (typeof given === 'boolean') return { value: given, origin: spec.flag }
  return typeof given === 'string' ? fromText(spec, given, spec.flag, spec.flag, problems) : undefined
}

function fromEnv(spec: OptionSpec, env: ConfigSources['env'], problems: string[]): FileValue | undefined {
  const name = envOf(spec)
  const given = env[name]
  // Empty means not set, as compose files and unit files write it.
  return given === undefined || given === ''
    ? undefined
    : fromText(spec, given, name, `environment ${name}`, problems)
}

function fromText(
  spec: OptionSpec,
  text: string,
  place: string,
  origin: string,
  problems: string[],
): FileValue | undefined {
  const read = readText(spec.type, text)
  if ('value' in read) return { value: read.value, origin }
  problems.push(`${place}: ${read.problem}`)
  return undefined
}

/** What no value says alone. */
function crossChecks(settings: readonly Setting[]): string[] {
  const at = (path: string): Setting => settings.find((setting) => setting.spec.path === path)!
  const place = ({ origin, spec }: Setting): string =>
    origin === 'default' ? spec.path : `${origin} ${spec.path}`
  const problems: string[] = []
  const key = at('coinbase.api_key')
  const secret = at('coinbase.api_secret_file')
  if (key.value !== null && secret.value === null)
    problems.push(`${place(key)}: needs coinbase.api_secret_file beside it`)
  if (secret.value !== null && key.value === null)
    problems.push(`${place(secret)}: needs coinbase.api_key beside it`)
  const feed = at('coinbase.ws_url')
  if (key.value !== null && isPlainAndFar(feed.value))
    problems.push(
      `${place(feed)}: with coinbase.api_key it has to be wss://: tokens would be readable on the way`,
    )
  problems.push(...storageProblems(at, place))
  return problems
}

/** Neither encrypted nor on this machine. */
function isPlainAndFar(address: OptionValue): boolean {
  const { protocol, hostname } = new URL(String(address))
  const isHere = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)
  return !isHere && (protocol === 'ws:' || protocol === 'http:')
}

function plainFeedWarnings({ ws_url, rest_url }: Config['coinbase']): string[] {
  return Object.entries({ ws_url, rest_url })
    .filter(([, address]) => isPlainAndFar(address))
    .map(([key, address]) => `coinbase.${key} ${address}: not encrypted: anyone on the way can change it`)
}

function configOf(settings: readonly Setting[]): Config {
  const values = new Map(settings.map(({ spec, value }) => [spec.path, value]))
  const text = (path: string): string => String(values.get(path))
  const textOrNull = (path: string): string | null => (values.get(path) === null ? null : text(path))
  const number = (path: string): number => Number(values.get(path))
  const numberOrNull = (path: string): number | null => (values.get(path) === null ? null : number(path))
  const flag = (path: string): boolean => values.get(path) === true
  const list = (path: string): readonly string[] => values.get(path) as readonly string[]
  const products = values.get('coinbase.product_ids')
  return {
    coinbase: {
      ws_url: text('coinbase.ws_url'),
      rest_url: text('coinbase.rest_url'),
      product_ids: products === 'all' ? 'all' : (products as readonly string[]),
      channels: list('coinbase.channels'),
      api_key: textOrNull('coinbase.api_key'),
      api_secret_file: pathOrNull(values.get('coinbase.api_secret_file')),
    },
    ingestion: {
      batch_size: number('ingestion.batch_size'),
      flush_interval_seconds: number('ingestion.flush_interval_seconds'),
      enable_fsync: flag('ingestion.enable_fsync'),
      segment_max_mb: number('ingestion.segment_max_mb'),
      segment_max_seconds: number('ingestion.segment_max_seconds'),
      queue_max_mb: number('ingestion.queue_max_mb'),
      spool_dir: resolve(expandHome(values.get('ingestion.spool_dir'))),
      spool_max_gb: number('ingestion.spool_max_gb'),
    },
    etl: {
      poll_interval_seconds: number('etl.poll_interval_seconds'),
      compression: text('etl.compression') as Config['etl']['compression'],
      delete_after_processing: flag('etl.delete_after_processing'),
      number_type: text('etl.number_type') as Config['etl']['number_type'],
      memory_limit_mb: number('etl.memory_limit_mb'),
      archive: flag('etl.archive'),
      archive_max_days: numberOrNull('etl.archive_max_days'),
      archive_max_gb: numberOrNull('etl.archive_max_gb'),
      compact: flag('etl.compact'),
      batch_max_segments: number('etl.batch_max_segments'),
      batch_max_mb: number('etl.batch_max_mb'),
      batch_wait_seconds: number('etl.batch_wait_seconds'),
      compact_max_mb: number('etl.compact_max_mb'),
    },
    cost: {
      storage_gb_month: number('cost.storage_gb_month'),
      put_per_1000: number('cost.put_per_1000'),
      get_per_1000: number('cost.get_per_1000'),
    },
    storage: storageOf((path) => settings.find((setting) => setting.spec.path === path)!),
  }
}

function pathOrNull(value: OptionValue | undefined): string | null {
  return typeof value === 'string' ? resolve(expandHome(value)) : null
}

/** Our variables that are no configuration keys. */
const otherVariables = /^MDV_(CONFIG|DEBUG|SUPERVISED|(TEST|CI|BENCH|DEMO)_.*)$/

function unknownVariables(env: ConfigSources['env']): string[] {
  const known = optionSpecs.map(envOf)
  return Object.keys(env)
    .filter((name) => name.startsWith('MDV_') && !known.includes(name) && !otherVariables.test(name))
    .map((name) => {
      const meant = nearest(name, known)
      return `environment ${name}: no such setting${meant === undefined ? '' : ` (did you mean ${meant}?)`}; it is ignored`
    })
}
