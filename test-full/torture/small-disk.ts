/** A small file system in memory that can be filled up and freed again. Needs root. */

import { spawnSync } from 'node:child_process'
import { closeSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const sizeMb = 256
const zeros = Buffer.alloc(1024 * 1024)

/** @returns why none can be mounted here; null: one can */
export async function whyNoMount(): Promise<string | null> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'only root may mount, on Linux'
  const folder = await mkdtemp(join(tmpdir(), 'mdv-mount-'))
  try {
    const why = mount(folder, 1)
    if (why === null) unmount(folder)
    return why
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function mount(folder: string, megabytes: number): string | null {
  const done = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'mdv-torture', folder])
  return done.status === 0 ? null : `mount: ${done.stderr?.toString().trim() ?? done.error?.message}`
}

function unmount(folder: string): void {
  spawnSync('umount', [folder])
}

/** A place for a vault or a spool; `folder` is removed with it. */
export class Place {
  readonly folder: string
  readonly isSmall: boolean
  readonly #ballast: string

  private constructor(folder: string, isSmall: boolean) {
    this.folder = folder
    this.isSmall = isSmall
    this.#ballast = join(folder, 'ballast')
  }

  static async make(isSmall: boolean): Promise<Place> {
    const folder = await mkdtemp(join(tmpdir(), 'mdv-torture-'))
    const why = isSmall ? mount(folder, sizeMb) : null
    if (why !== null) throw new Error(why)
    return new Place(folder, isSmall)
  }

  /** To the last byte: what is written then finds no space. */
  fill(): void {
    const file = openSync(this.#ballast, 'w')
    try {
      for (let pieceBytes = zeros.length; pieceBytes >= 512;) {
        try {
          writeSync(file, zeros, 0, pieceBytes)
        } catch {
          pieceBytes /= 2 // ENOSPC: a smaller piece may still fit
        }
      }
    } finally {
      closeSync(file)
    }
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.folder)
    return bavail * bsize
  }

  free(): void {
    rmSync(this.#ballast, { force: true })
  }

  async remove(): Promise<void> {
    if (this.isSmall) unmount(this.folder)
    await rm(this.folder, { recursive: true, force: true })
  }
}
