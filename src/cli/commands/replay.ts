/** `mdv replay`: what was received, in its order, on stdout: from raw segments where they are kept, from Parquet where not. */

import { readRequest } from '../../query/replay/request.ts'
import type { ReplayPlan } from '../../query/replay/plan.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import { openForReading } from '../open-reading.ts'
import { openReplay } from '../replaying.ts'

const venue = 'coinbase'

export const command: Command = {
  name: 'replay',
  summary: 'give back what was received in a range of time, as NDJSON',
  example: 'mdv replay --from 2025-12-03T14:00 --until 2025-12-03T14:05 --channels market_trades | jq .msg',
  sections: ['storage'],

  configure(parser) {
    parser
      .option('--date <date>', 'received on this UTC date')
      .option(
        '--from <time>',
        'received at this instant or later: 2025-12-03, 2025-12-03T14:05, 2025-12-03T14:05:00.5Z',
      )
      .option('--until <time>', 'received before this instant')
      .option('--channels <names>', 'only frames of these, with commas between: level2,market_trades')
      .option('--products <ids>', 'only frames that name one of these, with commas between')
      .addHelpText(
        'after',
        '\nEach line is one frame as it was received, or an event of the recorder, in the order of the receive time; events (gaps among them)\n' +
          'always come along. Lines of segments whose raw bytes are kept are byte for byte those that were recorded; others are made of\n' +
          'their rows again: equal as JSON, without "len" and "crc". Segments that still grow are left out, and so are rejected lines.',
      )
  },

  async run(context): Promise<ExitCode> {
    const { options, output, signal } = context
    const text = (name: string): string | undefined => options[name] as string | undefined
    const request = readRequest(
      {
        date: text('date'),
        from: text('from'),
        until: text('until'),
        channels: text('channels'),
        products: text('products'),
      },
      (key) => `--${key}`,
    )
    const config = await context.config()
    const store = await openForReading(context, config.storage)
    await using replay = await openReplay(store, venue, request, 1, signal)
    tellOfPlan(context, replay.plan)
    for await (const bytes of replay.bytes(signal)) await output.outBytes(bytes)
    return 0
  },
}

function tellOfPlan({ output }: CommandContext, { stretches, growing }: ReplayPlan): void {
  if (stretches.length === 0) output.err('nothing sealed was received in that time\n')
  if (growing > 0)
    output.err(`${growing} segment${growing === 1 ? '' : 's'} still growing: left out until sealed\n`)
}
