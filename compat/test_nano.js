// The transcript of a nano session: each call as its users write it.
'use strict';

const assert = require('node:assert');
const { after, before, test } = require('node:test');
const nano = require('nano');
const { Server } = require('./lib/server');

const server = new Server();
let couch;
let db;

before(async () => {
  await server.start();
  couch = nano(server.url().replace(/\/$/, ''));
  await couch.db.create('nano');
  db = couch.use('nano');
});
after(() => server.close());

function rejects(promise, statusCode, error) {
  return assert.rejects(promise, (e) => {
    assert.strictEqual(e.statusCode, statusCode, String(e));
    if (error) assert.strictEqual(e.error, error, String(e));
    return true;
  });
}

test('the server', async () => {
  assert.strictEqual((await couch.info()).couchdb, 'Welcome');
  assert.strictEqual((await couch.uuids(3)).uuids.length, 3);
});

test('databases', async () => {
  assert.deepStrictEqual(await couch.db.create('other/name'), { ok: true });
  assert.ok((await couch.db.list()).includes('other/name'));
  assert.strictEqual((await couch.db.get('other/name')).doc_count, 0);
  await rejects(couch.db.create('other/name'), 412, 'file_exists');
  await rejects(couch.db.create('Bad'), 400, 'illegal_database_name');
  assert.deepStrictEqual(await couch.db.destroy('other/name'), { ok: true });
  await rejects(couch.db.get('other/name'), 404, 'not_found');
});

test('documents', async () => {
  const one = await db.insert({ happy: true }, 'rabbit');
  assert.ok(one.ok && one.rev.startsWith('1-'));
  assert.deepStrictEqual(await db.get('rabbit'), { _id: 'rabbit', _rev: one.rev, happy: true });
  await rejects(db.insert({ happy: false }, 'rabbit'), 409, 'conflict');
  const two = await db.insert({ _id: 'rabbit', _rev: one.rev, happy: false });
  const full = await db.get('rabbit', { revs_info: true, revs: true });
  assert.deepStrictEqual(full._revs_info.map((r) => r.rev), [two.rev, one.rev]);
  assert.strictEqual(full._revisions.start, 2);
  const head = await db.head('rabbit');
  assert.strictEqual(head.etag, `"${two.rev}"`);
  const free = await db.insert({ made: 'by the server' });
  assert.strictEqual(free.id.length, 32);
  // A random id would sort anywhere among the letters listed below.
  await db.destroy(free.id, free.rev);
  assert.ok((await db.destroy('rabbit', two.rev)).ok);
  await rejects(db.get('rabbit'), 404, 'not_found');
  await rejects(db.get('never'), 404, 'not_found');
});

test('bulk, list, fetch', async () => {
  const docs = ['a', 'b', 'c', 'd', 'e'].map((_id) => ({ _id, kind: 'letter' }));
  assert.strictEqual((await db.bulk({ docs })).length, 5);
  const listed = await db.list({ startkey: 'b', endkey: 'd', include_docs: true });
  assert.deepStrictEqual(listed.rows.map((r) => r.doc._id), ['b', 'c', 'd']);
  const some = await db.list({ limit: 2, skip: 1, startkey: 'a' });
  assert.deepStrictEqual(some.rows.map((r) => r.id), ['b', 'c']);
  const fetched = await db.fetch({ keys: ['e', 'none', 'a'] });
  assert.deepStrictEqual(
    fetched.rows.map((r) => (r.doc ? r.doc._id : r.error)),
    ['e', 'not_found', 'a']
  );
  const revs = await db.fetchRevs({ keys: ['a', 'b'] });
  assert.ok(revs.rows.every((r) => r.value.rev.startsWith('1-')));
});

test('attachments', async () => {
  const bytes = Buffer.from([0, 1, 2, 255, 254, 10, 13]);
  const put = await db.attachment.insert('pic', 'r.bin', bytes, 'image/x-test');
  assert.ok(put.ok);
  assert.ok((await db.attachment.get('pic', 'r.bin')).equals(bytes));
  const gone = await db.attachment.destroy('pic', 'r.bin', { rev: put.rev });
  assert.ok(gone.ok);
  await rejects(db.attachment.get('pic', 'r.bin'), 404);
});

test('multipart documents', async () => {
  const atts = [
    { name: 'one.txt', data: 'first', content_type: 'text/plain' },
    { name: 'two.bin', data: Buffer.from([1, 2, 3]), content_type: 'x/y' },
  ];
  assert.ok((await db.multipart.insert({ foo: 'bar' }, atts, 'multi')).ok);
  const doc = await db.get('multi');
  assert.deepStrictEqual(Object.keys(doc._attachments).sort(), ['one.txt', 'two.bin']);
  assert.strictEqual((await db.attachment.get('multi', 'one.txt')).toString(), 'first');
});

test('changes', async () => {
  const feed = await db.changes({ since: 0, include_docs: true });
  assert.ok(feed.results.find((r) => r.id === 'a').doc.kind === 'letter');
  const batch = [];
  await new Promise((resolve, reject) => {
    db.changesReader.get({ since: '0', batchSize: 3, timeout: 1000 })
      .on('batch', (rows) => batch.push(...rows))
      .on('error', reject)
      .on('end', resolve);
  });
  assert.deepStrictEqual(batch.map((r) => r.id), feed.results.map((r) => r.id));
});

test('a live changes reader', async () => {
  const seen = [];
  await new Promise((resolve, reject) => {
    db.changesReader.start({ since: 'now', timeout: 2000 })
      .on('change', (row) => {
        seen.push(row.id);
        if (seen.length === 3) {
          db.changesReader.stop();
          resolve();
        }
      })
      .on('error', reject);
    setTimeout(async () => {
      for (const id of ['live1', 'live2', 'live3']) await db.insert({}, id);
    }, 300);
  });
  assert.deepStrictEqual(seen, ['live1', 'live2', 'live3']);
});

test('find, by selector and by nearness', async () => {
  const plain = await db.find({ selector: { kind: 'letter' }, limit: 2 });
  assert.deepStrictEqual(plain.docs.map((d) => d._id), ['a', 'b']);
  const created = await db.createIndex({
    type: 'vector',
    ddoc: 'near',
    name: 'v',
    index: { fields: [{ name: 'v', dims: 2, metric: 'l2' }] },
  });
  assert.strictEqual(created.result, 'created');
  await db.bulk({ docs: [[0, 0], [1, 1], [5, 5]].map((v, i) => ({ _id: 'v' + i, v })) });
  const near = await db.find({ selector: {}, vector: { near: [0.9, 0.9] }, fields: ['_id'] });
  assert.deepStrictEqual(near.docs, [{ _id: 'v1' }, { _id: 'v0' }, { _id: 'v2' }]);
});

test('local documents', async () => {
  assert.strictEqual((await db.insert({ seq: 5 }, '_local/mine')).rev, '0-1');
  assert.strictEqual((await db.get('_local/mine')).seq, 5);
});
