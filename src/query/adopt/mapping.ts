/** How another tool wrote its lines: where the frame is, where the receive time is, and in which unit. Pure. */

import { VaultError } from '../../core/errors.ts'
import { parseRfc3339Ns } from '../../core/time.ts'

export type TimeUnit = 'ns' | 'us' | 'ms' | 's' | 'iso' | 'auto'

export interface Mapping {
  readonly name: string
  /** Paths of object keys tried in this order; the empty path is the line itself. A string there is decoded to the frame it holds. */
  readonly raw: readonly (readonly string[])[]
  /** The same for the receive time, inside the line. */
  readonly recv: readonly (readonly string[])[]
  readonly unit: TimeUnit
}

/** `bare`: a line is a frame. `recorder-v0`: `{"received_at": …, "data": …}` and its cousins. `mdv`: our own lines, without header or seal. */
export const namedMappings: readonly Mapping[] = [
  { name: 'bare', raw: [[]], recv: [['timestamp'], ['time']], unit: 'iso' },
  {
    name: 'recorder-v0',
    raw: [['data'], ['raw'], ['message'], ['msg'], ['payload']],
    recv: [['received_at'], ['recv_ts'], ['ts'], ['timestamp'], ['time']],
    unit: 'auto',
  },
  { name: 'mdv', raw: [['msg'], ['text']], recv: [['recv_ns']], unit: 'ns' },
]

const units: readonly TimeUnit[] = ['ns', 'us', 'ms', 's', 'iso', 'auto']

/** A mapping by name, or spelled out: `raw=envelope.payload,recv=meta.ts,unit=ms`. */
export function parseMapping(text: string): Mapping {
  const named = namedMappings.find((mapping) => mapping.name === text)
  if (named !== undefined) return named
  const parts = new Map(text.split(',').map((part) => splitOnce(part)))
  const [raw, recv, unit] = [parts.get('raw'), parts.get('recv'), parts.get('unit') ?? 'auto']
  const known = units.find((each) => each === unit)
  if (raw === undefined || recv === undefined || known === undefined || parts.size > 3 || !text.includes('='))
    throw new VaultError('usage', `--mapping ${text}: not a mapping`, {
      remedy: `one of ${namedMappings.map((each) => each.name).join(', ')}, or raw=PATH,recv=PATH,unit=${units.join('|')} (a path is keys with dots, for example raw=envelope.data)`,
    })
  return { name: text, raw: [toPath(raw)], recv: [toPath(recv)], unit: known }
}

function splitOnce(part: string): [string, string] {
  const at = part.indexOf('=')
  return at === -1 ? [part, ''] : [part.slice(0, at).trim(), part.slice(at + 1).trim()]
}

function toPath(text: string): readonly string[] {
  return text === '' || text === '.' ? [] : text.split('.')
}

/**
 * Epoch nanoseconds of a time as it stands in a line, exactly; undefined when it is none, or does not fit 64 bits.
 *
 * @param text the JSON value's own text: `"2025-12-03T14:00:00Z"`, `1764770400.015`, `"1764770400015"`
 * Without a unit a number's size decides: below 10^11 seconds, below 10^14 milliseconds, below 10^17 microseconds.
 */
export function parseTime(text: string, unit: TimeUnit): bigint | undefined {
  const bare = text.startsWith('"') ? (JSON.parse(text) as string) : text
  if (/^-?\d+(\.\d+)?$/.test(bare)) return unit === 'iso' ? undefined : scaled(bare, unit)
  if (unit !== 'iso' && unit !== 'auto') return undefined
  return parseIso(bare)
}

/** RFC 3339 with any offset; a time without one is read as UTC, as most recorders write it. */
function parseIso(text: string): bigint | undefined {
  const match = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(\.\d{1,9})?\d*(Z|[+-]\d{2}:?\d{2})?$/.exec(text)
  if (match === null) return undefined
  const utc = parseRfc3339Ns(`${match[1]}T${match[2]}${match[3] ?? ''}Z`)
  return utc === undefined ? undefined : utc - offsetNs(match[4] ?? 'Z')
}

function offsetNs(zone: string): bigint {
  if (zone === 'Z') return 0n
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2))
  return BigInt(zone.startsWith('-') ? -minutes : minutes) * 60_000_000_000n
}

const wholeDigitsMax = 20

function scaled(text: string, unit: TimeUnit): bigint | undefined {
  const [whole = '', fraction = ''] = text.split('.')
  // No 64-bit time has as many digits, and a number of a million of them takes long to read.
  if (whole.length > wholeDigitsMax) return undefined
  const digits = digitsOf(unit === 'auto' ? unitOf(Math.abs(Number(whole))) : unit)
  const ns = BigInt(whole + fraction.slice(0, digits).padEnd(digits, '0'))
  return ns >= -(2n ** 63n) && ns < 2n ** 63n ? ns : undefined
}

function unitOf(magnitude: number): TimeUnit {
  return magnitude < 1e11 ? 's' : magnitude < 1e14 ? 'ms' : magnitude < 1e17 ? 'us' : 'ns'
}

/** Decimal digits between a unit and nanoseconds. */
function digitsOf(unit: TimeUnit): number {
  return unit === 's' ? 9 : unit === 'ms' ? 6 : unit === 'us' ? 3 : 0
}
