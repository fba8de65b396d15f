/** Credentials from each place of the AWS chain, each played by a small server or file of its own, open a bucket and are named by doctor. */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { S3Server, testAccount } from '../test/storage/s3-server/server.ts'
import { MdvProcess } from './processes.ts'

type Env = Record<string, string>
/** What a server answers; undefined: 404. */
type Answer = (request: IncomingMessage) => string | undefined

const { accessKeyId, secretAccessKey } = testAccount
const inAnHour = (): string => `${new Date(Date.now() + 3_600_000).toISOString().slice(0, 19)}Z`
const awsJson = (): string =>
  JSON.stringify({
    Code: 'Success',
    Type: 'AWS-HMAC',
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    Token: 'session',
    Expiration: inAnHour(),
  })

async function serve(t: TestContext, answer: Answer): Promise<string> {
  const server = createServer((request, response) => {
    const body = answer(request)
    response.writeHead(body === undefined ? 404 : 200).end(body)
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function write(path: string, text: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text)
  return path
}

const startUrl = 'https://example.awsapps.com/start'

/** By what doctor calls it: the environment a process finds itself in, whose home is `home`. */
const places: Readonly<Record<string, (t: TestContext, home: string) => Promise<Env>>> = {
  'the environment': () =>
    Promise.resolve({ AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }),

  'a profile': async (_t, home) => {
    const keys = `aws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`
    await write(join(home, '.aws', 'credentials'), `[vault]\n${keys}`)
    return { AWS_PROFILE: 'vault' }
  },

  // https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
  'a program that a profile names': async (_t, home) => {
    const keys = { Version: 1, AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey }
    const program = await write(join(home, 'keys.cjs'), `console.log('${JSON.stringify(keys)}')`)
    const line = `credential_process = "${process.execPath}" "${program}"`
    await write(join(home, '.aws', 'config'), `[profile vault]\n${line}\n`)
    return { AWS_PROFILE: 'vault' }
  },

  // https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
  'the container': async (t) => {
    const url = await serve(t, ({ headers }) => (headers.authorization === 'pass' ? awsJson() : undefined))
    return { AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/creds`, AWS_CONTAINER_AUTHORIZATION_TOKEN: 'pass' }
  },

  // https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html, version 2 with its token
  'the instance role': async (t) => {
    const url = await serve(t, ({ url: path, method, headers }) => {
      if (method === 'PUT') return path === '/latest/api/token' ? 'token' : undefined
      if (headers['x-aws-ec2-metadata-token'] !== 'token') return undefined
      if (path === '/latest/meta-data/iam/security-credentials/') return 'recorder'
      return path === '/latest/meta-data/iam/security-credentials/recorder' ? awsJson() : undefined
    })
    return { AWS_EC2_METADATA_SERVICE_ENDPOINT: url }
  },

  // https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
  'web identity': async (t, home) => {
    const url = await serve(
      t,
      () => `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
        <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>${accessKeyId}</AccessKeyId>
        <SecretAccessKey>${secretAccessKey}</SecretAccessKey><SessionToken>session</SessionToken>
        <Expiration>${inAnHour()}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
        </AssumeRoleWithWebIdentityResponse>`,
    )
    return {
      AWS_WEB_IDENTITY_TOKEN_FILE: await write(join(home, 'token'), 'jwt'),
      AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/recorder',
      AWS_ENDPOINT_URL_STS: url,
    }
  },

  // https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html, after an `aws sso login`
  SSO: async (t, home) => {
    const url = await serve(t, ({ headers }) =>
      headers['x-amz-sso_bearer_token'] === 'bearer'
        ? JSON.stringify({
            roleCredentials: {
              accessKeyId,
              secretAccessKey,
              sessionToken: 'session',
              expiration: Date.now() + 3_600_000,
            },
          })
        : undefined,
    )
    await write(
      join(home, '.aws', 'config'),
      `[profile vault]\nsso_session = here\nsso_account_id = 123456789012\nsso_role_name = recorder\n` +
        `[sso-session here]\nsso_start_url = ${startUrl}\nsso_region = us-east-1\nsso_registration_scopes = sso:account:access\n`,
    )
    const name = createHash('sha1').update('here').digest('hex')
    await write(
      join(home, '.aws', 'sso', 'cache', `${name}.json`),
      JSON.stringify({ startUrl, region: 'us-east-1', accessToken: 'bearer', expiresAt: inAnHour() }),
    )
    return { AWS_PROFILE: 'vault', AWS_ENDPOINT_URL_SSO: url }
  },
}

/** What of our own surroundings would come first. */
const nothing = Object.fromEntries(
  Object.keys(process.env)
    .filter((name) => /^(AWS|MDV)_/.test(name))
    .map((name) => [name, undefined]),
)

for (const [source, surround] of Object.entries(places))
  test(`credentials from ${source} open the bucket, and doctor names them`, async (t) => {
    const home = await mkdtemp(join(tmpdir(), 'mdv-credentials-'))
    t.after(() => rm(home, { recursive: true, force: true }))
    const server = await S3Server.start({ buckets: ['vault'] })
    t.after(() => server.down())
    const env = {
      ...nothing,
      HOME: home,
      USERPROFILE: home,
      AWS_REGION: 'us-east-1',
      MDV_STORAGE_BACKEND: 's3',
      MDV_STORAGE_S3_BUCKET: 'vault',
      MDV_STORAGE_S3_ENDPOINT_URL: server.url,
      MDV_STORAGE_S3_FORCE_PATH_STYLE: 'true',
      ...(await surround(t, home)),
    }
    const doctor = new MdvProcess(['doctor', '--json', '--base-dir', join(home, 'vault')], [], env)
    await doctor.ended()
    const checks = JSON.parse(doctor.lines.join('\n')) as { check: string; state: string; words: string }[]
    const said = (check: string) => checks.find((each) => each.check === check)
    assert.equal(said('bucket')?.state, 'ok', JSON.stringify(said('bucket')))
    assert.match(said('credentials')?.words ?? '', new RegExp(`^from ${source}, key …TEST`))
    assert.equal(said('rights')?.state, 'ok', JSON.stringify(said('rights')))
  })
