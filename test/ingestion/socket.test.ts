/** What a dialled socket tells of servers that answer in crumbs, send messages in pieces or speak TLS. */

import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { dialWebSocket } from '../../src/ingestion/socket.ts'
import { sends, serverFrame, welcome, withRawServer, type Respond } from './raw-server.ts'

/** What waits for ever has failed. */
const patience = { timeout: 30_000 }

/** All that is told until it is closed: frames as text, reads that follow one another as one. */
async function heard(respond: Respond): Promise<string[]> {
  const told: string[] = []
  await withRawServer(
    respond,
    (port) =>
      new Promise((resolve) => {
        dialWebSocket(`ws://127.0.0.1:${port}`, {
          opened: () => told.push('opened'),
          read: () => told.at(-1) === 'read' || told.push('read'),
          frame: (frame) => told.push(frame.toString()),
          closed: (code) => {
            told.push(`closed ${code}`)
            resolve()
          },
        })
      }),
  )
  return told
}

const goodbye = serverFrame(0x88, Buffer.from([3, 232]))
const one = serverFrame(0x81, '{"a":1}')
const two = serverFrame(0x81, '{"b":2}')

function inCrumbs(bytes: (accept: string) => Buffer): Respond {
  return (socket, accept) => {
    socket.setNoDelay(true)
    crumble(socket, bytes(accept))
  }
}

function crumble(socket: Socket, bytes: Buffer): void {
  const [first, rest] = [bytes.subarray(0, 1), bytes.subarray(1)]
  if (first.length > 0) socket.write(first, () => setImmediate(() => crumble(socket, rest)))
}

test('frames in one packet with the yes are there, with a read before them', patience, async () => {
  const atOnce: Respond = (socket, accept) =>
    socket.write(Buffer.concat([Buffer.from(welcome(accept)), one, two, goodbye]))
  assert.deepEqual(await heard(atOnce), ['opened', 'read', '{"a":1}', '{"b":2}', 'closed 1000'])
})

test('a yes in single bytes is a yes', patience, async () => {
  const told = await heard(inCrumbs((accept) => Buffer.concat([Buffer.from(welcome(accept)), one, goodbye])))
  assert.deepEqual(told, ['opened', 'read', '{"a":1}', 'read', 'closed 1000'])
})

test('news before the yes are no answer', patience, async () => {
  const hints = 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'
  const hinted: Respond = (socket, accept) =>
    socket.write(Buffer.concat([Buffer.from(hints + welcome(accept)), one, goodbye]))
  assert.deepEqual(await heard(hinted), ['opened', 'read', '{"a":1}', 'closed 1000'])
})

test('thousands of blank lines are no answer, and no way to end the recorder', patience, async () => {
  const blank: Respond = (socket) => socket.end('\r\n\r\n'.repeat(50_000))
  assert.deepEqual(await heard(blank), ['closed 1006'])
  const news: Respond = (socket) => socket.end('HTTP/1.1 100 \r\n\r\n'.repeat(20_000))
  assert.deepEqual(await heard(news), ['closed 1006'])
})

test('an answer that is none is refused at its first byte', patience, async () => {
  const other: Respond = (socket) => socket.write('SSH-2.0-x\r\n')
  assert.deepEqual(await heard(other), ['closed 1006'])
  const endless: Respond = (socket) => socket.write(`HTTP/1.1 101 Yes\r\nX: ${'x'.repeat(100_000)}`)
  assert.deepEqual(await heard(endless), ['closed 1006'])
})

test(
  'a message in large pieces stands between those before and after it, and a ping is answered',
  patience,
  async () => {
    const large = 'x'.repeat(300_000)
    const stream = Buffer.concat([
      one,
      serverFrame(0x01, large),
      serverFrame(0x89, 'there?'),
      serverFrame(0x00, large),
      serverFrame(0x80, '!'),
      two,
    ])
    const answered: Buffer[] = []
    const told = await heard(
      sends(stream, (socket) => {
        socket.on('data', (bytes) => {
          answered.push(bytes)
          socket.write(goodbye)
        })
      }),
    )
    assert.deepEqual(
      told.filter((what) => what !== 'read'),
      ['opened', '{"a":1}', `${large}${large}!`, '{"b":2}', 'closed 1000'],
    )
    // A pong, masked as a client's frames are.
    assert.deepEqual([...answered[0]!.subarray(0, 2)], [0x8a, 0x80 + 'there?'.length])
  },
)

test('what comes after a goodbye is nothing', patience, async () => {
  const told = await heard(sends(Buffer.concat([one, goodbye, two])))
  assert.deepEqual(
    told.filter((what) => what !== 'read'),
    ['opened', '{"a":1}', 'closed 1000'],
  )
})
