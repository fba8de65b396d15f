/** How far a proof is: counts, and the same in words. Pure. */

import { formatBytes } from '../../core/bytes.ts'
import { durationWords } from '../../core/duration.ts'

/** Items are segments under raw/, and receipts with their parts. */
export class VerifyProgress {
  doneItems = 0
  totalItems = 0
  doneBytes = 0
  totalBytes = 0
  /** What was begun last. */
  what = ''

  expect(items: number, bytes: number): void {
    this.totalItems += items
    this.totalBytes += bytes
  }

  begin(what: string): void {
    this.what = what
  }

  /** Passes bytes by, and counts them. */
  async *reading(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of bytes) {
      this.doneBytes += chunk.length
      yield chunk
    }
  }
}

/** `verify 12 of 340 · 1.2 GB of 8.0 GB · 84.1 MB/s · 1m 21s left · job x`. */
export function progressWords(progress: VerifyProgress, seconds: number): string {
  const { doneItems, totalItems, doneBytes, totalBytes, what } = progress
  if (totalItems === 0) return 'verify: listing'
  const bytesPerSecond = seconds > 0 ? doneBytes / seconds : 0
  const words = [
    `verify ${doneItems.toLocaleString('en-US')} of ${totalItems.toLocaleString('en-US')}`,
    `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`,
    `${formatBytes(Math.round(bytesPerSecond))}/s`,
  ]
  if (bytesPerSecond > 0 && totalBytes > doneBytes)
    words.push(`${durationWords((totalBytes - doneBytes) / bytesPerSecond)} left`)
  return what === '' ? words.join(' · ') : [...words, what].join(' · ')
}
