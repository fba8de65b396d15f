/** One line that is given back, and which of them are wanted. Pure. */

import { walkEnvelope } from '../../venue/envelope.ts'

export interface ReplayLine {
  readonly n: number
  /** null: a line of a newer kind that has none. */
  readonly recvNs: bigint | null
  /** The whole line and its newline. */
  readonly text: Buffer
  /** The frame as it was received; null: no frame. */
  readonly frame: Buffer | null
}

/** Which frames are wanted; null: all. What is not a frame (the recorder's own events, gaps among them) always comes along. */
export interface FrameFilter {
  /** By the `channel` of the frame: `l2_data`, `market_trades`. */
  readonly channels: readonly string[] | null
  /** Frames with at least one event or item of these. */
  readonly products: readonly string[] | null
}

/** Every frame. */
export const everyFrame: FrameFilter = { channels: null, products: null }

/** @returns null when nothing is left out */
export function wanted({ channels, products }: FrameFilter): ((line: ReplayLine) => boolean) | null {
  if (channels === null && products === null) return null
  const ofChannels = channels === null ? null : new Set(channels)
  const ofProducts = products === null ? null : new Set(products)
  const quoted = (products ?? []).map((id) => JSON.stringify(id))
  return ({ frame }) =>
    frame === null ||
    ((ofChannels === null || ofChannels.has(channelOf(frame))) &&
      (ofProducts === null || namesProduct(frame, ofProducts, quoted)))
}

/** Empty: none, or not JSON. */
function channelOf(frame: Buffer): string {
  let channel = ''
  walkEnvelope(frame, (bytes, keyFrom, keyUntil, valueFrom, valueUntil) => {
    if (bytes.toString('latin1', keyFrom, keyUntil) !== 'channel') return false
    channel = bytes.toString('utf8', valueFrom + 1, valueUntil - 1)
    return true
  })
  return channel
}

/** Products are listed under `id`, named under `product_id` everywhere else. A frame without the id in quotes does not name it, unless it writes characters by number; only the others are parsed. */
function namesProduct(frame: Buffer, ids: ReadonlySet<string>, quoted: readonly string[]): boolean {
  if (!quoted.some((text) => frame.includes(text)) && !frame.includes('\\u')) return false
  try {
    let isNamed = false
    JSON.parse(frame.toString('utf8'), (key, value: unknown) => {
      isNamed ||= (key === 'product_id' || key === 'id') && typeof value === 'string' && ids.has(value)
      return undefined
    })
    return isNamed
  } catch {
    return false // not JSON: of no product
  }
}
