/** A soak: recorder, converter and merger at work against a simulated exchange, watched for as long as one likes. */

import { mkdir, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Exchange } from '../exchange.ts'
import { mdv } from '../processes.ts'
import { compareParquet, PassingSegments, silences, type Accounting } from './account.ts'
import { processMeasures, sizesUnder, vaultMeasures } from './measure.ts'
import { OlderHours } from './older-hours.ts'
import { Samples, type Row } from './samples.ts'
import { Idle, Watched, type Sampling } from './watched.ts'

export interface SoakOptions {
  readonly seconds: number
  /** Frames a second. */
  readonly rate: number
  readonly products: number
  readonly seed: number
  readonly segmentSeconds: number
  readonly sampling: Sampling
  /** Seconds between two connections that fall silent, two rounds of questions, two looks at everything, two late segments. */
  readonly every: {
    readonly silence: number
    readonly ask: number
    readonly verify: number
    readonly older: number
  }
}

export interface SoakResult {
  readonly rows: readonly Row[]
  readonly accounting: Accounting
  /** Bytes printed, by process. */
  readonly logBytes: Readonly<Record<string, number>>
  readonly silenced: number
  /** Gaps of cause silence: those asked for, and those of a machine on which the simulator got no time for five seconds. */
  readonly silencesHeard: number
  readonly merges: number
  readonly segmentsCaught: number
  readonly questions: number
  readonly scratchFilesLeft: number
  readonly segmentsLeft: number
  readonly verified: string
  /** What went wrong on the way, one line each. */
  readonly failures: readonly string[]
}

/** Longer than the recorder's patience, so that it is the recorder that ends it. */
const silenceMs = 20_000
/** Of `mdv compact --watch`. */
const compactRoundMs = 600_000
const freeBytesMin = 3e9
/** A connection that falls silent this shortly before the end would be closed by it, for another reason. */
const noticedWithinS = 15

interface Plan {
  readonly everyS: number
  dueS: number
  /** @returns false: it could not be done yet, and is tried again at the next sample */
  readonly act: () => Promise<boolean | void>
}

export class Soak {
  readonly #options: SoakOptions
  readonly #say: (text: string) => void
  readonly #exchange: Exchange
  readonly #watched: readonly Watched[]
  readonly #idle: Idle
  readonly #baseDir: string
  readonly #samples = new Samples()
  readonly #passing: PassingSegments
  readonly #older: OlderHours
  readonly #startMs = Date.now()
  readonly #failures: string[] = []
  #sayDueS = 0
  #silenced = 0
  #questions = 0
  /** Questions go one after the other, beside the sampling. */
  #asking: Promise<void> | null = null

  private constructor(
    options: SoakOptions,
    folder: string,
    exchange: Exchange,
    watched: readonly Watched[],
    say: (text: string) => void,
  ) {
    this.#options = options
    this.#say = say
    this.#exchange = exchange
    this.#watched = watched
    this.#idle = new Idle(folder, options.sampling)
    this.#baseDir = join(folder, 'vault')
    this.#passing = new PassingSegments(folder, this.#baseDir)
    this.#older = new OlderHours(folder, this.#baseDir, this.#startMs, compactRoundMs)
  }

  /** Starts everything; whatever happens afterwards, `stop` has to be called. @param folder empty, for the vault and what is beside it */
  static async start(options: SoakOptions, folder: string, say: (text: string) => void): Promise<Soak> {
    const { rate, products, seed, segmentSeconds, sampling } = options
    const base = ['--base-dir', join(folder, 'vault')]
    await mkdir(join(folder, 'vault'), { recursive: true })
    const market = [
      '--rate',
      String(rate),
      '--products',
      String(products),
      '--book-depth',
      '100',
      '--unconflated',
    ]
    const exchange = await Exchange.start(...market, '--seed', String(seed), '--account-frames', '40000000')
    const start = (name: string, ...args: string[]): Watched =>
      new Watched(name, [...args, ...base], folder, sampling)
    const watched = [
      start('ingest', '--segment-max-seconds', String(segmentSeconds), ...exchange.flags),
      start('etl', '--watch', '--poll-interval-seconds', '2'),
      start('compact', '--watch'),
    ]
    const soak = new Soak(options, folder, exchange, watched, say)
    try {
      await watched[0]!.process.errorLine(/^recording /)
      return soak
    } catch (error) {
      await soak.stop()
      throw error
    }
  }

