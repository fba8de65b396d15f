/** The simulator's account is what was on the wire, frame by frame and byte by byte. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client, withSimulator, type ReceivedFrame } from './client.ts'

const sequenceOf = (frame: ReceivedFrame): number => {
  const match = /"sequence_num":\s*(\d+)/.exec(frame.text.slice(0, 200))
  return match === null ? -1 : Number(match[1])
}

test('the account of a connection equals what its client received', async () => {
  await withSimulator({ products: 4, framesPerSecond: 20_000 }, async (simulator) => {
    const clients = [await Client.connect(simulator), await Client.connect(simulator)]
    for (const client of clients) {
      client.subscribe('level2')
      client.subscribe('market_trades')
      client.subscribe('ticker')
      client.subscribe('candles')
      client.subscribe('status')
      client.subscribe('heartbeats')
      await client.count(3000)
    }
    await simulator.pause()
    const account = simulator.account()
    for (const [i, client] of clients.entries()) {
      const sent = simulator.framesOf(i + 1)
      await client.count(sent.length)
      assert.deepEqual(
        client.frames.map((frame) => ({ sequence: sequenceOf(frame), crc: frame.crc })),
        sent,
      )
      assert.deepEqual(
        sent.map(({ sequence }) => sequence),
        sent.map((_, sequence) => sequence),
      )
    }
    assert.equal(
      account.frames,
      clients.reduce((sum, client) => sum + client.frames.length, 0),
    )
    const wire = (await (await fetch(`${simulator.controlUrl}/frames?connection=1`)).json()) as {
      sequences: number[]
      crcs: number[]
    }
    assert.deepEqual(
      wire.crcs,
      simulator.framesOf(1).map(({ crc }) => crc),
    )
    assert.equal(wire.sequences.length, wire.crcs.length)
  })
})

test('the account keeps as many numbers and checksums as it may, and counts the rest; large ones come as bytes', async () => {
  await withSimulator({ accountFramesMax: 30 }, async (simulator) => {
    const client = await Client.connect(simulator)
    client.subscribe('ticker')
    await client.count(100)
    await simulator.pause()
    const [account] = simulator.account().connections
    const answer = await fetch(`${simulator.controlUrl}/account/frames?connection=1`)
    const bytes = Buffer.from(await answer.arrayBuffer())
    assert.deepEqual(
      Array.from({ length: bytes.length / 8 }, (_, i) => ({
        sequence: bytes.readInt32LE(i * 8),
        crc: bytes.readUInt32LE(i * 8 + 4),
      })),
      client.frames.slice(0, 30).map((frame) => ({ sequence: sequenceOf(frame), crc: frame.crc })),
    )
    assert.ok(account !== undefined && account.frames >= 100)
    assert.deepEqual(account.delivered, [[0, account.frames]])
  })
})

test('a client that stops reading is given no more than its buffer holds, and its stream stays whole', async () => {
  await withSimulator(
    { products: ['BTC-USD'], framesPerSecond: 1000, bookDepth: 5000, unsentBytesMax: 1_000_000 },
    async (simulator) => {
      const client = await Client.connect(simulator)
      client.pauseReading()
      // 25 snapshots of 1.1 MB are more than the simulator's and the system's buffers take.
      for (let i = 0; i < 24; i++) {
        client.subscribe('level2', ['BTC-USD'])
        client.send({ type: 'unsubscribe', channel: 'level2' })
      }
      client.subscribe('level2', ['BTC-USD'])
      const other = await Client.connect(simulator)
      other.subscribe('ticker', ['BTC-USD'])
      const isStuck = async (): Promise<boolean> => {
        const before = simulator.account().connections[0]?.frames
        await other.count(other.frames.length + 20)
        return simulator.account().connections[0]?.frames === before
      }
      while (!(await isStuck()));
      const { frames } = simulator.account().connections[0] ?? { frames: 0 }
      client.resumeReading()
      await client.count(frames + 50)
      const sequences = client.frames.map(sequenceOf)
      assert.deepEqual(
        sequences,
        sequences.map((_, i) => i),
      )
    },
  )
})

test('a pause stops everything until the resume', async () => {
  await withSimulator({}, async (simulator) => {
    const client = await Client.connect(simulator)
    client.subscribe('level2')
    client.subscribe('heartbeats')
    await client.count(20)
    await fetch(`${simulator.controlUrl}/pause`, { method: 'POST' })
    const { frames } = simulator.account()
    await client.count(frames)
    const late = await Client.connect(simulator)
    late.subscribe('ticker')
    assert.equal(simulator.account().frames, frames)
    await fetch(`${simulator.controlUrl}/resume`, { method: 'POST' })
    await client.count(frames + 10)
    await late.count(1)
  })
})
