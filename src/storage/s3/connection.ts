/**
 * One client of one bucket: sends requests, again and again while that may help, and counts them. The SDK's own retries are off: it
 * would send a body again that landed and hand us the 412 of our own success, wait by its own clock and count nothing.
 */

import type { S3Client } from '@aws-sdk/client-s3'
import { backoffMs } from '../../core/backoff.ts'
import type { Timer } from '../../core/clock.ts'
import { VaultError } from '../../core/errors.ts'
import { revealCredentials, type Credentials } from '../place.ts'
import { callOnAbort, either } from './abort.ts'
import { explainS3, type S3Context } from './explain.ts'
import { isTransient, readFailure } from './failure.ts'
import { RequestCounter, type RequestKind } from './requests.ts'
import { loadSdk, type S3Sdk } from './sdk.ts'
import {
  endpointOf,
  usualRetries,
  usualTimeouts,
  type S3Deps,
  type S3Retries,
  type S3Settings,
  type Stop,
} from './settings.ts'
import { Turnstile } from './turnstile.ts'

/**
 * Requests under way. They queue here and not for a socket, where the SDK counts the wait as time to connect; reads keep their sockets
 * beside these while they stream.
 */
const requestsAtOnce = 32

/** What one attempt gets: the client, what aborts it, and how many attempts went before. */
export interface Attempt {
  readonly client: S3Client
  readonly sdk: S3Sdk
  readonly options: { readonly abortSignal: AbortSignal }
  readonly number: number
}

export class S3Connection {
  readonly sdk: S3Sdk
  readonly bucket: string
  readonly region: string
  readonly endpointUrl: string | null
  readonly forcePathStyle: boolean
  readonly counter = new RequestCounter()
  readonly clock: S3Deps['clock']
  /** Before every key of ours: empty, or ending in a slash. */
  readonly keyPrefix: string
  readonly #client: S3Client
  readonly #profile: string | undefined
  readonly #retries: S3Retries
  readonly #random: S3Deps['random']
  readonly #closing = new AbortController()
  #release: () => void = () => undefined
  #ending: Timer | undefined
  readonly #turnstile = new Turnstile(requestsAtOnce)

  constructor(settings: S3Settings, region: string, deps: S3Deps) {
    this.sdk = loadSdk()
    this.bucket = settings.bucket
    this.region = region
    this.endpointUrl = endpointOf(settings, deps.env)
    this.forcePathStyle = settings.forcePathStyle
    this.clock = deps.clock
    this.keyPrefix = settings.prefix === '' ? '' : `${settings.prefix}/`
    this.#profile = deps.env['AWS_PROFILE']
    this.#random = deps.random
    this.#retries = deps.retries ?? usualRetries
    this.#client = makeClient(this.sdk, settings, region, this.endpointUrl, deps)
  }

  /** The key in the bucket. */
  full(key: string): string {
    return this.keyPrefix + key
  }

  url(key: string): string {
    return `s3://${this.bucket}/${this.full(key)}`
  }

  context(key: string): S3Context {
    return {
      subject: this.url(key),
      bucket: this.bucket,
      region: this.region,
      endpointUrl: this.endpointUrl,
      profile: this.#profile,
    }
  }

  /**
   * One request, attempted until it succeeds or there is no more sense in it. `signal` stops it until it returns; a body that is read
   * later is for the caller to stop.
   *
   * @param beforeRetry asked before every attempt but the first; what it finds is the answer, without that attempt
   * @throws what the last attempt threw, or why it was aborted; `explained` makes sentences of it
   */
  async request<T>(
    kind: RequestKind,
    attempt: (attempt: Attempt) => Promise<T>,
    signal?: AbortSignal,
    beforeRetry?: (signal: AbortSignal) => Promise<T | undefined>,
  ): Promise<T> {
    const linked = either(signal ?? this.closing, this.closing)
    try {
      return await this.#attempts(kind, attempt, linked.signal, beforeRetry)
    } finally {
      linked.release()
    }
  }

