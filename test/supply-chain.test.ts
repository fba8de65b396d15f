/** What is installed with the program is what was reviewed: exact versions, a digest for each, from the registry, and none runs code to install. */

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

interface LockedPackage {
  readonly version?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly link?: boolean
  readonly hasInstallScript?: boolean
}

type Lock = Readonly<Record<string, LockedPackage>>

/**
 * A lock without `resolved` (.npmrc) takes each from the registry that is configured, and holds it to the digest.
 *
 * @returns what is against the rules, one line each
 */
function lockProblems(packages: Lock): string[] {
  const problems: string[] = []
  for (const [path, one] of Object.entries(packages)) {
    if (path === '') continue
    if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(one.integrity ?? '')) problems.push(`${path}: no SHA-512`)
    if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(one.version ?? '')) problems.push(`${path}: no exact version`)
    if (one.hasInstallScript === true) problems.push(`${path}: runs a script when it is installed`)
    if (one.link === true) problems.push(`${path}: is a link`)
    if (one.resolved !== undefined) problems.push(`${path}: from a place of its own`)
  }
  return problems
}

const root = fileURLToPath(new URL('../../', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const lock = (JSON.parse(read('package-lock.json')) as { packages: Lock }).packages

test('every locked package has an exact version and a digest, comes from the registry and runs nothing', () => {
  assert.ok(Object.keys(lock).length > 50)
  assert.deepEqual(lockProblems(lock), [])
})

const good = { version: '1.2.3', integrity: `sha512-${'A'.repeat(86)}==` }
const planted: Readonly<Record<string, LockedPackage>> = {
  'no SHA-512': { version: '1.2.3' },
  'no exact version': { ...good, version: 'git+ssh://x' },
  'runs a script': { ...good, hasInstallScript: true },
  'is a link': { ...good, link: true },
  'from a place of its own': { ...good, resolved: 'https://evil.example/x.tgz' },
}

for (const [what, one] of Object.entries(planted))
  test(`a planted package is found: ${what}`, () => {
    const problems = lockProblems({ '': {}, 'node_modules/good': good, 'node_modules/x': one })
    assert.equal(problems.length, 1)
    assert.ok(problems[0]!.includes(what))
  })

test('what package.json asks for is exact, and few: one WebSocket, one S3, one engine, one signer', () => {
  const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<
    'dependencies' | 'devDependencies',
    Record<string, string>
  >
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies }))
    assert.equal(version, lock[`node_modules/${name}`]?.version, name)
  assert.ok(Object.keys(dependencies).length <= 8)
})

test('workflows run actions pinned to a commit, and may do nothing that they do not say', () => {
  const folder = '.github/workflows'
  for (const name of readdirSync(join(root, folder))) {
    const text = read(`${folder}/${name}`)
    for (const [, action] of text.matchAll(/uses: (\S+)/g))
      assert.match(action!, /^[\w-]+\/[\w-]+@[0-9a-f]{40}$/, `${name}: ${action}`)
    assert.match(text, /^permissions:\n {2}contents: read$/m, name)
    // What others write (titles, branches) would be read by a shell.
    assert.doesNotMatch(text, /run:.*\$\{\{ *github\.(?:event|head_ref)/, name)
    assert.doesNotMatch(text, /pull_request_target/, name)
  }
})
