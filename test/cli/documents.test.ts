/** Documents that are made from the code say what the code says. */

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { exampleConfig } from '../../src/cli/commands/init.ts'
import { parseConfig } from '../../src/cli/config-file.ts'
import { commands } from '../../src/cli/registry.ts'
import { envOf, flagKey, optionSpecs } from '../../src/cli/options.ts'
import { version } from '../../src/cli/version.ts'
import { configurationTables } from './configuration-doc.ts'

const fromRoot = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url))

/** `UPDATE_DOCS=1` writes the file instead, and git shows the change. */
function compare(path: string, expected: string): void {
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(fromRoot(path), expected)
  assert.equal(readFileSync(fromRoot(path), 'utf8').replaceAll('\r\n', '\n'), expected)
}

test('docs/configuration.md holds every setting of the options table', () => {
  const text = readFileSync(fromRoot('docs/configuration.md'), 'utf8').replaceAll('\r\n', '\n')
  const tables = /<!-- tables -->\n[^]*<!-- end of tables -->/
  assert.match(text, tables)
  compare(
    'docs/configuration.md',
    text.replace(tables, () => `<!-- tables -->\n\n${configurationTables()}\n<!-- end of tables -->`),
  )
})

test('config/config.example.yaml is what mdv init writes', () => {
  compare('config/config.example.yaml', exampleConfig(new Map()))
})

test('the example is valid, and so it is with every comment sign taken away', () => {
  const example = exampleConfig(new Map())
  assert.deepEqual(parseConfig('example', example).problems, [])
  const open = example.replaceAll(/^( {2})# ([a-z_]+:)/gm, '$1$2')
  const read = parseConfig('example', open)
  assert.deepEqual(read.problems, [])
  assert.equal(read.values.get('ingestion.segment_max_mb')?.value, 100)
})

test('the version is the one of package.json', () => {
  const manifest = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8')) as { version: string }
  assert.equal(version, manifest.version)
})

test('every command says in the registry what it says itself, and has a pasteable example', async () => {
  for (const entry of commands) {
    const command = await entry.load()
    assert.equal(command.name, entry.name)
    assert.equal(command.summary, entry.summary)
    assert.match(command.example, new RegExp(`^mdv ${entry.name}( |$)`))
  }
})

test('no two settings share a path, a flag of one command, or a variable', () => {
  const flags = optionSpecs.flatMap((spec) => (spec.flag === null ? [] : [flagKey(spec.flag)]))
  for (const names of [optionSpecs.map((spec) => spec.path), optionSpecs.map(envOf), flags])
    assert.equal(new Set(names).size, names.length)
})
