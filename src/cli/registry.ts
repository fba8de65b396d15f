/** Every command of `mdv`, in the order `mdv --help` shows them. A file is loaded only when its command is asked for. */

import type { Command } from './command.ts'

export interface CommandEntry {
  readonly name: string
  /** The same words as the command's own `summary`, so that `mdv --help` need not load it; a test compares them. */
  readonly summary: string
  readonly load: () => Promise<Command>
}

export const commands: readonly CommandEntry[] = [
  {
    name: 'demo',
    summary:
      'record, convert and query a simulated exchange, then prove that nothing was lost; no network, no key',
    load: async () => (await import('./commands/demo.ts')).command,
  },
  {
    name: 'doctor',
    summary: 'check configuration, folder, disk, bucket, clock and venue, each with its remedy',
    load: async () => (await import('./commands/doctor.ts')).command,
  },
  {
    name: 'run',
    summary:
      'record and convert until Ctrl-C, each in a process of its own that is restarted when it crashes',
    load: async () => (await import('./commands/run.ts')).command,
  },
  {
    name: 'init',
    summary: 'write a commented configuration file, asking two questions on a terminal',
    load: async () => (await import('./commands/init.ts')).command,
  },
  {
    name: 'config',
    summary: 'show the effective configuration, check it, print its JSON Schema',
    load: async () => (await import('./commands/config.ts')).command,
  },
  {
    name: 'ingest',
    summary: 'record the feed into checksummed, sealed segments until told to stop',
    load: async () => (await import('./commands/ingest.ts')).command,
  },
  {
    name: 'etl',
    summary: 'turn sealed segments into Parquet, each exactly once',
    load: async () => (await import('./commands/etl.ts')).command,
  },
  {
    name: 'query',
    summary: 'ask in SQL: ticker, level2, market_trades, other, gaps, segments',
    load: async () => (await import('./commands/query.ts')).command,
  },
  {
    name: 'replay',
    summary: 'give back what was received in a range of time, as NDJSON',
    load: async () => (await import('./commands/replay.ts')).command,
  },
  {
    name: 'status',
    summary: 'what is recorded, waiting and converted; last frames, gaps today, disk days left',
    load: async () => (await import('./commands/status.ts')).command,
  },
  {
    name: 'compact',
    summary: 'merge the parts of hours and days that are over into fewer, larger ones',
    load: async () => (await import('./commands/compact.ts')).command,
  },
  {
    name: 'sync',
    summary: 'copy a vault between folders and buckets, resumable, consistent at every moment',
    load: async () => (await import('./commands/sync.ts')).command,
  },
  {
    name: 'cost',
    summary: "estimate a month's bill in a bucket, from measured rates or assumed ones",
    load: async () => (await import('./commands/cost.ts')).command,
  },
  {
    name: 'verify',
    summary: 'prove that every recorded line is in Parquet or rejected, once',
    load: async () => (await import('./commands/verify.ts')).command,
  },
  {
    name: 'segments',
    summary: 'list raw segments, look into one, recover what a dead recorder left, repair damaged ones',
    load: async () => (await import('./commands/segments.ts')).command,
  },
  {
    name: 'adopt',
    summary: 'bring in recordings of other tools (NDJSON, also .gz) and folders of Parquet',
    load: async () => (await import('./commands/adopt.ts')).command,
  },
  {
    name: 'serve',
    summary: 'answer replays over HTTP, on this machine unless told otherwise',
    load: async () => (await import('./commands/serve.ts')).command,
  },
  {
    name: 'simulate',
    summary: 'a venue on this machine that speaks the real protocol, with faults on demand',
    load: async () => (await import('./commands/simulate.ts')).command,
  },
]
