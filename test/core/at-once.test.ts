/** The same work for many items: nothing is handed on out of order, twice or never, however the work falls. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { takeInOrder } from '../../src/core/at-once.ts'

/** Lets so many promises come to rest first. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve()
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

test('each result is taken once and in order, in whichever turn work and taking end', async () => {
  for (const atOnce of [1, 2, 3])
    for (const first of upTo(12))
      for (const second of upTo(12))
        for (const third of upTo(12))
          for (const taking of upTo(3)) {
            const taken: number[] = []
            const work = async (count: number, index: number): Promise<number> => {
              await turns(count)
              return index
            }
            await takeInOrder([first, second, third], atOnce, work, async (index) => {
              await turns(taking)
              taken.push(index)
            })
            assert.deepEqual(taken, [0, 1, 2], `${atOnce} at once, ${first} ${second} ${third}, ${taking}`)
          }
})

test('one result is taken at a time', async () => {
  let open = 0
  await takeInOrder(
    upTo(20),
    5,
    async (count) => turns(count % 7),
    async () => {
      assert.equal(++open, 1)
      await turns(3)
      open--
    },
  )
})

test('work that fails ends it, and what came before is taken', async () => {
  const taken: number[] = []
  const work = async (count: number): Promise<number> => {
    await turns(count)
    if (count === 3) throw new Error('the third')
    return count
  }
  await assert.rejects(
    takeInOrder([0, 1, 2, 3, 4, 5], 2, work, async (count) => void taken.push(count)),
    /the third/,
  )
  assert.deepEqual(taken, [0, 1, 2])
})

test('taking that fails ends it, and nothing more is taken', async () => {
  const taken: number[] = []
  await assert.rejects(
    takeInOrder(
      upTo(9),
      3,
      async (count) => count,
      async (count) => {
        if (count === 2) throw new Error('not this one')
        taken.push(count)
      },
    ),
    /not this one/,
  )
  assert.deepEqual(taken, [0, 1])
})
