/** `mdv ingest`: records the feed until told to stop. */

import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { formatBytes } from '../../core/bytes.ts'
import { messageOf, VaultError } from '../../core/errors.ts'
import { makeRecorderId } from '../../core/ids.ts'
import { fetchText } from '../../ingestion/products.ts'
import { runIngestion, type IngestionProgress } from '../../ingestion/run.ts'
import { dialWebSocket } from '../../ingestion/socket.ts'
import { tokenMaker } from '../../ingestion/token.ts'
import { SegmentLog } from '../../segment/log.ts'
import { recoverActive } from '../../segment/recovery.ts'
import { realDisk } from '../../storage/disk.ts'
import { rawActive, rawReady, rawRejected } from '../../storage/keys.ts'
import { acquireLease, leaseHolder, type Lease } from '../../storage/lease.ts'
import { openLocalStore } from '../../storage/local.ts'
import type { LocalObjectStore } from '../../storage/object-store.ts'
import { isProvablyAlive, isProvablyDead, thisProcess } from '../../storage/process-identity.ts'
import { coinbase } from '../../venue/coinbase.ts'
import { sequenceNumbers } from '../../venue/sequence.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import { recordingFolder, type CoinbaseConfig, type Config } from '../config.ts'
import { software } from '../version.ts'
import { leftToNewer } from '../rescue.ts'
import { Seldom } from '../seldom.ts'
import { startShipping, type Shipping } from '../shipping.ts'
import { readKeyFile } from '../secret-file.ts'
import { writeInThread } from '../writer-thread.ts'

const megabyte = 1_000_000
const leaseMs = 60_000
const renewMs = 10_000
/** The line of progress is redrawn in place. */
const eraseLine = '\r\u001b[2K'

export const command: Command = {
  name: 'ingest',
  summary: 'record the feed into checksummed, sealed segments until told to stop',
  example: 'mdv ingest --product-ids BTC-USD,ETH-USD --channels level2,market_trades',
  sections: ['coinbase', 'ingestion', 'storage'],

  configure(parser) {
    parser.option('--watermark', 'print durable_n=… on stdout each time more lines are durable')
  },

  async run(context): Promise<ExitCode> {
    const config = await context.config()
    const makeToken = await tokens(config.coinbase, context)
    const store = await openLocalStore(recordingFolder(config))
    for (const note of store.notes) context.output.err(`note: ${note}\n`)
    await refuseUnlisted(store, context.signal)
    const lease = await holdRecorderLease(store, context)
    const lost = new AbortController()
    const renewing = renewUntil(lease, context, AbortSignal.any([context.signal, lost.signal]), lost)
    try {
      await recover(store, context)
      const shipping = startShipping(config, context)
      const progress = await record(
        store,
        config,
        makeToken,
        context,
        shipping,
        AbortSignal.any([context.signal, lost.signal]),
      )
      await summarize(progress, context)
      await shipping?.finish()
      // Whoever has the lease now has sealed what was here: this is no orderly end.
      if (lost.signal.aborted) throw lost.signal.reason
    } finally {
      lost.abort()
      await renewing
      await letGo(lease, context)
    }
    return 0
  },
}

/** What is sealed in minutes has to find its folders then. @throws {VaultError} `preflight` when one of them is a file, or closed to us */
async function refuseUnlisted(store: LocalObjectStore, signal: AbortSignal): Promise<void> {
  for (const folder of [rawActive, rawReady, rawRejected])
    for await (const _ of store.list(folder(coinbase.name), signal)) break
}

/** On a full disk it cannot be let go, and what the recording ended with must still be said; a dead owner's lease holds nobody up. */
async function letGo(lease: Lease, context: CommandContext): Promise<void> {
  try {
    await lease.release()
  } catch (error) {
    context.output.err(`could not let go of the recorder's lease: ${messageOf(error)}\n`)
  }
}

