/** One file read to its end: frames into segments, the rest into rejects, then the note that it is done. */

import { rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Clock } from '../../core/clock.ts'
import { VaultError } from '../../core/errors.ts'
import { connectionId } from '../../core/ids.ts'
import { utcHour } from '../../core/time.ts'
import type { SegmentHeader } from '../../segment/format.ts'
import { publishFromElsewhere } from '../../segment/publish.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { rawRejected, segmentLabel } from '../../storage/keys.ts'
import type { Lease } from '../../storage/lease.ts'
import { adoptedFileKey, type AdoptedFile } from '../../table/adopted.ts'
import type { Mapping } from './mapping.ts'
import { readLine, type AdoptReject } from './read-line.ts'
import { RejectFile } from './reject-file.ts'
import { SealedFileWriter } from './sealed-file.ts'
import { sourceLines, type SourceLine } from './source-lines.ts'

export interface AdoptDeps {
  readonly store: ObjectStore
  readonly clock: Clock
  readonly venue: string
  /** `mdv 0.1.0` */
  readonly software: string
}

export interface AdoptOptions {
  readonly mapping: Mapping
  /** `adoptedSegmentBytes`, except in tests. */
  readonly segmentBytesMax: number
  /** Read and count only; nothing is written. */
  readonly isDryRun: boolean
  readonly onProgress: (lines: number, bytes: number) => void
}

export interface AdoptOutcome {
  /** `known`: these bytes were adopted before, nothing was done. */
  readonly kind: 'adopted' | 'known' | 'dry_run'
  readonly record: AdoptedFile
  readonly blankLines: number
  readonly rejects: Readonly<Partial<Record<AdoptReject, number>>>
  /** Segments of an earlier run that did not come to its end. */
  readonly segmentsFound: number
}

/** A constant, not the configured one: where a file is cut is part of what has to come out the same again. */
export const adoptedSegmentBytes = 100 * 1024 * 1024
/** The file, and what an earlier run already made of it. */
export interface AdoptSubject {
  readonly path: string
  readonly sizeBytes: number
  readonly mtimeMs: number
  readonly sha256: string
  readonly recorder: string
  readonly scratchDir: string
  readonly present: ReadonlySet<number>
}

export class AdoptRun {
  readonly #deps: AdoptDeps
  readonly #options: AdoptOptions
  readonly #subject: AdoptSubject
  readonly #lease: Lease | null
  readonly #segments: { first_n: number; lines: number; file_sha256: string }[] = []
  readonly #rejects: Partial<Record<AdoptReject, number>> = {}
  #writer: SealedFileWriter | null = null
  #nextN = 1
  #prev: string | null = null
  #lastRecvNs: bigint | null = null
  #frames = 0
  #blankLines = 0
  #rejected = 0
  #segmentsFound = 0

  constructor(deps: AdoptDeps, options: AdoptOptions, subject: AdoptSubject, lease: Lease | null) {
    this.#deps = deps
    this.#options = options
    this.#subject = subject
    this.#lease = lease
  }

