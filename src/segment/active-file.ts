/** The growing file of the active segment: header, chunks, seal. Knows at every moment which of its bytes are durable. */

import { dirname } from 'node:path'
import { digestFile, followFile, forgetFile } from '../storage/digest.ts'
import { writeAll, writeAllPieces, type Disk, type DiskFile } from '../storage/disk.ts'
import type { Chunk } from './chunk.ts'
import { SealedConnections } from './connection-stats.ts'
import type { Seal, SegmentHeader } from './format.ts'

/** Counts over the lines so far: what the seal will say. */
interface Counts {
  readonly lines: number
  readonly bytes: number
  readonly first_n: number | null
  readonly last_n: number | null
  readonly first_recv_ns: string | null
  readonly last_recv_ns: string | null
}

const noLines: Counts = {
  lines: 0,
  bytes: 0,
  first_n: null,
  last_n: null,
  first_recv_ns: null,
  last_recv_ns: null,
}

export class ActiveFile {
  readonly path: string
  readonly label: string
  readonly header: SegmentHeader
  readonly #disk: Disk
  readonly #file: DiskFile
  readonly #connections = new SealedConnections()
  #counts: Counts = noLines
  /** Of the durable bytes; null until asked for. */
  #sha256: Promise<string> | null = null
  #durable: { readonly counts: Counts; readonly connections: string }

  private constructor(disk: Disk, file: DiskFile, path: string, label: string, header: SegmentHeader) {
    this.#disk = disk
    this.#file = file
    this.path = path
    this.label = label
    this.header = header
    this.#durable = { counts: noLines, connections: '[]' }
  }

  /** Makes the file with its header. Neither is durable before the first `sync`. EEXIST when the name is taken. */
  static async create(disk: Disk, path: string, label: string, header: SegmentHeader): Promise<ActiveFile> {
    const active = new ActiveFile(disk, await disk.create(path), path, label, header)
    // An earlier file of this name was removed.
    forgetFile(path)
    try {
      const bytes = Buffer.from(`${JSON.stringify({ segment: header })}\n`)
      await writeAll(active.#file, bytes)
      active.#counts = { ...noLines, bytes: bytes.length }
      // Before any of its lines is called durable, the file's name must be.
      await disk.syncFolder(dirname(path))
      return active
    } catch (error) {
      // Else a full disk gathers one empty file an attempt. Recovery removes what cannot be removed now.
      await active.remove().catch(() => undefined)
      throw error
    }
  }

  get sizeBytes(): number {
    return this.#counts.bytes
  }

  get lines(): number {
    return this.#counts.lines
  }

  /** Lines that a power loss keeps. */
  get durableLines(): number {
    return this.#durable.counts.lines
  }

  /** What the seal says of the durable lines: where a file that failed is to be cut, and what the next segment calls `prev`. */
  async durableSeal(): Promise<Seal> {
    const { counts, connections } = this.#durable
    this.#sha256 ??= digestFile(this.path, counts.bytes)
    // A failed look is tried again by the next caller.
    const sha256 = await this.#sha256.catch((error: unknown) => {
      this.#sha256 = null
      throw error
    })
    return { ...counts, sha256, connections: JSON.parse(connections) as Seal['connections'] }
  }

  async write(chunks: readonly Chunk[]): Promise<void> {
    const pieces = chunks
      .filter((chunk) => chunk.used > 0)
      .map((chunk) => chunk.bytes.subarray(0, chunk.used))
    await writeAllPieces(this.#file, pieces)
    for (const chunk of chunks) this.#count(chunk)
  }

  #count(chunk: Chunk): void {
    this.#connections.add(chunk.connections)
    const before = this.#counts
    const bytes = before.bytes + chunk.used
    if (chunk.lines === 0) return
    this.#counts = {
      lines: before.lines + chunk.lines,
      bytes,
      first_n: before.first_n ?? chunk.firstN,
      last_n: chunk.lastN,
      first_recv_ns: before.first_recv_ns ?? String(chunk.firstRecvNs),
      last_recv_ns: String(chunk.lastRecvNs),
    }
  }

  async sync(): Promise<void> {
    await this.#file.datasync()
    this.trustUnsynced()
  }

  /** Counts what is written as durable without syncing: for recorders that were told not to. */
  trustUnsynced(): void {
    this.#durable = { counts: this.#counts, connections: JSON.stringify(this.#connections) }
    this.#sha256 = null
    followFile(this.path, this.#counts.bytes)
  }

  /** Writes the seal after lines that are durable already, syncs and closes. */
  async seal(): Promise<void> {
    const seal = await this.durableSeal()
    await writeAll(this.#file, Buffer.from(`${JSON.stringify({ seal })}\n`))
    await this.#file.datasync()
    await this.#file.close()
    forgetFile(this.path)
  }

  /** Lets go of a file that failed. Its handle may fail once more on closing, which says nothing new. */
  async abandon(): Promise<void> {
    await this.#file.close().catch(() => undefined)
  }

  /** Removes a file in which nothing was ever durable. */
  async remove(): Promise<void> {
    await this.abandon()
    await this.#disk.unlink(this.path)
  }
}
