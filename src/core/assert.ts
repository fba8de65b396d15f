/** Invariants: a failure is our bug, never bad input, and stops the process. */

export class InvariantBroken extends Error {
  constructor(what: string) {
    super(`invariant broken: ${what}`)
    this.name = 'InvariantBroken'
  }
}

/** @param what the invariant as a true sentence: `a sealed segment keeps its size` */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new InvariantBroken(what)
}

/** The end of a switch over a union: a case that types say cannot be. */
export function unreachable(value: never): never {
  throw new InvariantBroken(`no case for ${JSON.stringify(value)}`)
}
