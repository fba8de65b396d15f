/** A secret, put by each way there is, and every command: nothing they say, leave on disk or put into the bucket holds it. */

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  bucketFlags,
  byChain,
  byEnvironment,
  canary,
  CanaryCage,
  nowhere,
  type Ended,
} from '../test/cli/canary.ts'

let cage: CanaryCage

before(async () => {
  cage = await CanaryCage.open()
})
after(() => cage.close())

/** Each has the credentials in its hands; many fail, at one stage or another. */
function commandsAt(endpoint: string): readonly (readonly string[])[] {
  const at = bucketFlags(endpoint)
  return [
    ['config', 'show', '--origin', ...at],
    ['config', 'show', '--json', ...at],
    ['config', 'validate', '--json', ...at],
    ['status', '--json', ...at],
    ['doctor', ...at, ...nowhere],
    ['doctor', '--policy', ...at],
    ['query', 'SELECT * FROM level2; SELECT * FROM duckdb_secrets()', ...at],
    ['query', 'SELECT * FROM duckdb_secrets(redact = false)', ...at],
    ['query', "SELECT * FROM read_parquet('s3://vault/none.parquet')", '--allow-files', ...at],
    ['query', 'SELEC', '--json', ...at],
    ['query', '--snippet', 'duckdb', ...at],
    ['verify', '--json', ...at],
    ['cost', ...at],
    ['etl', '--once', ...at],
    ['compact', ...at],
    ['segments', 'list', ...at],
    ['sync', 's3://vault/one', 's3://vault/two', ...at],
    ['sync', 's3://vault/one', './copy', ...at],
    ['ingest', ...nowhere, '--spool-dir', './spool', '--channels', 'nothing', ...at],
    ['adopt', './no-such-file', ...at],
  ]
}

const ways: Readonly<Record<string, () => Promise<Readonly<Record<string, string>>>>> = {
  'the environment': async () => byEnvironment,
  'the chain of AWS': async () => byChain,
  'the configuration file': async () => {
    const path = join(cage.folder, 'keys.yaml')
    const keys = `aws_access_key_id: AKIDCANARY, aws_secret_access_key: "${canary}", aws_session_token: "${canary}"`
    await writeFile(path, `storage: {s3: {${keys}}}\n`, { mode: 0o600 })
    return { MDV_CONFIG: path }
  },
}

/** Two at a time: most wait for an address that does not answer. */
async function runAll(
  lines: readonly (readonly string[])[],
  env: Readonly<Record<string, string>>,
): Promise<Ended[]> {
  const left = [...lines]
  const ends: Ended[] = []
  const work = async (): Promise<void> => {
    for (let args = left.shift(); args !== undefined; args = left.shift())
      ends.push(await cage.mdv(args, env))
  }
  await Promise.all([work(), work()])
  return ends
}

for (const [way, make] of Object.entries(ways))
  test(`with a secret in ${way} no command says it or leaves it anywhere, working or failing`, async () => {
    const env = await make()
    const demo = ['demo', '--seconds', '4', '--storage', 's3', '--dir', `demo-${way.length}`]
    const working = [...commandsAt(cage.server.url), [...demo, ...bucketFlags(cage.server.url)]]
    const failing = commandsAt('http://127.0.0.1:9')
    const ends = await runAll([...working, ...failing], env)
    for (const { args, code, words } of ends) {
      assert.ok(!words.includes(canary), `mdv ${args.join(' ')}\n${words}`)
      assert.notEqual(code, 1, `mdv ${args.join(' ')}\n${words}`)
    }
    // They did get as far as to use it, and to be refused without it.
    const demoEnd = ends.find(({ args }) => args[0] === 'demo')
    assert.equal(demoEnd?.code, 0, demoEnd?.words)
    assert.ok(ends.some(({ code }) => code === 5))
    assert.deepEqual(
      cage.filesWithCanary().filter((path) => !path.endsWith('keys.yaml')),
      [],
    )
  })
