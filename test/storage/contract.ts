/** What every object store must do; contract.test.ts runs it over the implementations, test-full/ over a real server. */

import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { listAll, recordBytesMax, type ObjectStore } from '../../src/storage/object-store.ts'

const never = new AbortController().signal

/** @param open an empty store for one test */
export function checkContract(name: string, open: (t: TestContext) => Promise<ObjectStore>): void {
  test(`${name}: of twenty writers of one key exactly one creates it, and its bytes are there`, async (t) => {
    const store = await open(t)
    const bodies = Array.from({ length: 20 }, (_, i) => Buffer.from(`writer ${i}`))
    const outcomes = await Promise.all(bodies.map((body) => store.putIfAbsent('a/b/race.json', body)))
    assert.equal(outcomes.filter((outcome) => outcome === 'created').length, 1)
    assert.deepEqual(await store.get('a/b/race.json'), bodies[outcomes.indexOf('created')])
  })

  test(`${name}: a listing is in key order, by prefix that may end inside a name`, async (t) => {
    const store = await open(t)
    const keys = ['x/b', 'x/a.json', 'x/a/1', 'x/a-b', 'x/a/2', 'x/aa', 'y/1', 'x/é', 'x/_z']
    for (const key of keys) await store.putIfAbsent(key, Buffer.from(key))
    const listed = async (prefix: string) => (await listAll(store, prefix, never)).map((info) => info.key)
    assert.deepEqual(await listed(''), [...keys].sort())
    assert.deepEqual(await listed('x/a'), ['x/a-b', 'x/a.json', 'x/a/1', 'x/a/2', 'x/aa'])
    assert.deepEqual(await listed('x/a/'), ['x/a/1', 'x/a/2'])
    assert.deepEqual(await listed('nothing/here'), [])
  })

  test(`${name}: ranges are cut where asked and at the end of the object`, async (t) => {
    const store = await open(t)
    await store.putIfAbsent('r', Buffer.from('0123456789'))
    const read = async (from: number, until: number) => {
      const chunks: Buffer[] = []
      for await (const chunk of store.read('r', from, until, never)) chunks.push(Buffer.from(chunk))
      return Buffer.concat(chunks).toString()
    }
    assert.equal(await read(2, 5), '234')
    assert.equal(await read(8, 99), '89')
    assert.equal(await read(10, 10), '')
    await assert.rejects(() => store.read('none', 0, 1, never)[Symbol.asyncIterator]().next(), {
      kind: 'invalid',
    })
  })

  test(`${name}: a key that would leave the folder is refused`, async (t) => {
    const store = await open(t)
    for (const key of ['', '/a', 'a/', 'a//b', '../a', 'a/../b', './a', 'a\\b', 'a\0b', 'a\nb'])
      await assert.rejects(
        async () => store.putIfAbsent(key, Buffer.from('x')),
        { kind: 'invalid' },
        JSON.stringify(key),
      )
  })

  test(`${name}: what is larger than one asked for is refused, not read`, async (t) => {
    const store = await open(t)
    await store.putIfAbsent('small', Buffer.alloc(1000))
    assert.equal((await store.get('small', 1000))?.length, 1000)
    await assert.rejects(() => store.get('small', 999), {
      kind: 'corrupt',
      message: /small: 1000 bytes, more/,
    })
    await store.putIfAbsent('huge', Buffer.alloc(recordBytesMax + 1))
    await assert.rejects(() => store.get('huge'), { kind: 'corrupt', remedy: /move it away/ })
    assert.equal(await store.get('none', 1), undefined)
  })

  test(`${name}: a published file is consumed when it was taken and left alone when it was not`, async (t) => {
    const store = await open(t)
    const scratch = await store.scratch('test')
    t.after(() => rm(scratch, { recursive: true, force: true }))
    const publish = async (body: string) => {
      const path = join(scratch, 'file')
      await writeFile(path, body)
      return store.publishFile(path, 'p/file')
    }
    assert.equal(await publish('first'), 'created')
    await assert.rejects(() => rm(join(scratch, 'file')), { code: 'ENOENT' })
    assert.equal(await publish('second'), 'exists')
    await rm(join(scratch, 'file'))
    assert.equal((await store.get('p/file'))?.toString(), 'first')
  })

  test(`${name}: an object is deleted once, and what is not there is not an error`, async (t) => {
    const store = await open(t)
    await store.putIfAbsent('d', Buffer.from('x'))
    assert.equal((await store.head('d'))?.sizeBytes, 1)
    assert.equal(await store.delete('d'), true)
    assert.equal(await store.delete('d'), false)
    assert.equal(await store.head('d'), undefined)
    assert.equal(await store.get('d/e'), undefined)
  })
}
