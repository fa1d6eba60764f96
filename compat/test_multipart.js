// nano's multipart calls, and the steps that CouchDB's replicator takes with a document that has
// attachments, by fetch: what comes out of one database goes into another as it is.
'use strict';

const assert = require('node:assert');
const crypto = require('node:crypto');
const zlib = require('node:zlib');
const { after, before, test } = require('node:test');
const nano = require('nano');
const { Server } = require('./lib/server');

const server = new Server();
let couch;
let db;

before(async () => {
  await server.start();
  couch = nano(server.url().replace(/\/$/, ''));
  await couch.db.create('parts');
  await couch.db.create('copy');
  db = couch.use('parts');
});
after(() => server.close());

const ATTACHMENTS = [
  { name: 'a.txt', data: 'text, text', content_type: 'text/plain' },
  { name: 'empty', data: Buffer.alloc(0), content_type: 'x/empty' },
  { name: 'dir/ü "q".bin', data: crypto.randomBytes(100000), content_type: 'x/y' },
  { name: 'b', data: Buffer.from('\r\n--\r\n\r\n--0123--\r\n'), content_type: 'x/y' },
];

// The parts of a body: [{ headers, data }]; by the boundary, as nobody's data holds it.
function split(type, body) {
  const boundary = /boundary="?([^";]+)"?/.exec(type)[1];
  const pieces = body.toString('latin1').split('--' + boundary);
  assert.strictEqual(pieces[0], '');
  assert.match(pieces[pieces.length - 1], /^--/);
  return pieces.slice(1, -1).map((piece) => {
    const at = piece.indexOf('\r\n\r\n');
    const headers = {};
    for (const line of piece.slice(2, at).split('\r\n').filter(Boolean)) {
      const colon = line.indexOf(': ');
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 2);
    }
    return { headers, data: Buffer.from(piece.slice(at + 4, -2), 'latin1') };
  });
}

// fetch takes no password in the URL.
async function call(path, options = {}) {
  const url = new URL(path, server.url());
  const headers = { ...options.headers };
  if (url.username) {
    const pair = decodeURIComponent(url.username) + ':' + decodeURIComponent(url.password);
    headers.authorization = 'Basic ' + Buffer.from(pair).toString('base64');
    url.username = url.password = '';
  }
  const reply = await fetch(url, { ...options, headers });
  const body = Buffer.from(await reply.arrayBuffer());
  return { status: reply.status, type: reply.headers.get('content-type'), body };
}

test('nano: multipart insert and get', async () => {
  const one = await db.multipart.insert({ foo: 'bar' }, ATTACHMENTS, 'multi');
  assert.ok(one.ok && one.rev.startsWith('1-'));
  const doc = await db.get('multi');
  assert.deepStrictEqual(Object.keys(doc._attachments), ATTACHMENTS.map((a) => a.name));
  for (const { name, data, content_type } of ATTACHMENTS) {
    const got = await db.attachment.get('multi', encodeURIComponent(name));
    assert.ok(got.equals(Buffer.from(data)), name);
    assert.strictEqual(doc._attachments[name].content_type, content_type);
  }
  // nano makes a string of the answer, which costs bytes that are no UTF-8: those by fetch.
  const text = await db.multipart.get('multi');
  assert.match(text, /^--([0-9a-f]{32})\r\nContent-Type: application\/json\r\n\r\n{[^]*\r\n--\1--$/);
  assert.ok(text.includes('\r\n\r\ntext, text\r\n--'));
  const accept = { headers: { accept: 'multipart/related' } };
  const reply = await call('parts/multi?attachments=true', accept);
  const parts = split(reply.type, reply.body);
  assert.strictEqual(parts.length, 1 + ATTACHMENTS.length);
  assert.strictEqual(JSON.parse(parts[0].data).foo, 'bar');
  ATTACHMENTS.forEach(({ name, data }, i) => {
    assert.ok(parts[i + 1].data.equals(Buffer.from(data)), name);
    assert.strictEqual(Number(parts[i + 1].headers['content-length']), data.length);
  });
});

test('nano: a new revision, a conflict', async () => {
  const { _rev } = await db.get('multi');
  const two = await db.multipart.insert({ _rev, foo: 'baz' }, ATTACHMENTS.slice(0, 1), 'multi');
  assert.ok(two.rev.startsWith('2-'));
  assert.deepStrictEqual(Object.keys((await db.get('multi'))._attachments), ['a.txt']);
  await assert.rejects(db.multipart.insert({ foo: 1 }, ATTACHMENTS, 'multi'), (e) => {
    assert.strictEqual(e.statusCode, 409);
    return true;
  });
});

test('a document travels as CouchDB sends it', async () => {
  const plain = Buffer.from('compress me '.repeat(1000));
  const zipped = zlib.gzipSync(plain);
  const inline = (data, more) => ({ data: data.toString('base64'), revpos: 1, ...more });
  await db.bulk({
    new_edits: false,
    docs: [
      {
        _id: 'j',
        _revisions: { start: 2, ids: ['b', 'a'] },
        _attachments: {
          z: inline(zipped, { encoding: 'gzip', content_type: 'text/plain' }),
          e: inline(Buffer.alloc(0)),
        },
      },
      { _id: 'j', _revisions: { start: 2, ids: ['c', 'a'] }, v: 1 },
      { _id: 'j', _revisions: { start: 3, ids: ['e', 'd', 'a'] }, _deleted: true, v: 2 },
    ],
  });
  const revs = ['2-b', '2-c', '3-e', '7-none'];
  const ask = `open_revs=${encodeURIComponent(JSON.stringify(revs))}&revs=true&latest=true`;
  const reply = await call(`parts/j?${ask}`, { headers: { accept: 'multipart/mixed' } });
  assert.strictEqual(reply.status, 200);
  const seen = [];
  for (const { headers, data } of split(reply.type, reply.body)) {
    const type = headers['content-type'];
    seen.push(type.split(';')[0]);
    if (type.includes('error="true"')) {
      assert.deepStrictEqual(JSON.parse(data), { missing: '7-none' });
      continue;
    }
    const put = { method: 'PUT', headers: { 'content-type': type }, body: data };
    const deleted = data.toString().includes('_deleted');
    const { status } = await call('copy/j?new_edits=false', put);
    assert.strictEqual(status, deleted ? 200 : 201);
  }
  assert.deepStrictEqual(seen.sort(), [
    'application/json', 'application/json', 'application/json', 'multipart/related',
  ]);
  const all = 'open_revs=all&revs=true&attachments=true&att_encoding_info=true';
  const json = { headers: { accept: 'application/json' } };
  const [there, here] = [await call(`parts/j?${all}`, json), await call(`copy/j?${all}`, json)];
  assert.deepStrictEqual(JSON.parse(here.body), JSON.parse(there.body));
  const att = await call('copy/j/z?rev=2-b', { headers: { 'accept-encoding': 'identity' } });
  assert.ok(att.body.equals(plain));
});
