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

/**
 * Names of objects and words of servers may be made to move the cursor, retitle the window or fill the clipboard of whoever reads them. Left
 * are line ends, tabs and the two sequences of our own, which colour and erase a line.
 */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/(\u001b\[\d*[Km])|[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g, '$1')
}

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
  const write = async (data: string | Uint8Array): Promise<void> => {
    if (isReaderGone || data.length === 0) return
    // The callback, not `drain`: it also comes when the reader has gone.
    await new Promise<void>((resolve) => stdout.write(data, () => resolve()))
  }
  const isTerminal = stdout.isTTY === true
  return {
    out: (text) => write(isTerminal ? printable(text) : text),
    outBytes: (bytes) => write(isTerminal ? printable(Buffer.from(bytes).toString('utf8')) : bytes),
    err(text) {
      stderr.write(printable(text))
    },
    isTerminal: stderr.isTTY === true && settings.env['TERM'] !== 'dumb',
    isOutTerminal: stdout.isTTY === true,
    useColor: stdout.isTTY === true && !noColor && settings.env['TERM'] !== 'dumb',
    // A terminal that does not know its width says 0.
    columns: [stdout.columns, stderr.columns].find((columns) => (columns ?? 0) > 0) ?? 120,
  }
}
