/** Configuration as YAML text: the effective one for `mdv config show`, a commented one for `mdv init`. Pure. */

import { stringify } from 'yaml'
import type { Setting } from './config-load.ts'
import type { OptionSpec } from './options.ts'
import type { OptionValue } from './option-value.ts'

/** A file that would have the same effect (but for secrets). Settings of one layer appear only where they are set. */
export function settingsYaml(settings: readonly Setting[], withOrigin: boolean): string {
  const shown = settings.filter(({ spec, value }) => value !== null || spec.path.split('.').length === 2)
  return treeLines(shown, (setting, indent) => {
    const line = `${indent}${keyLine(setting.spec, setting.value)}`
    return [withOrigin ? `${line.padEnd(64)} # ${setting.origin}` : line]
  })
}

/** A file to edit: every local setting with its meaning; those not in `given` are commented out at their defaults. */
export function commentedYaml(specs: readonly OptionSpec[], given: ReadonlyMap<string, OptionValue>): string {
  const rows = specs.map((spec) => ({ spec, value: given.get(spec.path) ?? spec.default }))
  return treeLines(rows, ({ spec, value }, indent) => [
    `${indent}# ${spec.doc}`,
    `${indent}${given.has(spec.path) ? '' : '# '}${keyLine(spec, value)}`,
  ])
}

/** Lines under the headings of their groups. A group whose lines are all comments is still a group: an empty one. */
function treeLines<T extends { readonly spec: OptionSpec }>(
  rows: readonly T[],
  linesOf: (row: T, indent: string) => readonly string[],
): string {
  const lines: string[] = []
  let open: readonly string[] = []
  for (const row of rows) {
    const groups = row.spec.path.split('.').slice(0, -1)
    const shared = groups.findIndex((group, i) => group !== open[i])
    if (shared !== -1)
      for (const [i, group] of groups.slice(shared).entries()) {
        if (shared + i === 0 && lines.length > 0) lines.push('')
        lines.push(`${'  '.repeat(shared + i)}${group}:`)
      }
    open = groups
    lines.push(...linesOf(row, '  '.repeat(groups.length)))
  }
  return lines.join('\n') + '\n'
}

function keyLine(spec: OptionSpec, value: OptionValue): string {
  const key = spec.path.slice(spec.path.lastIndexOf('.') + 1)
  if (value === null) return `${key}:`
  const text = stringify(value, { collectionStyle: 'flow', flowCollectionPadding: false, lineWidth: 0 })
  return `${key}: ${text.trimEnd()}`
}
