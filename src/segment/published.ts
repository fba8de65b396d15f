/** Whether a segment is published, by what it is and not by what it is called: it lies in raw/ready, or was bound to a job from there. */

import { forEachAtOnce } from '../core/at-once.ts'
import { bindingKey, parseSegmentLabel, rawReady } from '../storage/keys.ts'
import { listAll, type ObjectInfo, type ObjectStore } from '../storage/object-store.ts'
import { ByIdentity } from './by-identity.ts'
import type { ChunkFolder, Identified } from './chunk-folder.ts'
import { peekSegment } from './peek.ts'

/** `bound`: a job has it, or had it. Otherwise where it lies in raw/ready. */
export type Published = 'bound' | ObjectInfo

const peeksAtOnce = 16

/** What lies in raw/ready, looked at once for each hour: good for one look at growing segments. */
export class PublishedSegments {
  readonly #store: ObjectStore
  readonly #venue: string
  readonly #signal: AbortSignal
  readonly #byHour = new Map<string, ByIdentity<ObjectInfo>>()

  constructor(store: ObjectStore, venue: string, signal: AbortSignal) {
    this.#store = store
    this.#venue = venue
    this.#signal = signal
  }

  async find(owner: Identified): Promise<Published | undefined> {
    if (await this.#isBound(owner)) return 'bound'
    const ready = (await this.#readyOf(owner)).get(owner.recorder, owner.firstN)
    // Converted between the two looks.
    return ready ?? ((await this.#isBound(owner)) ? 'bound' : undefined)
  }

  /** Whether what is published has all that these chunks hold, as far as its end tells; they may hold its seal too. */
  async holds(published: Published, { sizeBytes }: ChunkFolder): Promise<boolean> {
    if (published === 'bound') return true
    const peek = await peekSegment(this.#store, published, true, this.#signal)
    if (peek === 'gone' || peek.seal === null) return false
    return sizeBytes <= peek.seal.bytes || sizeBytes === published.sizeBytes
  }

  async #isBound({ recorder, firstN }: Identified): Promise<boolean> {
    return (await this.#store.head(bindingKey(this.#venue, recorder, firstN, 1))) !== undefined
  }

  /** Whoever publishes it gives it a label of the hour in which it was opened. */
  async #readyOf({ label }: Identified): Promise<ByIdentity<ObjectInfo>> {
    const { hour } = parseSegmentLabel(label)!
    const known = this.#byHour.get(hour)
    if (known !== undefined) return known
    const ready = new ByIdentity<ObjectInfo>()
    const objects = await listAll(this.#store, `${rawReady(this.#venue)}segment_${hour}_`, this.#signal)
    await forEachAtOnce(objects, peeksAtOnce, async (object) => {
      const peek = await peekSegment(this.#store, object, false, this.#signal)
      if (peek !== 'gone' && peek.header !== null) ready.set(peek.header.recorder, peek.header.n, object)
    })
    this.#byHour.set(hour, ready)
    return ready
  }
}