/** @throws {VaultError} `held` when another recorder lives, or may live, in this folder */
async function holdRecorderLease(store: LocalObjectStore, context: CommandContext): Promise<Lease> {
  const owner = { ...(await thisProcess()), purpose: 'mdv ingest', token: randomBytes(8).toString('hex') }
  const prefix = `${rawActive(coinbase.name)}recorder`
  // After a power loss the owner of the old lease is on another boot, which from here could be another host: wait it out.
  const options = {
    ttlMs: leaseMs,
    clock: context.clock,
    isDead: isProvablyDead,
    isAlive: isProvablyAlive,
    wait: true,
  }
  const holder = await leaseHolder(store, prefix, '.lease.json', context.signal)
  if (holder !== null && !(await isProvablyDead(holder)) && !(await isProvablyAlive(holder)))
    context.output.err(
      `the lease of ${holder.purpose}, pid ${holder.pid} on ${holder.host}, is there: watching it for ${leaseMs / 1000} s\n`,
    )
  const outcome = await acquireLease(store, prefix, '.lease.json', owner, options, context.signal)
  if (outcome.held) return outcome.lease
  const { purpose, pid, host } = outcome.by
  throw new VaultError('held', `${store.location} is recorded into by ${purpose}, pid ${pid} on ${host}`, {
    remedy:
      'stop that one first, or give this one another folder (--base-dir); if its machine is gone, try again in a minute',
  })
}

/** Another process may take the lease only from one that is dead or asleep: when it is gone, we were, and must not write on. */
async function renewUntil(
  lease: Lease,
  context: CommandContext,
  signal: AbortSignal,
  lost: AbortController,
): Promise<void> {
  const seldom = sayer(context)
  while (!signal.aborted) {
    try {
      await context.clock.sleep(renewMs, signal)
      if (await lease.renew()) continue
      lost.abort(
        new VaultError('held', 'another recorder took over this folder while this process was stopped', {
          remedy: 'start it again',
        }),
      )
      return
    } catch (error) {
      if (signal.aborted) return
      // A full or failing disk: the log says so itself and goes on; only the end of the lease stops the recording.
      seldom.say('lease', `could not renew the recorder's lease: ${messageOf(error)}`)
    }
  }
}

async function recover(store: LocalObjectStore, context: CommandContext): Promise<void> {
  const deps = { store, disk: realDisk, clock: context.clock, sequenceOf: sequenceNumbers(coinbase) }
  for (const one of await recoverActive(deps, coinbase.name, context.signal)) {
    if (one.isNewer) {
      context.output.err(`${one.label}: ${leftToNewer}; recording goes on beside it\n`)
      continue
    }
    const cut = one.cutBytes === 0 ? '' : `, ${formatBytes(one.cutBytes)} of a torn end put aside`
    context.output.err(`recovered ${one.publishedAs ?? one.label}: ${one.lines} lines${cut}\n`)
  }
}

async function record(
  store: LocalObjectStore,
  config: Config,
  makeToken: (() => Promise<string>) | null,
  context: CommandContext,
  shipping: Shipping | null,
  signal: AbortSignal,
): Promise<IngestionProgress> {
  const { clock, random } = context
  const { coinbase: feed, ingestion } = config
  const queueBytesMax = ingestion.queue_max_mb * megabyte
  const seldom = sayer(context)
  const say = (subject: string, text: string): void => seldom.say(subject, text)
  const deps = {
    clock,
    openWriter: writeInThread(store.location, shipping === null ? null : ingestion.spool_max_gb * 1e9),
    onTrouble: ({ message, remedy }: VaultError) =>
      say('trouble', `${message}${remedy === undefined ? '' : `\n  → ${remedy}`}`),
  }
  const tellDurable = context.options['watermark'] === true ? watermark(context) : undefined
  const onDurable = (durableN: number): void => {
    tellDurable?.(durableN)
    shipping?.mark(durableN, log.stats)
  }
  const log: SegmentLog = new SegmentLog(
    { ...deps, onDurable },
    {
      venue: coinbase.name,
      url: feed.ws_url,
      software,
      recorder: makeRecorderId(random),
      segmentBytesMax: ingestion.segment_max_mb * megabyte,
      segmentAgeMsMax: ingestion.segment_max_seconds * 1000,
      flushEveryMs: ingestion.flush_interval_seconds * 1000,
      flushBytes: 1024 * 1024,
      fsync: ingestion.enable_fsync,
      queueBytesMax,
    },
  )
  shipping?.whenFenced((label) => {
    say(
      'taken over',
      `${label} was taken over while the bucket was out of reach: it ends here, and the next begins`,
    )
    if (log.stats.activeLabel === label) log.rotate()
  })
  try {
    return await runIngestion(
      {
        clock,
        random,
        log,
        venue: coinbase,
        fetchText,
        dial: dialWebSocket,
        makeToken,
        report: reporter(context, shipping),
        say,
        host: hostname(),
        pid: process.pid,
      },
      {
        wsUrl: feed.ws_url,
        restUrl: feed.rest_url,
        products: feed.product_ids,
        channels: feed.channels,
        software,
        queueBytesMax,
      },
      signal,
    )
  } finally {
    await log.close()
  }
}

