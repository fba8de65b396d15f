/** Secrets: no command says one, and files that hold them are theirs alone. Every command, and every way to a secret: test-full/secrets.test.ts. */

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { parseConfig } from '../../src/cli/config-file.ts'
import { Secret } from '../../src/core/secret.ts'
import { isOpenToOthers } from '../../src/cli/secret-file.ts'
import { bucketFlags, byEnvironment, canary, CanaryCage, nowhere } from './canary.ts'

test('a secret is a word to everything that prints: text, JSON, inspect, errors, clones', () => {
  const secret = new Secret(canary)
  const seen = [
    String(secret),
    [secret, 'x'].join(),
    JSON.stringify({ secret, list: [secret] }),
    inspect({ secret }, { showHidden: true, depth: 9, customInspect: true }),
    inspect(secret, { customInspect: false, showHidden: true }),
    inspect(structuredClone(secret)),
    Object.entries(secret).join(),
    new assert.AssertionError({ actual: { secret }, expected: 1, operator: 'deepStrictEqual' }).message,
  ]
  for (const one of seen) assert.ok(!one.includes(canary), one)
  assert.equal(secret.reveal(), canary)
  assert.ok(secret.isSame(new Secret(canary)) && !secret.isSame(new Secret('other')))
})

/** Ways to write a secret into YAML wrongly. */
const slips = [
  '@%',
  '`%',
  '*%',
  '&%',
  '!%',
  '!<%',
  '%%',
  '|%',
  '>%',
  '"%',
  "'%",
  '"%\\q"',
  '[%',
  '{%',
  '{%: [',
  '- %',
  '? %',
  ': %',
  '%: %',
  '%\n%',
  '\n   %\n  %',
  '[%]',
  '{a: %}',
  '"%" %',
  '"%": %',
  '!!int %',
  '\t%',
  '% # %\n\t%',
]

test('the text of a secret is taken out where it is used, and nowhere else', () => {
  const root = fileURLToPath(new URL('../../../src/', import.meta.url))
  const places = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => name.endsWith('.ts') && name !== 'core/secret.ts' && name !== 'storage/place.ts')
    .filter((name) => /\breveal(Credentials)?\(/.test(readFileSync(join(root, name), 'utf8')))
  assert.deepEqual(places.sort(), [
    'cli/demo/place.ts',
    'cli/shipping.ts',
    'ingestion/token.ts',
    'query/remote.ts',
    'storage/s3/connection.ts',
  ])
})

test('a secret written wrongly into the file is not quoted in the words about it', () => {
  for (const key of ['aws_secret_access_key', 'aws_session_token'])
    for (const slip of slips) {
      const value = slip.replaceAll('%', canary)
      for (const yaml of [`storage:\n  s3:\n    ${key}: ${value}\n`, `storage: {s3: {${key}: ${value}}}\n`]) {
        const { problems, values } = parseConfig('c.yaml', yaml)
        assert.ok(!problems.join('\n').includes(canary), `${yaml}→ ${problems.join('\n')}`)
        assert.ok(!inspect(values, { depth: 9 }).includes(canary), yaml)
      }
    }
})

let cage: CanaryCage

before(async () => {
  cage = await CanaryCage.open()
})
after(() => cage.close())

test('with secrets in the environment, commands on a bucket say none and leave none', async () => {
  const at = bucketFlags(cage.server.url)
  const lines: readonly (readonly string[])[] = [
    ['config', 'show', '--origin', ...at],
    ['config', 'show', '--json', ...at],
    ['doctor', ...at, ...nowhere],
    ['query', 'SELECT * FROM duckdb_secrets(redact = false)', ...at],
  ]
  const ends = await Promise.all(lines.map((args) => cage.mdv(args, byEnvironment)))
  for (const { args, code, words } of ends) {
    assert.ok(!words.includes(canary), `mdv ${args.join(' ')}\n${words}`)
    assert.notEqual(code, 1, words)
  }
  // The key was really used: by a stranger's the bucket is refused.
  assert.match(ends[2]!.words, /put, get, list, delete/)
  assert.deepEqual(cage.filesWithCanary(), [])
})

test('mode bits that let others read or write are seen, and on Windows mean nothing', () => {
  for (const mode of [0o644, 0o640, 0o604, 0o620, 0o602, 0o610])
    assert.deepEqual([isOpenToOthers(mode, 'linux'), isOpenToOthers(mode, 'win32')], [true, false])
  for (const mode of [0o600, 0o400, 0o700]) assert.ok(!isOpenToOthers(mode, 'linux'))
})

test('a key file is refused while others may read it, by the recorder and by the doctor alike', async (t) => {
  if (process.platform === 'win32') return t.skip('mode bits mean nothing there')
  const path = join(cage.folder, 'open.pem')
  await writeFile(path, canary)
  const flags = ['--api-key', 'organizations/a', '--api-secret-file', path, '--base-dir', 'keys', ...nowhere]
  await chmod(path, 0o640)
  for (const name of ['ingest', 'doctor']) {
    const { words } = await cage.mdv([name, ...flags])
    assert.match(words, /open\.pem can be read by others \(mode 640\)/)
    assert.match(words, /chmod 600/)
    assert.ok(!words.includes(canary))
  }
})

test('a configuration with keys that others may read is warned of, one without is not', async (t) => {
  if (process.platform === 'win32') return t.skip('mode bits mean nothing there')
  await mkdir(join(cage.folder, 'c'))
  const path = join(cage.folder, 'c', 'c.yaml')
  const validate = ['config', 'validate', '--config', path]
  await writeFile(path, 'storage: {base_dir: x}\n', { mode: 0o644 })
  assert.doesNotMatch((await cage.mdv(validate)).words, /warning/)
  await writeFile(path, `storage: {s3: {aws_access_key_id: a, aws_secret_access_key: "${canary}"}}\n`)
  const { code, words } = await cage.mdv(validate)
  assert.equal(code, 0)
  assert.match(
    words,
    /warning: .*c\.yaml: holds storage\.s3\.aws_secret_access_key and can be read by others \(mode 644\): chmod 600/,
  )
  assert.ok(!words.includes(canary))
  await chmod(path, 0o600)
  assert.doesNotMatch((await cage.mdv(validate)).words, /warning/)
})
