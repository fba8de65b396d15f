/**
 * The AWS SDK, by `require` and only when a bucket is opened: 0.11 s here, where `import` reads each of its CommonJS files twice and
 * takes 0.45 s.
 */

import { createRequire } from 'node:module'
import type * as Sdk from '@aws-sdk/client-s3'

export type S3Sdk = typeof Sdk

let loaded: S3Sdk | undefined

export function loadSdk(): S3Sdk {
  if (loaded === undefined) {
    const require = createRequire(import.meta.url)
    loaded = require('@aws-sdk/client-s3') as S3Sdk
    silenceNodeNotice(require)
  }
  return loaded
}

/** On Node 20 the SDK tells every start that versions after this pinned one will want Node 22; that is for us to know, not for who records. */
function silenceNodeNotice(require: NodeJS.Require): void {
  const fromSdk = createRequire(require.resolve('@aws-sdk/client-s3'))
  const { state } = fromSdk('@aws-sdk/core/client') as { state?: { warningEmitted: boolean } }
  if (state !== undefined) state.warningEmitted = true
}
