/**
 * Tokens for authenticated subscribes: a JWT signed with a CDP API key (ES256), made anew for each message, good for two minutes.
 * Public market data needs none. Claims and header as the venue's WebSocket authentication page has them (2026-07).
 */

import { createPrivateKey, type KeyObject } from 'node:crypto'
import { SignJWT } from 'jose'
import type { Clock, Random } from '../core/clock.ts'
import { VaultError } from '../core/errors.ts'
import type { Secret } from '../core/secret.ts'

const validSeconds = 120

/**
 * @param keyName `organizations/…/apiKeys/…`
 * @param pem EC P-256 private key, SEC1 or PKCS #8
 * @throws {VaultError} `config` when the key cannot sign; never with the key in its words
 */
export function tokenMaker(
  keyName: string,
  pem: Secret,
  clock: Clock,
  random: Random,
): () => Promise<string> {
  const key = readKey(pem)
  return () => {
    const nowSeconds = Math.floor(clock.nowMs() / 1000)
    const nonce = Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join('')
    return new SignJWT({ sub: keyName, iss: 'cdp', nbf: nowSeconds, exp: nowSeconds + validSeconds })
      .setProtectedHeader({ alg: 'ES256', kid: keyName, nonce, typ: 'JWT' })
      .sign(key)
  }
}

/** @throws {VaultError} as `tokenMaker` */
export function readKey(pem: Secret): KeyObject {
  let key: KeyObject
  try {
    // Keys are handed out with their line breaks written as \n.
    key = createPrivateKey(pem.reveal().replaceAll('\\n', '\n'))
  } catch {
    // The cause is left out: it may quote the key.
    throw new VaultError('config', 'coinbase.api_secret_file: not a private key in PEM', {
      remedy: keyRemedy,
    })
  }
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (key.asymmetricKeyType === 'ec' && curve === 'prime256v1') return key
  throw new VaultError(
    'config',
    `coinbase.api_secret_file: a key of type ${key.asymmetricKeyType}${curve === undefined ? '' : ` ${curve}`}, not EC P-256`,
    { remedy: keyRemedy },
  )
}

const keyRemedy =
  'make an ECDSA key in the CDP portal and save its private key, from BEGIN to END, in that file'
