/**
 * One connection's life as a pure function: what it is in, what happens, what is to be done. connection.ts carries the actions out.
 *
 * waiting → connecting → streaming → closing → waiting …, and stopped from anywhere. A connection that is not streaming holds nothing
 * open; each end of streaming is written down as an open-ended gap after the last frame received.
 */

import { backoffMs, type Backoff } from '../core/backoff.ts'
import type { Random } from '../core/clock.ts'
import type { GapCause, LogEvent, WatchdogKind } from '../segment/format.ts'
import type { Notice } from '../venue/venue.ts'

export interface ConnectionSettings {
  readonly products: readonly string[]
  /** In the order they are subscribed, the keep-alive channel last. */
  readonly channels: readonly string[]
  readonly keepAliveChannel: string
  readonly bookChannel: string
  /** The name a product's data come under. */
  readonly labelOf: (product: string) => string
}

/** Milliseconds; from the venue's heartbeat of one a second and what recorded sessions took. */
export const watchdogs = {
  /** Longer than a socket waits in silence. */
  answerMs: 20_000,
  silenceMs: 5_000,
  ackMs: 10_000,
  snapshotMs: 15_000,
  /** Products that an ack lacked are asked for again. */
  askAgainMs: 30_000,
  /** Back-off begins anew after this long without trouble. */
  healthyMs: 60_000,
} as const

export const reconnectBackoff: Backoff = { firstMs: 500, limitMs: 60_000 }

/** Where the receiving stands; kept by the performer, which sees every frame. */
export interface Position {
  readonly frames: number
  /** Greatest number received; null: none yet. */
  readonly lastSequence: number | null
  readonly lastRecvNs: string | null
}

export type ConnectionState =
  /** Between attempts. `attempt` counts those without a healthy stretch after them. */
  | { readonly kind: 'waiting'; readonly attempt: number }
  | { readonly kind: 'connecting'; readonly attempt: number; readonly sinceMs: number }
  | Streaming
  /** Hung up, and waiting for the socket to say so. */
  | {
      readonly kind: 'closing'
      readonly attempt: number
      readonly sinceMs: number
      readonly cause: GapCause
      readonly reason: string
    }
  /** Told to stop; the socket may still have to end, for the reason that was there first. */
  | { readonly kind: 'stopped'; readonly cause: GapCause; readonly reason: string }

export interface Streaming {
  readonly kind: 'streaming'
  readonly attempt: number
  readonly sinceMs: number
  /** Channels whose subscribe has been sent and not acknowledged, with when. */
  readonly unacked: readonly {
    readonly channel: string
    readonly products: readonly string[]
    readonly sentMs: number
  }[]
  /** Products whose book has not begun, with when it was asked for. */
  readonly unsnapped: readonly { readonly product: string; readonly sentMs: number }[]
  /** Names of books that have begun: asked for again, they bring no second snapshot. */
  readonly begun: readonly string[]
  readonly heartbeat: number | null
}

export type ConnectionEvent =
  | { readonly kind: 'due' }
  | { readonly kind: 'opened' }
  /** New listings for this connection. */
  | { readonly kind: 'added'; readonly products: readonly string[] }
  /** Products of this connection that the venue trades no more. */
  | { readonly kind: 'removed'; readonly products: readonly string[] }
  | { readonly kind: 'sent'; readonly channel: string; readonly products: readonly string[] }
  | { readonly kind: 'notice'; readonly notice: Notice }
  | {
      readonly kind: 'jumped'
      readonly afterSequence: number
      readonly beforeSequence: number
      readonly fromNs: string
      readonly untilNs: string
    }
  | {
      readonly kind: 'disordered'
      readonly expected: number
      readonly got: number
      readonly isDuplicate: boolean
    }
  | { readonly kind: 'refused_by_queue' }
  | { readonly kind: 'tick'; readonly lastFrameMs: number }
  | {
      readonly kind: 'closed'
      readonly code: number | null
      readonly reason: string
      readonly position: Position
      readonly untilNs: string
    }
  | { readonly kind: 'stop' }

export type Action =
  | { readonly kind: 'connect' }
  | {
      readonly kind: 'subscribe'
      readonly channel: string
      readonly products: readonly string[]
      readonly afterMs: number
    }
  | { readonly kind: 'unsubscribe'; readonly channel: string; readonly products: readonly string[] }
  | { readonly kind: 'log'; readonly event: LogEvent }
  | { readonly kind: 'hang_up' }
  | { readonly kind: 'retry'; readonly afterMs: number; readonly whenQueueIsLow: boolean }

export type Step = readonly [ConnectionState, readonly Action[]]

/** What an event does to a connection. Events that a state cannot meet leave it as it is. */
export function step(
  state: ConnectionState,
  event: ConnectionEvent,
  nowMs: number,
  settings: ConnectionSettings,
  random: Random,
): Step {
  if (event.kind === 'stop') return stop(state)
  // What the frames themselves show is written down in every state: some may still arrive after we hung up.
  if (event.kind === 'disordered') return [state, [{ kind: 'log', event: disorderOf(event) }]]
  if (event.kind === 'jumped' && state.kind !== 'streaming')
    return [state, [{ kind: 'log', event: gapOf(event, settings) }]]
  switch (state.kind) {
    case 'waiting':
      return event.kind === 'due'
        ? [{ kind: 'connecting', attempt: state.attempt, sinceMs: nowMs }, [{ kind: 'connect' }]]
        : [state, []]
    case 'connecting':
      if (event.kind === 'opened') return opened(state.attempt, nowMs, settings)
      if (event.kind === 'closed')
        return afterClose(state.attempt, 'connect_failed', event.reason, event, settings, random)
      // The socket gives up on silence; this is for a server that never stops answering.
      return event.kind === 'tick' && nowMs - state.sinceMs > watchdogs.answerMs
        ? [
            {
              ...state,
              kind: 'closing',
              cause: 'connect_failed',
              reason: `no answer for ${watchdogs.answerMs} ms`,
            },
            [{ kind: 'hang_up' }],
          ]
        : [state, []]
    case 'streaming':
      return stream(state, event, nowMs, settings, random)
    case 'closing':
      return event.kind === 'closed'
        ? afterClose(state.attempt, state.cause, state.reason, event, settings, random)
        : [state, []]
    case 'stopped':
      return event.kind === 'closed'
        ? [state, closeWords(state.cause, state.reason, event, settings)]
        : [state, []]
  }
}

function disorderOf(event: Extract<ConnectionEvent, { kind: 'disordered' }>): LogEvent {
  return {
    disorder: { expected: event.expected, got: event.got, kind: event.isDuplicate ? 'duplicate' : 'late' },
  }
}

function stop(state: ConnectionState): Step {
  if (state.kind === 'stopped') return [state, []]
  if (state.kind === 'closing') return [{ kind: 'stopped', cause: state.cause, reason: state.reason }, []]
  const stopped = { kind: 'stopped', cause: 'stopped', reason: 'told to stop' } as const
  return [stopped, state.kind === 'waiting' ? [] : [{ kind: 'hang_up' }]]
}

function opened(attempt: number, nowMs: number, settings: ConnectionSettings): Step {
  const state: Streaming = {
    kind: 'streaming',
    attempt,
    sinceMs: nowMs,
    unacked: [],
    unsnapped: [],
    begun: [],
    heartbeat: null,
  }
  const keepAlive: Action = {
    kind: 'subscribe',
    channel: settings.keepAliveChannel,
    products: [],
    afterMs: 0,
  }
  return [state, [...subscribes(settings.products, settings), keepAlive]]
}

/** None without products: that would be a subscribe to all of them. */
function subscribes(products: readonly string[], settings: ConnectionSettings): Action[] {
  if (products.length === 0) return []
  return productChannels(settings).map((channel) => ({ kind: 'subscribe', channel, products, afterMs: 0 }))
}

function productChannels({ channels, keepAliveChannel }: ConnectionSettings): readonly string[] {
  return channels.filter((channel) => channel !== keepAliveChannel)
}

