/**
 * The server as a process: `node dist/test/storage/s3-server/main.js --port 9000 --bucket vault --data-dir /tmp/x --faults 0.05 --seed 7`.
 * Prints `listening <url>` when it is up. SIGUSR2 switches it off, and on again.
 */

import { parseArgs } from 'node:util'
import type { FaultKind } from './faults.ts'
import { S3Server, testAccount } from './server.ts'

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    bucket: { type: 'string', multiple: true, default: ['vault'] },
    'data-dir': { type: 'string' },
    faults: { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
    region: { type: 'string', default: 'us-east-1' },
  },
})

/** What happens to requests in the field; the rest is for single tests. */
const usualKinds: readonly FaultKind[] = ['slow-down', 'internal', 'reset-before', 'reset-after', 'truncated']

const server = await S3Server.start({
  port: Number(values.port),
  buckets: values.bucket,
  seed: Number(values.seed),
  region: values.region,
  ...(values['data-dir'] === undefined ? {} : { dataDir: values['data-dir'] }),
})
const each = Number(values.faults) / usualKinds.length
server.faults.byChance(Object.fromEntries(usualKinds.map((kind) => [kind, each])))

let isUp = true
process.on('SIGUSR2', () => {
  isUp = !isUp
  void (isUp ? server.up() : server.down())
})
process.on('SIGTERM', () => {
  void server.down().then(() => process.exit(0))
})
process.stdout.write(
  `listening ${server.url} key ${testAccount.accessKeyId} secret ${testAccount.secretAccessKey} seed ${values.seed}\n`,
)