  async #attempts<T>(
    kind: RequestKind,
    attempt: (attempt: Attempt) => Promise<T>,
    stop: AbortSignal,
    beforeRetry: ((signal: AbortSignal) => Promise<T | undefined>) | undefined,
  ): Promise<T> {
    const startMs = this.clock.monotonicMs()
    for (let number = 0; ; number++) {
      await this.#turnstile.enter(stop)
      this.counter.count(kind, number)
      try {
        return await attempt({ client: this.#client, sdk: this.sdk, options: { abortSignal: stop }, number })
      } catch (error) {
        stop.throwIfAborted()
        const isLast = number + 1 >= this.#retries.attempts
        const isLate = this.clock.monotonicMs() - startMs > this.#retries.giveUpMs
        if (isLast || isLate || !isTransient(readFailure(error))) throw error
      } finally {
        this.#turnstile.leave()
      }
      await this.pause(number, stop)
      const found = await beforeRetry?.(stop)
      if (found !== undefined) return found
    }
  }

  /** Those that requests are signed with, as they are now. */
  credentials(): ReturnType<S3Client['config']['credentials']> {
    return this.explained('', () => this.#client.config.credentials())
  }

  /** Waits before attempt `number` + 1, longer each time. */
  async pause(number: number, signal: AbortSignal): Promise<void> {
    await this.clock.sleep(backoffMs(this.#retries, number, this.#random), signal)
  }

  /** @param attempts how many went in vain @returns whether another may be started */
  mayTryAgain(error: unknown, attempts: number): boolean {
    return attempts < this.#retries.attempts && isTransient(readFailure(error))
  }

  /** Runs an operation on one key; whatever it throws comes out as a sentence. */
  async explained<T>(key: string, operation: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await operation()
    } catch (error) {
      throw this.explain(error, key, signal)
    }
  }

  explain(error: unknown, key: string, signal?: AbortSignal): unknown {
    for (const each of [signal, this.closing]) if (each?.aborted === true) return each.reason
    return explainS3(error, this.context(key))
  }

  /** Aborted when the store is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /** From here on a stop closes it, `graceMs` later; what is under way then throws the signal's reason. */
  closeAfter({ signal, graceMs }: Stop): void {
    this.#release = callOnAbort([signal], (reason) => {
      if (graceMs === 0) this.#end(reason)
      else this.#ending = this.clock.after(graceMs, () => this.#end(reason))
    })
  }

  /** Aborts what is under way and lets go of the sockets. */
  close(): void {
    this.#release()
    this.#ending?.cancel()
    this.#end(new VaultError('closed', `s3://${this.bucket}: the store was closed`))
  }

  #end(reason: unknown): void {
    this.#closing.abort(reason)
    this.#client.destroy()
  }
}

function makeClient(
  sdk: S3Sdk,
  settings: S3Settings,
  region: string,
  endpointUrl: string | null,
  deps: S3Deps,
): S3Client {
  const { connectMs, idleMs } = deps.timeouts ?? usualTimeouts
  return new sdk.S3Client({
    region,
    ...(endpointUrl === null ? {} : { endpoint: endpointUrl }),
    ...(settings.credentials === null ? {} : { credentials: identityOf(settings.credentials) }),
    forcePathStyle: settings.forcePathStyle,
    maxAttempts: 1,
    // Bodies bring their own checksums (content.ts), so that no server has to understand aws-chunked; answers are asked for theirs.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Waiting for `100 Continue` costs each large body a connection of its own.
    expectContinueHeader: false,
    logger: silentLogger,
    requestHandler: {
      connectionTimeout: connectMs,
      socketTimeout: idleMs,
      httpAgent: { keepAlive: true, maxSockets: Infinity },
      httpsAgent: { keepAlive: true, maxSockets: Infinity },
    },
  })
}

function identityOf(credentials: Credentials) {
  const { accessKeyId, secretAccessKey, sessionToken } = revealCredentials(credentials)
  return { accessKeyId, secretAccessKey, ...(sessionToken === null ? {} : { sessionToken }) }
}

const nothing = (): void => undefined
/** What the SDK has to say at length (sockets that queue up), we know. */
const silentLogger = { trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing }
