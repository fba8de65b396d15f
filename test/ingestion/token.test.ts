/** Tokens for authenticated subscribes. */

import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { decodeProtectedHeader, jwtVerify } from 'jose'
import { seededRandom } from '../../src/core/random.ts'
import { Secret } from '../../src/core/secret.ts'
import { tokenMaker } from '../../src/ingestion/token.ts'
import { ManualClock } from '../segment/manual-clock.ts'

const name = 'organizations/0a/apiKeys/1b'
const wallMs = Date.parse('2026-09-30T14:10:00Z')

function pem(type: 'sec1' | 'pkcs8', namedCurve = 'P-256'): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve })
  return privateKey.export({ type, format: 'pem' }).toString()
}

for (const type of ['sec1', 'pkcs8'] as const) {
  test(`a ${type} key signs what its public half verifies: the claims of the venue, for two minutes`, async () => {
    const key = pem(type)
    const clock = new ManualClock(wallMs)
    const token = await tokenMaker(name, new Secret(key), clock, seededRandom(1))()
    const { payload, protectedHeader } = await jwtVerify(token, createPublicKey(key), {
      algorithms: ['ES256'],
      currentDate: new Date(wallMs),
    })
    assert.deepEqual(payload, { sub: name, iss: 'cdp', nbf: wallMs / 1000, exp: wallMs / 1000 + 120 })
    assert.equal(protectedHeader.kid, name)
    assert.match(String(protectedHeader['nonce']), /^[0-9a-f]{32}$/)
  })
}

test('no two tokens are alike, and line breaks may be written as \\n', async () => {
  const make = tokenMaker(
    name,
    new Secret(pem('sec1').replaceAll('\n', '\\n')),
    new ManualClock(),
    seededRandom(1),
  )
  const [first, second] = [await make(), await make()]
  assert.notEqual(decodeProtectedHeader(first)['nonce'], decodeProtectedHeader(second)['nonce'])
})

const unusable: readonly (readonly [what: string, key: string, message: RegExp])[] = [
  ['text that is no key', 'organizations/secret-1234', /not a private key in PEM/],
  ['a key cut short', pem('sec1').slice(0, 100), /not a private key in PEM/],
  ['a key on another curve', pem('pkcs8', 'secp384r1'), /type ec secp384r1, not EC P-256/],
  [
    'an Ed25519 key',
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    /type ed25519, not EC P-256/,
  ],
]

for (const [what, key, message] of unusable) {
  test(`${what} is refused with the way out, and never quoted`, () => {
    assert.throws(
      () => tokenMaker(name, new Secret(key), new ManualClock(), seededRandom(1)),
      (error: Error & { kind: string; remedy: string }) => {
        assert.equal(error.kind, 'config')
        assert.match(error.message, message)
        assert.match(error.remedy, /CDP portal/)
        assert.equal(error.cause, undefined)
        assert.ok(!error.message.includes(key.slice(40, 60)) || key.length < 60)
        return true
      },
    )
  })
}
