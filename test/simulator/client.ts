/** A plain client of the simulator: keeps every message as it came. */

import { once } from 'node:events'
import { crc32 } from 'node:zlib'
import { WebSocket } from 'ws'
import { systemClock } from '../../src/cli/system-clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import { startSimulator, type Simulator, type SimulatorOptions } from '../../src/simulator/simulator.ts'

export interface ReceivedFrame {
  readonly text: string
  readonly isBinary: boolean
  readonly crc: number
}

export interface Envelope {
  readonly channel?: string
  readonly sequence_num?: number
  readonly events: readonly Record<string, unknown>[]
  readonly [key: string]: unknown
}

export class Client {
  readonly frames: ReceivedFrame[] = []
  readonly #socket: WebSocket
  readonly #closed: Promise<number>
  #wake: () => void = () => undefined

  private constructor(socket: WebSocket) {
    this.#socket = socket
    this.#closed = new Promise((resolve) => socket.on('close', resolve))
    // A reset is an error first; the close tells the same.
    socket.on('error', () => undefined)
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      this.frames.push({ text: data.toString('latin1'), isBinary, crc: crc32(data) })
      this.#wake()
    })
  }

  static async connect(simulator: Simulator): Promise<Client> {
    const client = new Client(
      new WebSocket(simulator.wsUrl, { perMessageDeflate: false, skipUTF8Validation: true }),
    )
    await once(client.#socket, 'open')
    return client
  }

  subscribe(channel: string, productIds?: readonly string[]): void {
    this.send({
      type: 'subscribe',
      channel,
      ...(productIds === undefined ? {} : { product_ids: productIds }),
    })
  }

  send(message: Record<string, unknown>): void {
    this.#socket.send(JSON.stringify(message))
  }

  /** Resolves with the close code. */
  get closed(): Promise<number> {
    return this.#closed
  }

  close(): void {
    this.#socket.close()
  }

  pauseReading(): void {
    this.#socket.pause()
  }

  resumeReading(): void {
    this.#socket.resume()
  }

  /** The first frame, from the `from`-th on, that fits; waits for it. */
  async find(fits: (frame: ReceivedFrame) => boolean, from = 0): Promise<ReceivedFrame> {
    for (let i = from; ; i++) {
      while (i >= this.frames.length)
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      const frame = this.frames[i]
      if (frame !== undefined && fits(frame)) return frame
    }
  }

  async count(frames: number): Promise<void> {
    let seen = 0
    await this.find(() => ++seen >= frames)
  }

  get envelopes(): Envelope[] {
    return this.frames.map((frame) => JSON.parse(frame.text) as Envelope)
  }
}

/** A small, fast market unless told otherwise; closed at the end of the scope. */
export async function withSimulator(
  options: Partial<SimulatorOptions>,
  use: (simulator: Simulator) => Promise<void>,
  clock: Clock = systemClock,
): Promise<void> {
  const defaults = { products: 3, framesPerSecond: 2000, unconflated: true, seed: 7, bookDepth: 40 }
  const simulator = await startSimulator({ ...defaults, ...options }, { clock })
  try {
    await use(simulator)
  } finally {
    await simulator.close()
  }
}