function stream(
  state: Streaming,
  event: ConnectionEvent,
  nowMs: number,
  settings: ConnectionSettings,
  random: Random,
): Step {
  switch (event.kind) {
    case 'added':
      return [state, subscribes(event.products, settings)]
    case 'removed':
      return removed(state, event.products, settings)
    case 'sent':
      return [sent(state, event.channel, event.products, nowMs, settings), []]
    case 'notice':
      return noticed(state, event.notice, settings)
    case 'jumped': {
      const log: Action = { kind: 'log', event: gapOf(event, settings) }
      // A first number other than 0 has been seen of this venue: written down, not worth a new connection.
      if (event.afterSequence < 0) return [state, [log]]
      const detail = `frames ${event.afterSequence + 1} to ${event.beforeSequence - 1} did not come`
      return hangUp(state, 'resubscribe', detail, [log])
    }
    case 'refused_by_queue':
      return hangUp(state, 'overflow', 'the queue to the disk is full')
    case 'tick':
      return watch(state, event.lastFrameMs, nowMs)
    case 'closed':
      return afterClose(attemptAfter(state, nowMs), 'closed', event.reason, event, settings, random)
    case 'due':
    case 'opened':
    case 'stop':
    case 'disordered':
      return [state, []]
  }
}

/** Nothing is waited for from them any more; should they come back, their books begin anew. */
function removed(state: Streaming, gone: readonly string[], settings: ConnectionSettings): Step {
  const isGone = (name: string): boolean => gone.some((one) => isSameBook(one, name, settings))
  const unacked = state.unacked
    .map((one) => ({ ...one, products: one.products.filter((product) => !gone.includes(product)) }))
    .filter((one) => one.products.length > 0 || one.channel === settings.keepAliveChannel)
  const unsnapped = state.unsnapped.filter((one) => !gone.includes(one.product))
  const begun = state.begun.filter((name) => !isGone(name))
  return [
    { ...state, unacked, unsnapped, begun },
    productChannels(settings).map((channel) => ({ kind: 'unsubscribe', channel, products: gone })),
  ]
}

function sent(
  state: Streaming,
  channel: string,
  products: readonly string[],
  nowMs: number,
  settings: ConnectionSettings,
): Streaming {
  const isExpected = (product: string): boolean =>
    channel === settings.bookChannel && !state.begun.some((one) => isSameBook(product, one, settings))
  const books = products.filter(isExpected).map((product) => ({ product, sentMs: nowMs }))
  return {
    ...state,
    unacked: [...state.unacked, { channel, products, sentMs: nowMs }],
    unsnapped: [...state.unsnapped, ...books],
  }
}

function noticed(state: Streaming, notice: Notice, settings: ConnectionSettings): Step {
  switch (notice.kind) {
    case 'snapshot':
      return [snapped(state, notice.products, settings), []]
    case 'heartbeat':
      return heartbeat(state, notice.counter)
    case 'error':
      // The subscribe is refused whole and the socket stays open, silent for it: the missing ack hangs up.
      return [state, [watchdog('refused', notice.message, settings.products)]]
    case 'ack':
      return acknowledged(state, notice.subscriptions, settings)
  }
}

function snapped(state: Streaming, products: readonly string[], settings: ConnectionSettings): Streaming {
  const isOne = (asked: string): boolean => products.some((one) => isSameBook(asked, one, settings))
  return {
    ...state,
    begun: [...new Set([...state.begun, ...products])],
    unsnapped: state.unsnapped.filter((one) => !isOne(one.product)),
  }
}

function heartbeat(state: Streaming, counter: number): Step {
  const expected = state.heartbeat === null ? counter : state.heartbeat + 1
  const actions =
    counter === expected ? [] : [watchdog('heartbeat_jump', `expected ${expected}, got ${counter}`, [])]
  return [{ ...state, heartbeat: counter }, actions]
}

/**
 * The list is cumulative, and acks come in the order of the subscribes: the oldest one whose channel is listed is answered. Products
 * it lacks are silent, and only this says so; they are asked for again later, without disturbing the others.
 */
function acknowledged(
  state: Streaming,
  subscriptions: ReadonlyMap<string, readonly string[]>,
  settings: ConnectionSettings,
): Step {
  const answered = state.unacked.find((one) => subscriptions.has(one.channel))
  if (answered === undefined) return [state, []]
  const { channel } = answered
  const listed = subscriptions.get(channel)!
  const missing = answered.products.filter(
    (product) => !listed.some((one) => isSameBook(product, one, settings)),
  )
  const unacked = state.unacked.filter((one) => one !== answered)
  if (missing.length === 0) return [{ ...state, unacked }, []]
  const isBook = channel === settings.bookChannel
  const unsnapped = isBook ? state.unsnapped.filter((one) => !missing.includes(one.product)) : state.unsnapped
  return [
    { ...state, unacked, unsnapped },
    [
      watchdog('missing_product', `the ack of ${channel} lacks ${missing.join(', ')}`, missing),
      { kind: 'subscribe', channel, products: missing, afterMs: watchdogs.askAgainMs },
    ],
  ]
}

