/** `mdv serve`: replays over HTTP, until stopped. */

import { once } from 'node:events'
import { VaultError } from '../../core/errors.ts'
import { replayAnswer } from '../../web/replay.ts'
import { isLoopback, startServer } from '../../web/server.ts'
import type { Command, ExitCode } from '../command.ts'
import { openForReading } from '../open-reading.ts'
import { readPort } from '../option-port.ts'
import { openReplay } from '../replaying.ts'

const venue = 'coinbase'
/** How many may need DuckDB's memory at once. */
const shares = 8
const idleMs = 120_000

export const command: Command = {
  name: 'serve',
  summary: 'answer replays over HTTP, on this machine unless told otherwise',
  example: 'mdv serve --port 8080',
  sections: ['storage'],

  configure(parser) {
    parser
      .option('--port <port>', 'TCP port; 0 takes any free one', '8080')
      .option(
        '--host <address>',
        'address to listen at; any other than this machine lets the network read',
        '127.0.0.1',
      )
      .addHelpText(
        'after',
        "\n  curl 'http://127.0.0.1:8080/v1/replay?date=2025-12-03&channels=market_trades'\n" +
          '\nGET /v1/replay takes date, or from and until; channels and products: as "mdv replay" does. An answer that was not cut off is whole.',
      )
  },

  async run(context): Promise<ExitCode> {
    const { options, output, signal } = context
    const host = String(options['host'])
    const port = readPort(options['port'])
    if (host === '')
      throw new VaultError('usage', '--host: empty', { remedy: 'leave it out, or name an address' })
    const config = await context.config()
    const store = await openForReading(context, config.storage)
    const server = await startServer({
      host,
      port,
      routes: {
        '/v1/replay': replayAnswer(
          (request, asked) => openReplay(store, venue, request, shares, asked),
          idleMs,
        ),
      },
      onTrouble: (words) => output.err(`${words}\n`),
    })
    if (!isLoopback(host))
      output.err(`warning: whoever reaches ${host} can read this vault, unencrypted and without a password\n`)
    await output.out(
      context.json ? `${JSON.stringify({ url: server.url })}\n` : `serving ${server.url}/v1/replay\n`,
    )
    if (!signal.aborted) await once(signal, 'abort')
    await server.close()
    return 0
  },
}
