/** What the vault needs to know of an exchange's feed. Pure knowledge: no sockets, no clock. One file a venue, one line in registry.ts. */

/** What one frame is, as far as the recorder has to know. Written by `scan` into an object that is used again. */
export interface FrameScan {
  /** The venue's number of the frame; -1: it has none. */
  sequence: number
  /** `data`: recorded and not looked at. The others steer the connection. */
  kind: 'data' | 'book' | 'ack' | 'heartbeat' | 'error'
}

/** What the recorder's side of a connection has to react to. */
export type Notice =
  /** The connection's whole set of subscriptions: channel to products. */
  | { readonly kind: 'ack'; readonly subscriptions: ReadonlyMap<string, readonly string[]> }
  | { readonly kind: 'heartbeat'; readonly counter: number }
  | { readonly kind: 'error'; readonly message: string }
  /** Whose books begin with this frame, by the names the venue gives them (`labelOf`). */
  | { readonly kind: 'snapshot'; readonly products: readonly string[] }

export interface VenueLimits {
  readonly connectsPerSecond: number
  /** Of one address, all its connections together. */
  readonly messagesPerSecond: number
  /** The recorder plans fewer than the venue accepts, to leave room for a swap. */
  readonly bookProductsPerConnection: number
  readonly productsPerMessage: number
}

export interface Product {
  readonly id: string
}

export interface Venue {
  readonly name: string
  /** Channels a user may ask for, in the order they are subscribed. */
  readonly channels: readonly string[]
  /** Subscribed on every connection, without products: keeps it open and shows that it lives. */
  readonly keepAliveChannel: string
  /** The channel whose products are limited per connection and begin with a snapshot. */
  readonly bookChannel: string
  /** Products whose books are large: planned onto different connections. */
  readonly heavyProducts: readonly string[]
  readonly limits: VenueLimits
  /** Reads a frame's envelope by bytes. */
  scan(frame: Buffer, into: FrameScan): void
  /** What a frame that `scan` called ack, heartbeat, error or book says; null when it says nothing to react to. */
  notice(frame: Buffer, kind: FrameScan['kind']): Notice | null
  /** @param jwt for authenticated subscriptions; null for public access */
  subscribeFrame(channel: string, products: readonly string[], jwt: string | null): string
  /** @param products never empty: that would be the whole channel */
  unsubscribeFrame(channel: string, products: readonly string[], jwt: string | null): string
  /** The name a product's data come under, where it is another than the one asked for. */
  readonly labelOf: (product: string) => string
  readonly productsPath: string
  /** Tradable products of the venue's list, aliases left out. @throws {VaultError} `unavailable` when it is not such a list */
  readProducts(body: string): Product[]
}