function isSameBook(asked: string, got: string, settings: ConnectionSettings): boolean {
  return asked === got || settings.labelOf(asked) === got
}

/** The frames between are lost, and with them every book on the connection: it starts afresh for new snapshots. */
function gapOf(event: Extract<ConnectionEvent, { kind: 'jumped' }>, settings: ConnectionSettings): LogEvent {
  return {
    gap: {
      cause: 'sequence',
      after_seq: event.afterSequence < 0 ? null : event.afterSequence,
      before_seq: event.beforeSequence,
      missing: event.beforeSequence - event.afterSequence - 1,
      from_ns: event.fromNs,
      until_ns: event.untilNs,
      products: settings.products,
    },
  }
}

function watch(state: Streaming, lastFrameMs: number, nowMs: number): Step {
  if (nowMs - Math.max(lastFrameMs, state.sinceMs) > watchdogs.silenceMs) {
    const detail = `no frame for ${watchdogs.silenceMs} ms`
    return hangUp(state, 'silence', detail, [watchdog('silence', detail, [])])
  }
  const ack = state.unacked.find((one) => nowMs - one.sentMs > watchdogs.ackMs)
  if (ack !== undefined) {
    const detail = `no ack of ${ack.channel} for ${watchdogs.ackMs} ms`
    return hangUp(state, 'watchdog', detail, [watchdog('missing_ack', detail, [])])
  }
  const late = state.unsnapped
    .filter((one) => nowMs - one.sentMs > watchdogs.snapshotMs)
    .map((one) => one.product)
  if (late.length === 0) return [state, []]
  const detail = `no snapshot of ${late.join(', ')} for ${watchdogs.snapshotMs} ms`
  return hangUp(state, 'watchdog', detail, [watchdog('missing_snapshot', detail, late)])
}

function watchdog(what: WatchdogKind, detail: string, products: readonly string[]): Action {
  return { kind: 'log', event: { watchdog: { what, detail, products } } }
}

function hangUp(state: Streaming, cause: GapCause, reason: string, before: readonly Action[] = []): Step {
  return [
    { kind: 'closing', attempt: state.attempt, sinceMs: state.sinceMs, cause, reason },
    [...before, { kind: 'hang_up' }],
  ]
}

/** Back-off begins anew after a healthy stretch. */
function attemptAfter(state: { readonly attempt: number; readonly sinceMs: number }, nowMs: number): number {
  return nowMs - state.sinceMs >= watchdogs.healthyMs ? 0 : state.attempt
}

function afterClose(
  attempt: number,
  cause: GapCause,
  reason: string,
  event: Extract<ConnectionEvent, { kind: 'closed' }>,
  settings: ConnectionSettings,
  random: Random,
): Step {
  const retry: Action = {
    kind: 'retry',
    afterMs: backoffMs(reconnectBackoff, attempt, random),
    whenQueueIsLow: cause === 'overflow',
  }
  return [{ kind: 'waiting', attempt: attempt + 1 }, [...closeWords(cause, reason, event, settings), retry]]
}

/** Everything after the last frame received is missing until the next connection brings snapshots. */
function closeWords(
  cause: GapCause,
  reason: string,
  event: Extract<ConnectionEvent, { kind: 'closed' }>,
  settings: ConnectionSettings,
): Action[] {
  const { frames, lastSequence, lastRecvNs } = event.position
  const why = event.reason === '' || event.reason === reason ? reason : `${reason} (${event.reason})`
  const gap: LogEvent = {
    gap: {
      cause,
      after_seq: lastSequence,
      before_seq: null,
      missing: null,
      from_ns: lastRecvNs,
      until_ns: event.untilNs,
      products: settings.products,
    },
  }
  const closed: LogEvent = {
    connection_closed: { cause, code: event.code, reason: why, frames, last_seq: lastSequence },
  }
  return [
    { kind: 'log', event: gap },
    { kind: 'log', event: closed },
  ]
}
