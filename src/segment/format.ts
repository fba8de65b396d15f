/** The shapes in a segment, format 1. docs/segment-format.md is the same in words. No I/O. */

/** First line of a segment: who wrote it, where it begins, what came before. */
export interface SegmentHeader {
  readonly format: 1
  readonly venue: string
  readonly url: string
  /** `mdv 0.1.0` */
  readonly software: string
  readonly recorder: string
  /** The counter its first line will carry. Identity of a segment is (recorder, n). */
  readonly n: number
  /** `seal.sha256` of this recorder's segment before; null in its first. */
  readonly prev: string | null
  /** Wall clock at opening, epoch ns as text: age and hour of rotation are counted from it. */
  readonly opened_ns: string
}

/** Last line of a finished segment. `bytes` and `sha256` cover everything before the seal line (header, lines and their newlines). */
export interface Seal {
  /** Lines that carry a counter: all but header and seal. */
  readonly lines: number
  readonly bytes: number
  readonly sha256: string
  /** Counters of first and last line; null in a segment without lines. */
  readonly first_n: number | null
  readonly last_n: number | null
  readonly first_recv_ns: string | null
  readonly last_recv_ns: string | null
  readonly connections: readonly SealedConnection[]
  /** Set when another process than the writer sealed it: after a crash. */
  readonly recovered?: true
  /** Set when damaged bytes were sealed anew: the next segment of its recorder names another digest as the one before it. */
  readonly repaired?: true
}

/** What a segment saw of one connection: frames with a sequence number, in order of reception. */
export interface SealedConnection {
  readonly conn: string
  readonly frames: number
  readonly first_seq: number | null
  readonly last_seq: number | null
  /** Missing sequence numbers as half-open intervals [from, until). */
  readonly gaps: readonly (readonly [from: number, until: number])[]
}

/** Why a frame was not put in as it came: `line_break` (text), `not_json` (text), `not_utf8` (base64), `binary` (base64). */
export type VerbatimReason = 'line_break' | 'not_json' | 'not_utf8' | 'binary'

/** What the recorder says of itself; one `event` line each, exactly one key. `*_ns` are epoch nanoseconds as text. */
export type LogEvent =
  | {
      readonly recorder_started: {
        software: string
        url: string
        host: string
        pid: number
        products: readonly string[]
        channels: readonly string[]
      }
    }
  /** First line of a later segment: where each connection stood when the one before ended. */
  | {
      readonly continued: {
        connections: readonly {
          conn: string
          last_seq: number | null
          last_recv_ns: string | null
          products: readonly string[]
        }[]
      }
    }
  | { readonly recorder_stopped: { reason: string } }
  | {
      readonly connection_opened: {
        url: string
        local_port: number
        products: readonly string[]
        channels: readonly string[]
      }
    }
  | {
      readonly connection_closed: {
        cause: GapCause
        code: number | null
        reason: string
        frames: number
        last_seq: number | null
      }
    }
  | { readonly subscribe_sent: { channel: string; products: readonly string[]; authenticated: boolean } }
  | { readonly gap: Gap }
  | { readonly disorder: { expected: number; got: number; kind: 'duplicate' | 'late' } }
  | { readonly clock_step: { step_ns: string } }
  | { readonly products_changed: { added: readonly string[]; removed: readonly string[] } }
  | { readonly watchdog: { what: WatchdogKind; detail: string; products: readonly string[] } }
  | {
      readonly recovered: {
        lines: number
        torn_bytes: number
        torn_key: string | null
        corrupt_lines: number
      }
    }
  /** First line of a recorder that is no recorder: its frames were read from another tool's file. */
  | { readonly adopted: { sha256: string; mapping: string } }

export type WatchdogKind =
  | 'silence'
  | 'missing_ack'
  | 'missing_snapshot'
  | 'missing_product'
  | 'heartbeat_jump'
  | 'refused'

/**
 * Why frames are missing. `sequence`: the venue's numbers jumped while the socket stayed open. `closed`: the other side hung up.
 * `silence`, `watchdog`: we hung up because nothing, or not what was asked, came. `overflow`: our queue was full.
 * `recorder_died`: no orderly end of the process. `stopped`: we were told to stop. `resubscribe`: we hung up to start afresh after a gap.
 * `disk`: the disk refused bytes. `connect_failed`: no connection could be had.
 */
export type GapCause =
  | 'sequence'
  | 'closed'
  | 'silence'
  | 'watchdog'
  | 'overflow'
  | 'recorder_died'
  | 'stopped'
  | 'resubscribe'
  | 'disk'
  | 'connect_failed'

/**
 * An interval of one connection known to be missing. Missing sequence numbers are after_seq < s < before_seq;
 * `before_seq` null: open-ended, everything after `after_seq` on this connection; `after_seq` null: from its start.
 */
export interface Gap {
  readonly cause: GapCause
  readonly after_seq: number | null
  readonly before_seq: number | null
  /** How many frames, where both ends are known. */
  readonly missing: number | null
  /** When the last frame before and the first after were received; null where there is none. */
  readonly from_ns: string | null
  readonly until_ns: string | null
  readonly products: readonly string[]
}

/** One line of a segment as read back. `offset` is its first byte in the segment. */
export type Line =
  | {
      readonly kind: 'frame'
      readonly n: number
      readonly recvNs: bigint
      readonly conn: string
      readonly frame: Buffer
      readonly verbatim: VerbatimReason | null
      readonly offset: number
    }
  | {
      readonly kind: 'event'
      readonly n: number
      readonly recvNs: bigint
      readonly conn: string | null
      readonly event: unknown
      readonly offset: number
    }
  /** A kind of line this version does not know: kept whole, never dropped. */
  | { readonly kind: 'unknown'; readonly n: number; readonly recvNs: bigint | null; readonly offset: number }

/** Longest frame the recorder accepts, bytes: twelve times the largest snapshot seen (BTC-USD, about 5 MB). */
export const frameBytesMax = 64 * 1024 * 1024
