/** JSON Schema of the configuration file, for editors, from the options table. Pure. */

import { optionSpecs, type OptionSpec } from './options.ts'
import type { ValueType } from './option-value.ts'

export interface SchemaNode {
  readonly [key: string]: unknown
}

interface ObjectNode extends SchemaNode {
  readonly type: readonly ['object', 'null']
  readonly additionalProperties: false
  readonly properties: Record<string, SchemaNode>
}

/** Draft 7, which editors' YAML plug-ins read. */
export function configSchema(): SchemaNode {
  const root = objectNode()
  for (const spec of optionSpecs) {
    const keys = spec.path.split('.')
    let node = root
    for (const key of keys.slice(0, -1)) node = (node.properties[key] ??= objectNode()) as ObjectNode
    node.properties[keys.at(-1)!] = optionNode(spec)
  }
  return { $schema: 'http://json-schema.org/draft-07/schema#', title: 'market-data-vault', ...root }
}

function objectNode(): ObjectNode {
  return { type: ['object', 'null'], additionalProperties: false, properties: {} }
}

function optionNode(spec: OptionSpec): SchemaNode {
  const meaning = spec.default === null ? {} : { default: spec.default }
  // A key without a value means its default, so every value may be null.
  return { description: spec.doc, ...meaning, anyOf: [valueNode(spec.type), { type: 'null' }] }
}

function valueNode(type: ValueType): SchemaNode {
  switch (type.kind) {
    case 'number':
    case 'integer':
      return { type: type.kind, minimum: type.min, maximum: type.max }
    case 'boolean':
      return { type: 'boolean' }
    case 'choice':
      return { enum: type.of }
    case 'text':
    case 'secret':
    case 'path':
      return { type: 'string', minLength: 1 }
    case 'url':
      return { type: 'string', pattern: `^(${type.protocols.join('|')})://` }
    case 'products':
      return { anyOf: [{ const: 'all' }, { type: 'array', minItems: 1, items: { type: 'string' } }] }
    case 'list':
      return { type: 'array', minItems: 1, items: { enum: type.of } }
  }
}
