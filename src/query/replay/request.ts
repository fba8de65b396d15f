/** What a user asks to have replayed, from a command line or an address, as texts. Pure. */

import { VaultError } from '../../core/errors.ts'
import { isUtcDate, parseInstantNs } from '../../core/time.ts'
import { shapes } from '../../dataset/shape.ts'
import type { FrameFilter } from './line.ts'
import { always, type TimeRange } from './plan.ts'
import type { ReplayRequest } from './replay.ts'

/** Of any of these, undefined: not said. */
export interface AskedReplay {
  /** `2025-12-03`, UTC. */
  readonly date?: string | undefined
  /** An instant, `2025-12-03T14:05:00.5Z` or less of it. */
  readonly from?: string | undefined
  readonly until?: string | undefined
  /** Names with commas between: `level2,market_trades`. */
  readonly channels?: string | undefined
  readonly products?: string | undefined
}

const nsOfDay = 86_400_000_000_000n
const listBytesMax = 10_000

/** @param nameOf how the user knows a value: `--from`, `from=` @throws {VaultError} `usage` for what cannot be meant */
export function readRequest(asked: AskedReplay, nameOf: (key: keyof AskedReplay) => string): ReplayRequest {
  return { range: rangeOf(asked, nameOf), filter: filterOf(asked, nameOf) }
}

function rangeOf(asked: AskedReplay, nameOf: (key: keyof AskedReplay) => string): TimeRange {
  const { date, from, until } = asked
  if (date !== undefined) {
    if (from !== undefined || until !== undefined)
      throw new VaultError(
        'usage',
        `${nameOf('date')} together with ${nameOf('from')} or ${nameOf('until')}`,
        {
          remedy: 'give one or the other',
        },
      )
    const fromNs = isUtcDate(date) ? parseInstantNs(date) : undefined
    if (fromNs === undefined)
      throw new VaultError('usage', `${nameOf('date')} ${JSON.stringify(date)}: not a date`, {
        remedy: 'write it as 2025-12-03',
      })
    return { fromNs, untilNs: fromNs + nsOfDay }
  }
  const range = {
    fromNs: instantOf(from, nameOf('from')) ?? always.fromNs,
    untilNs: instantOf(until, nameOf('until')) ?? always.untilNs,
  }
  if (range.fromNs < range.untilNs) return range
  throw new VaultError(
    'usage',
    `${nameOf('from')} ${from} ${nameOf('until')} ${until}: no time lies between them`,
    {
      remedy: 'the second is not part of it: for one day give the next one there',
    },
  )
}

function instantOf(text: string | undefined, name: string): bigint | undefined {
  if (text === undefined) return undefined
  const ns = parseInstantNs(text)
  if (ns !== undefined) return ns
  throw new VaultError('usage', `${name} ${JSON.stringify(text)}: not an instant`, {
    remedy: 'write it as 2025-12-03, 2025-12-03T14:05 or 2025-12-03T14:05:00.123Z, in UTC',
  })
}

function filterOf(
  { channels, products }: AskedReplay,
  nameOf: (key: keyof AskedReplay) => string,
): FrameFilter {
  const names = namesOf(channels, nameOf('channels'))
  return {
    channels: names === null ? null : names.flatMap(channelsOf),
    products: namesOf(products, nameOf('products')),
  }
}

function namesOf(text: string | undefined, name: string): string[] | null {
  if (text === undefined) return null
  const names = text.split(',').map((one) => one.trim())
  if (text.length <= listBytesMax && names.every((one) => one !== '')) return names
  throw new VaultError('usage', `${name} ${JSON.stringify(text.slice(0, 100))}: not a list of names`, {
    remedy: 'write it as A,B',
  })
}

/** What is asked for as `level2` calls itself `l2_data`. */
function channelsOf(name: string): readonly string[] {
  const shape = shapes.find(({ table }) => table === name)
  return shape === undefined || shape.channels.includes(name) ? [name] : shape.channels
}
