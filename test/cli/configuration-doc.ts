/** The tables of docs/configuration.md, from the options table. */

import { envOf, optionSpecs, sectionOf, sections, type OptionSpec } from '../../src/cli/options.ts'

/** Settings of one layer are told in words, not rows. */
function isShown(spec: OptionSpec): boolean {
  return spec.path.split('.').length === 2 || spec.path.startsWith('storage.s3.')
}

export function configurationTables(): string {
  return sections
    .map((section) => {
      const rows = optionSpecs.filter((spec) => isShown(spec) && sectionOf(spec) === section).map(row)
      return `## ${section}\n\n| key | default | values | meaning | flag, variable |\n| --- | --- | --- | --- | --- |\n${rows.join('\n')}\n`
    })
    .join('\n')
}

function row(spec: OptionSpec): string {
  const fallback = spec.default === null ? '' : `\`${String(spec.default).replaceAll(',', ', ')}\``
  const flag = spec.flag === null ? '' : `\`${spec.flag}\`, `
  return `| \`${spec.path}\` | ${fallback} | ${values(spec)} | ${spec.doc} | ${flag}\`${envOf(spec)}\` |`
}

function values({ type }: OptionSpec): string {
  switch (type.kind) {
    case 'number':
    case 'integer':
      return `${type.min} to ${type.max} ${type.unit}`
    case 'boolean':
      return 'true, false'
    case 'choice':
      return type.of.join(', ')
    case 'text':
    case 'secret':
      return 'text'
    case 'path':
      return 'path'
    case 'url':
      return type.protocols.map((protocol) => `${protocol}://…`).join(', ')
    case 'products':
      return 'list, or all'
    case 'list':
      return 'list'
  }
}
