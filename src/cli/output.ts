/** Where words go: data on stdout, talk on stderr. A reader that leaves (`| head`) is no error. */

import type { WriteStream } from 'node:tty'
import { systemCode } from '../core/errors.ts'
import type { Output } from './command.ts'

export interface OutputSettings {
  readonly env: Readonly<Record<string, string | undefined>>
  /** `--no-color` was given. */
  readonly isPlain: boolean
  /** Called once when nobody reads stdout any more. */
  readonly onReaderGone: () => void
}

type Stream = Pick<WriteStream, 'write' | 'on'> & { readonly isTTY?: boolean; readonly columns?: number }

export function makeOutput(stdout: Stream, stderr: Stream, settings: OutputSettings): Output {
  let isReaderGone = false
  stdout.on('error', (error) => {
    if (systemCode(error) !== 'EPIPE') throw error
    if (!isReaderGone) settings.onReaderGone()
    isReaderGone = true
  })
  // A recorder outlives the terminal that showed its progress.
  stderr.on('error', () => undefined)
  const noColor = settings.isPlain || (settings.env['NO_COLOR'] ?? '') !== ''
  return {
    async out(text) {
      if (isReaderGone || text === '') return
      // The callback, not `drain`: it also comes when the reader has gone.
      await new Promise<void>((resolve) => stdout.write(text, () => resolve()))
    },
    err(text) {
      stderr.write(text)
    },
    isTerminal: stderr.isTTY === true && settings.env['TERM'] !== 'dumb',
    isOutTerminal: stdout.isTTY === true,
    useColor: stdout.isTTY === true && !noColor && settings.env['TERM'] !== 'dumb',
    // A terminal that does not know its width says 0.
    columns: [stdout.columns, stderr.columns].find((columns) => (columns ?? 0) > 0) ?? 120,
  }
}
