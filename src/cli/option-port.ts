/** A TCP port as a flag gives it. */

import { VaultError } from '../core/errors.ts'

/** @throws {VaultError} `usage` */
export function readPort(given: unknown): number {
  const port = Number(given)
  if (String(given).trim() !== '' && Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  throw new VaultError('usage', `--port ${JSON.stringify(given)}: not a port`, {
    remedy: 'choose one from 1 to 65535, or 0 for any free one',
  })
}