/** Above the line of progress, where that is redrawn. */
function sayer({ clock, output }: CommandContext): Seldom {
  return new Seldom(clock, (text) => output.err(`${output.isTerminal ? eraseLine : ''}${text}\n`))
}

/** One write a group, whatever the reader's pace: numbers only grow, so that one that waits may be skipped. */
function watermark(context: CommandContext): (durableN: number) => void {
  let waiting = 0
  let isWriting = false
  return (durableN) => {
    waiting = durableN
    if (isWriting) return
    isWriting = true
    void (async () => {
      for (let written = 0; written < waiting;) {
        written = waiting
        await context.output.out(`durable_n=${written}\n`)
      }
      isWriting = false
    })()
  }
}

/** One line redrawn on a terminal; a plain one every half minute elsewhere. */
function reporter(context: CommandContext, shipping: Shipping | null): (progress: IngestionProgress) => void {
  const { clock, output } = context
  let lastPlainMs = Number.NEGATIVE_INFINITY
  return (progress) => {
    if (context.json) {
      void output.out(`${JSON.stringify({ progress: { ...progress, ...shipping?.state } })}\n`)
      return
    }
    if (!output.isTerminal && clock.monotonicMs() - lastPlainMs < 30_000) return
    lastPlainMs = clock.monotonicMs()
    const text = progressText(progress) + (shipping?.words ?? '')
    output.err(output.isTerminal ? `${eraseLine}${text.slice(0, output.columns - 1)}` : `${text}\n`)
  }
}

function progressText(progress: IngestionProgress): string {
  const {
    framesPerSecond,
    bytesPerSecond,
    durableN,
    durableLagMs,
    products,
    connections,
    connectionsUp,
    gaps,
    queuedBytes,
  } = progress
  return (
    `recording ${products} products, ${connectionsUp}/${connections} connections · ${Math.round(framesPerSecond).toLocaleString('en')} frames/s, ` +
    `${formatBytes(Math.round(bytesPerSecond))}/s · durable_n ${durableN} (lag ${Math.round(durableLagMs)} ms, ${formatBytes(queuedBytes)} waiting) · gaps ${gaps}`
  )
}

async function summarize(progress: IngestionProgress, context: CommandContext): Promise<void> {
  if (context.json) await context.output.out(`${JSON.stringify({ summary: progress })}\n`)
  else if (context.output.isTerminal) context.output.err('\n')
  if (!context.json)
    context.output.err(
      `stopped: ${progress.durableN} lines durable, ${progress.segmentsSealed} segments sealed before the last, ${progress.gaps} gaps\n`,
    )
}

/** @throws {VaultError} `config` when the key file cannot be read, can be read by others, or holds no usable key */
async function tokens(
  config: CoinbaseConfig,
  context: CommandContext,
): Promise<(() => Promise<string>) | null> {
  const { api_key: name, api_secret_file: path } = config
  if (name === null || path === null) return null
  const pem = await readKeyFile('coinbase.api_secret_file', path)
  return tokenMaker(name, pem, context.clock, context.random)
}
