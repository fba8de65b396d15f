/** Values as JSON for `--json`: keys as in every other JSON of the vault (snake_case), counters beyond a double's reach as text. */

/** One document, ended by a newline. @param indent spaces a level; 0: one line */
export function toJson(value: unknown, indent: number): string {
  return JSON.stringify(plain(value), null, indent) + '\n'
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [snakeCase(name), plain(inner)]))
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
