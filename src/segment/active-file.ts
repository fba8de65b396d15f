/** The growing file of the active segment: header, chunks, seal. Knows at every moment which of its bytes are durable. */

import { createHash, type Hash } from 'node:crypto'
import { dirname } from 'node:path'
import { writeAll, type Disk, type DiskFile } from '../storage/disk.ts'
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
  readonly #hash: Hash = createHash('sha256')
  readonly #connections = new SealedConnections()
  #counts: Counts = noLines
  #durable: { readonly counts: Counts; readonly hash: Hash; readonly connections: string }

  private constructor(disk: Disk, file: DiskFile, path: string, label: string, header: SegmentHeader) {
    this.#disk = disk
    this.#file = file
    this.path = path
    this.label = label
    this.header = header
    this.#durable = { counts: noLines, hash: createHash('sha256'), connections: '[]' }
  }

  /** Makes the file with its header. Neither is durable before the first `sync`. EEXIST when the name is taken. */
  static async create(disk: Disk, path: string, label: string, header: SegmentHeader): Promise<ActiveFile> {
    const active = new ActiveFile(disk, await disk.create(path), path, label, header)
    try {
      await active.#append(Buffer.from(`${JSON.stringify({ segment: header })}\n`))
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

  /** Lines and bytes that a power loss keeps, and their digest: where a file that failed is to be cut. */
  get durable(): { readonly lines: number; readonly seal: Seal } {
    const { counts, hash, connections } = this.#durable
    return {
      lines: counts.lines,
      seal: {
        ...counts,
        sha256: hash.copy().digest('hex'),
        connections: JSON.parse(connections) as Seal['connections'],
      },
    }
  }

  async write(chunk: Chunk): Promise<void> {
    await this.#append(chunk.bytes.subarray(0, chunk.used))
    this.#connections.add(chunk.connections)
    if (chunk.lines === 0) return
    const before = this.#counts
    this.#counts = {
      lines: before.lines + chunk.lines,
      bytes: before.bytes,
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
    this.#durable = {
      counts: this.#counts,
      hash: this.#hash.copy(),
      connections: JSON.stringify(this.#connections),
    }
  }

  /** Writes the seal after lines that are durable already, syncs and closes. @returns the digest the next segment names as `prev` */
  async seal(): Promise<string> {
    const { seal } = this.durable
    await writeAll(this.#file, Buffer.from(`${JSON.stringify({ seal })}\n`))
    await this.#file.datasync()
    await this.#file.close()
    return seal.sha256
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

  async #append(bytes: Uint8Array): Promise<void> {
    await writeAll(this.#file, bytes)
    this.#hash.update(bytes)
    this.#counts = { ...this.#counts, bytes: this.#counts.bytes + bytes.length }
  }
}
