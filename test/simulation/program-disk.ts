/** A machine's disk as one of its programs sees it: every operation takes virtual time, and the last ones of a dying program may remain half. */

import { relative } from 'node:path'
import type { Disk, DiskFile } from '../../src/storage/disk.ts'
import type { Program } from './program.ts'

/** Of one operation, milliseconds. */
const quickest = 0.05
const slowest = 2

export function diskOf(program: Program): Disk {
  const { machine, random } = program
  const { disk } = machine
  const delay = (): number =>
    Math.max(machine.diskStallUntilMs - machine.timeline.nowMs, 0) +
    quickest +
    random() * (slowest - quickest)
  const name = (path: string): string =>
    relative(machine.base, path).replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/, '*')
  const io = <T>(
    what: string,
    path: string,
    act: () => Promise<T>,
    half?: () => Promise<unknown>,
  ): Promise<T> => program.io(`${what} ${name(path)}`, delay(), act, half)

  const fileOf = (file: DiskFile, path: string): DiskFile => {
    program.files.add(file)
    const write = (bytes: Uint8Array, from: number, length: number): Promise<number> => {
      machine.asked('write')
      return io(
        `write ${length}`,
        path,
        () => file.write(bytes, from, length),
        () => file.write(bytes, from, Math.floor(random() * length)),
      )
    }
    return {
      write,
      writev: (pieces) => {
        const bytes = Buffer.concat(pieces)
        return write(bytes, 0, bytes.length)
      },
      datasync: () => {
        machine.asked('datasync')
        return io('datasync', path, () => file.datasync())
      },
      truncate: (sizeBytes) => io(`truncate ${sizeBytes}`, path, () => file.truncate(sizeBytes)),
      close: async () => {
        if (program.files.delete(file)) await file.close()
      },
    }
  }
  return {
    create: (path) => io('create', path, async () => fileOf(await disk.create(path), path)),
    append: (path) => io('append', path, async () => fileOf(await disk.append(path), path)),
    link: (path, newPath) => io('link', newPath, () => disk.link(path, newPath)),
    rename: (path, newPath) => io('rename', newPath, () => disk.rename(path, newPath)),
    unlink: (path) => io('unlink', path, () => disk.unlink(path)),
    syncFolder: (path) => io('syncFolder', path, () => disk.syncFolder(path)),
    makeFolder: (path) => disk.makeFolder(path),
  }
}
