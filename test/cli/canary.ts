/** A secret nobody may find again, and the commands that have it in their hands: for tests that look for it in all they say and leave. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { S3Server } from '../storage/s3-server/server.ts'

/** No part of any other word. */
export const canary = 'cAnArY/4711+wJalrXUtnFEMI'

export const byEnvironment = {
  MDV_STORAGE_S3_AWS_ACCESS_KEY_ID: 'AKIDCANARY',
  MDV_STORAGE_S3_AWS_SECRET_ACCESS_KEY: canary,
  MDV_STORAGE_S3_AWS_SESSION_TOKEN: `${canary}-token`,
}

export const byChain = {
  AWS_ACCESS_KEY_ID: 'AKIDCANARY',
  AWS_SECRET_ACCESS_KEY: canary,
  AWS_SESSION_TOKEN: `${canary}-token`,
}

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))

export interface Ended {
  readonly args: readonly string[]
  readonly code: number | null
  /** Standard output and error. */
  readonly words: string
}

/** A folder to work in, and a bucket whose owner's secret is the canary; the objects lie in the folder too. */
export class CanaryCage {
  readonly folder: string
  readonly server: S3Server

  private constructor(folder: string, server: S3Server) {
    this.folder = folder
    this.server = server
  }

  static async open(): Promise<CanaryCage> {
    const folder = await mkdtemp(join(tmpdir(), 'mdv-canary-'))
    const server = await S3Server.start({
      buckets: ['vault'],
      dataDir: join(folder, 'bucket'),
      accounts: [{ accessKeyId: 'AKIDCANARY', secretAccessKey: canary }],
    })
    return new CanaryCage(folder, server)
  }

  async close(): Promise<void> {
    await this.server.down()
    await rm(this.folder, { recursive: true, force: true })
  }

  /** Runs `mdv` to its end, with all that it says when it is asked for more. */
  async mdv(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
    const clean = Object.entries(process.env).filter(([name]) => !/^(MDV_|AWS_)/.test(name))
    const child = spawn(process.execPath, [main, ...args], {
      cwd: this.folder,
      env: { ...Object.fromEntries(clean), HOME: this.folder, MDV_DEBUG: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const ended = once(child, 'close') as Promise<[number | null]>
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
    return { args, code: (await ended)[0], words: `${out}\n${err}` }
  }

  /** Every file below the folder, objects of the bucket among them, that holds the canary. */
  filesWithCanary(): string[] {
    return readdirSync(this.folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => readFileSync(path).includes(canary))
  }
}

export function bucketFlags(endpoint: string): readonly string[] {
  return ['--backend', 's3', '--s3-bucket', 'vault', '--s3-force-path-style', '--s3-endpoint-url', endpoint]
}

/** A venue that is not there. */
export const nowhere = ['--ws-url', 'ws://127.0.0.1:9', '--rest-url', 'http://127.0.0.1:9']
