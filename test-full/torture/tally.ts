/** What a run of torture did, reached and found: counts by group and name, and differences in words. */

export const groups = [
  'kills',
  'faults injected',
  'reached',
  'ended by themselves',
  'compared',
  'gaps by cause',
  'lines rejected by reason',
] as const
export type Group = (typeof groups)[number]

export class Tally {
  readonly differences: string[] = []
  readonly #counts = new Map<Group, Map<string, number>>(groups.map((group) => [group, new Map()]))

  add(group: Group, name: string, times = 1): void {
    const counts = this.#counts.get(group)!
    counts.set(name, (counts.get(name) ?? 0) + times)
  }

  count(group: Group, name: string): number {
    return this.#counts.get(group)!.get(name) ?? 0
  }

  entries(group: Group): [string, number][] {
    return [...this.#counts.get(group)!].sort(([a], [b]) => (a < b ? -1 : 1))
  }

  differ(what: string): void {
    this.differences.push(what)
  }
}