  /** Lets it go on for its time, then ends it in order and says how it was. */
  async run(): Promise<SoakResult> {
    const { seconds, every, sampling } = this.#options
    const { sampleMs } = sampling
    const plans: Plan[] = [
      { everyS: every.silence, dueS: every.silence, act: () => this.#silence() },
      { everyS: every.ask, dueS: every.ask / 2, act: () => this.#ask(['status'], ['query', gapsSql]) },
      {
        everyS: every.verify,
        dueS: every.verify,
        act: () => this.#ask(['verify', '--since', this.#today()]),
      },
      { everyS: every.older, dueS: 0, act: () => this.#older.bring(Date.now()) },
      { everyS: 60, dueS: 10, act: async () => this.#passing.look(this.#today().replaceAll('-', '')) },
    ]
    for (let s = 0; s < seconds; s = this.#elapsedS()) {
      for (const plan of plans) {
        if (s < plan.dueS) continue
        if ((await plan.act()) !== false) plan.dueS = s + plan.everyS
      }
      await this.#sample(s)
      await sleep(Math.max(0, sampleMs - ((Date.now() - this.#startMs) % sampleMs)))
    }
    await this.#asking
    return this.#end()
  }

  /** Kills what still runs. */
  async stop(): Promise<void> {
    for (const { process } of this.#watched) process.child.kill('SIGKILL')
    this.#idle.stop()
    await this.#exchange.stop()
  }

  #elapsedS(): number {
    return (Date.now() - this.#startMs) / 1000
  }

  #today(): string {
    return new Date().toISOString().slice(0, 10)
  }

  async #sample(s: number): Promise<void> {
    const idle = this.#idle.sample()
    for (const one of this.#watched) this.#samples.add(one.name, s, one.measure(s, idle))
    this.#samples.add('vault', s, vaultMeasures(this.#baseDir))
    this.#samples.add('simulator', s, processMeasures(this.#exchange.pid))
    const { bavail, bsize } = await statfs(this.#baseDir)
    if (bavail * bsize < freeBytesMin)
      throw new Error(`only ${bavail * bsize} bytes free: the soak would fill the disk`)
    const recording = this.#watched[0]!.process.errors.findLast((line) => line.startsWith('recording'))
    if (s < this.#sayDueS) return
    this.#sayDueS = s + 60
    this.#say(`${Math.round(s)} s: ${recording}`)
  }

  /** The connection that has been open longest goes on without a word. */
  async #silence(): Promise<void> {
    if (this.#options.seconds - this.#elapsedS() < noticedWithinS) return
    const open = (await this.#exchange.account()).filter(({ closedMs }) => closedMs === null)
    if (open[0] === undefined)
      return void this.#failures.push(`no connection was open at ${this.#elapsedS()} s`)
    await this.#exchange.fault({ kind: 'silence', ms: silenceMs }, open[0].id)
    this.#silenced++
  }

  /** Left out while the last ones are not answered. */
  async #ask(...commands: readonly (readonly string[])[]): Promise<void> {
    if (this.#asking !== null) return
    this.#asking = (async () => {
      for (const command of commands) {
        try {
          await mdv(...command, '--base-dir', this.#baseDir)
          this.#questions++
        } catch (error) {
          this.#failures.push(`at ${Math.round(this.#elapsedS())} s: ${(error as Error).message}`)
        }
      }
      this.#asking = null
    })()
    await Promise.resolve()
  }

  async #end(): Promise<SoakResult> {
    const base = ['--base-dir', this.#baseDir]
    await this.#exchange.pause()
    for (const { name, process } of this.#watched) {
      const code = await process.end('SIGINT')
      if (code !== 0 && code !== 130)
        this.#failures.push(`${name} exited ${code}: ${process.errors.slice(-3).join(' | ')}`)
      if (name === 'ingest') await mdv('etl', '--once', ...base)
    }
    await mdv('etl', '--once', ...base)
    const verified = (await mdv('verify', ...base)).lines.join(' ')
    const accounting = await compareParquet(this.#baseDir, this.#exchange, this.#passing)
    const [, , compact] = this.#watched.map(({ process }) => process)
    return {
      rows: this.#samples.rows(['simulator']),
      accounting,
      logBytes: Object.fromEntries(this.#watched.map((one) => [one.name, one.logBytes])),
      silenced: this.#silenced,
      silencesHeard: await silences(this.#baseDir),
      merges: compact!.lines.filter((line) => /: \d+ jobs, /.test(line)).length,
      segmentsCaught: this.#passing.caught,
      questions: this.#questions,
      scratchFilesLeft: sizesUnder(join(this.#baseDir, '.mdv')).length,
      segmentsLeft: sizesUnder(join(this.#baseDir, 'raw', 'ready')).length,
      verified,
      failures: this.#failures,
    }
  }
}

const gapsSql = 'SELECT cause, count(*) FROM gaps GROUP BY cause'