  async toEnd(signal: AbortSignal): Promise<AdoptOutcome> {
    const { path, scratchDir } = this.#subject
    await using rejectFile = await RejectFile.create(join(scratchDir, 'rejects.ndjson'), path)
    try {
      for await (const lines of sourceLines(path, signal)) {
        signal.throwIfAborted()
        for (const line of lines) await this.#take(line, rejectFile, signal)
        const last = lines.at(-1)!
        this.#options.onProgress(last.number, last.offset + last.length)
      }
      if (this.#frames === 0) throw this.#noFrames()
      await this.#closeSegment(signal)
    } finally {
      await this.#writer?.[Symbol.asyncDispose]()
    }
    return await this.#commit(rejectFile)
  }

  async #take(line: SourceLine, rejectFile: RejectFile, signal: AbortSignal): Promise<void> {
    const read = this.#read(line)
    if (read.kind === 'blank') this.#blankLines++
    else if (read.kind === 'reject') await this.#reject(line, read.reason, read.detail, rejectFile)
    else if (read.recvNs === null && this.#lastRecvNs === null)
      await this.#reject(line, 'no_time', 'no line before it had a time either', rejectFile)
    else await this.#frame(read.recvNs ?? this.#lastRecvNs!, read.frame, signal)
  }

  #read(line: SourceLine): ReturnType<typeof readLine> {
    if (line.bytes === null) return { kind: 'reject', reason: 'too_long', detail: '' }
    if (line.number === 1 && line.bytes.subarray(0, 12).toString('latin1') === '{"segment":{')
      throw new VaultError('invalid', `${this.#subject.path}: this is a segment of mdv itself`, {
        remedy:
          'copy it into raw/ready where it ends with a seal, into raw/active for "mdv segments recover" where not',
      })
    return readLine(line.bytes, this.#options.mapping)
  }

  async #reject(
    line: SourceLine,
    reason: AdoptReject,
    detail: string,
    rejectFile: RejectFile,
  ): Promise<void> {
    this.#rejected++
    this.#rejects[reason] = (this.#rejects[reason] ?? 0) + 1
    if (!this.#options.isDryRun) await rejectFile.add(line, reason, detail)
  }

  async #frame(recvNs: bigint, frame: Buffer, signal: AbortSignal): Promise<void> {
    this.#frames++
    this.#lastRecvNs = recvNs
    if (this.#options.isDryRun) return
    this.#writer ??= await this.#openSegment(recvNs)
    await this.#writer.frame(recvNs, frame)
    if (this.#writer.sizeBytes >= this.#options.segmentBytesMax) await this.#closeSegment(signal)
  }

  async #openSegment(recvNs: bigint): Promise<SealedFileWriter> {
    const { recorder, sha256, scratchDir } = this.#subject
    const header: SegmentHeader = {
      format: 1,
      venue: this.#deps.venue,
      url: 'adopted',
      // Not the version: a later one that resumes has to make the same bytes.
      software: 'mdv adopt',
      recorder,
      n: this.#nextN,
      prev: this.#prev,
      opened_ns: String(recvNs),
    }
    const writer = await SealedFileWriter.create(
      join(scratchDir, `${this.#nextN}.ndjson`),
      header,
      connectionId(recorder, 1),
    )
    if (this.#nextN === 1)
      await writer.event(recvNs, { adopted: { sha256, mapping: this.#options.mapping.name } })
    return writer
  }

  async #closeSegment(signal: AbortSignal): Promise<void> {
    const writer = this.#writer
    if (writer === null) return
    const file = await writer.finish()
    this.#writer = null
    this.#segments.push({ first_n: writer.header.n, lines: file.seal.lines, file_sha256: file.fileSha256 })
    this.#nextN = writer.nextN
    this.#prev = file.seal.sha256
    if (this.#subject.present.has(writer.header.n)) {
      this.#segmentsFound++
      await rm(writer.path)
      return
    }
    await this.#refuseChanged()
    await this.#keepTurn()
    const hour = utcHour(Number(BigInt(writer.header.opened_ns) / 1_000_000n))
    await publishFromElsewhere(this.#deps.store, this.#deps.venue, writer.path, segmentLabel(hour, 1), signal)
  }

  async #commit(rejectFile: RejectFile): Promise<AdoptOutcome> {
    const { path, sha256, recorder } = this.#subject
    const { store, venue } = this.#deps
    const rejectsKey =
      this.#rejected === 0 ? null : `${rawRejected(venue)}adopted_${sha256.slice(0, 16)}.ndjson`
    const record: AdoptedFile = {
      format: 1,
      kind: 'segments',
      path: resolve(path),
      sha256,
      size_bytes: this.#subject.sizeBytes,
      mapping: this.#options.mapping.name,
      recorder,
      segments: this.#segments,
      frames: this.#frames,
      rejected: this.#rejected,
      rejects_key: rejectsKey,
      software: this.#deps.software,
      adopted_ms: this.#deps.clock.nowMs(),
    }
    const counts = {
      record,
      blankLines: this.#blankLines,
      rejects: this.#rejects,
      segmentsFound: this.#segmentsFound,
    }
    if (this.#options.isDryRun) return { kind: 'dry_run', ...counts }
    await this.#refuseChanged()
    if (rejectsKey !== null) await store.publishFile(await rejectFile.finish(), rejectsKey)
    await store.putIfAbsent(adoptedFileKey(venue, sha256), Buffer.from(JSON.stringify(record)))
    return { kind: 'adopted', ...counts }
  }

  /** What is published bears the digest taken at the start. */
  async #refuseChanged(): Promise<void> {
    const { path, sizeBytes, mtimeMs } = this.#subject
    const now = await stat(path)
    if (now.size === sizeBytes && now.mtimeMs === mtimeMs) return
    throw new VaultError('invalid', `${path}: it changed while it was read`, {
      remedy: 'adopt it when its writer is done with it',
    })
  }

  async #keepTurn(): Promise<void> {
    if (this.#lease === null || (await this.#lease.renew())) return
    throw new VaultError('held', 'another adoption took over while this one was held up', {
      remedy: 'run it again',
    })
  }

  #noFrames(): VaultError {
    const reasons = Object.entries(this.#rejects).map(([reason, count]) => `${count} ${reason}`)
    return new VaultError(
      'invalid',
      `${this.#subject.path}: no line holds a frame under mapping ${this.#options.mapping.name} (${reasons.join(', ') || 'the file is empty'})`,
      {
        remedy:
          'look at its first line and name where the frame is: --mapping raw=PATH,recv=PATH,unit=iso; try with --dry-run',
      },
    )
  }
}
