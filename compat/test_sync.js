// PouchDB 9 and Divan, both ways, one-shot and live: equal leaves, winners and digests.
'use strict';

const assert = require('node:assert');
const crypto = require('node:crypto');
const { after, before, test } = require('node:test');
const PouchDB = require('pouchdb');
PouchDB.plugin(require('pouchdb-adapter-memory'));
const { Server, sleep } = require('./lib/server');
const { assertSame, picture } = require('./lib/compare');

const DOCS = 2000;
const CONFLICTS = 200;
const DELETIONS = 100;
const ATTACHMENTS = 50;
const DIMS = 32;

const server = new Server();
before(() => server.start());
after(() => server.close());

let serial = 0;
function localDb() {
  return new PouchDB(`memory-${process.pid}-${serial++}`, { adapter: 'memory' });
}

function remoteDb(name) {
  return new PouchDB(server.url(name));
}

function vector(seed) {
  return Array.from({ length: DIMS }, (_, i) => Math.fround(Math.sin(seed * 31 + i * 7)));
}

function base64(values) {
  return Buffer.from(Float32Array.from(values).buffer).toString('base64');
}

function id(n) {
  return 'doc-' + String(n).padStart(5, '0');
}

// 2,000 documents: odd ones carry the vector as an array, even ones as base64.
async function fill(db) {
  const docs = [];
  for (let n = 0; n < DOCS; n++) {
    const values = vector(n);
    docs.push({
      _id: id(n),
      n,
      title: `document ${n} \u00fc \u4e2d \u{1f600}`,
      nested: { list: [1, 2.5, -0.125, null, true, 'x'], empty: {}, none: [] },
      vec: n % 2 ? values : base64(values),
    });
  }
  const rows = await db.bulkDocs(docs);
  assert.ok(rows.every((r) => r.ok));
  const revs = new Map(rows.map((r) => [r.id, r.rev]));
  await conflicts(db, revs);
  await deletions(db, revs);
  await attachments(db, revs);
}

async function conflicts(db, revs) {
  const docs = [];
  for (let n = 0; n < CONFLICTS; n++) {
    const parent = revs.get(id(n)).split('-')[1];
    for (const side of ['left', 'right']) {
      const hash = crypto.createHash('md5').update(`${n}${side}`).digest('hex');
      docs.push({
        _id: id(n),
        n,
        side,
        vec: vector(n + 5000 + side.length),
        _revisions: { start: 2, ids: [hash, parent] },
        ...(n % 10 === 0 && side === 'left' ? { _deleted: true } : {}),
      });
    }
  }
  const rows = await db.bulkDocs(docs, { new_edits: false });
  assert.deepStrictEqual(rows.filter((r) => r.error), []);
}

async function deletions(db, revs) {
  const docs = [];
  for (let n = 1000; n < 1000 + DELETIONS; n++) {
    docs.push({ _id: id(n), _rev: revs.get(id(n)), _deleted: true, why: 'deleted ' + n });
  }
  const rows = await db.bulkDocs(docs);
  assert.ok(rows.every((r) => r.ok));
}

async function attachments(db, revs) {
  for (let n = 1500; n < 1500 + ATTACHMENTS; n++) {
    const bytes = crypto.randomBytes(n % 5 === 0 ? 150_000 : 50 * (n - 1499));
    const type = n % 2 ? 'text/plain' : 'image/png';
    const one = await db.putAttachment(id(n), 'first att.bin', revs.get(id(n)), bytes, type);
    if (n % 3 === 0) await db.putAttachment(id(n), 'a/b', one.rev, Buffer.from('two'), type);
  }
}

async function counts(db) {
  const feed = await db.changes({ since: 0, style: 'all_docs' });
  return {
    docs: feed.results.length,
    deleted: feed.results.filter((r) => r.deleted).length,
    conflicted: feed.results.filter((r) => r.changes.length > 1).length,
  };
}

const origin = localDb();

test('one-shot push, and pull into an empty database', { timeout: 300_000 }, async () => {
  await fill(origin);
  const remote = remoteDb('push');
  const pushed = await origin.replicate.to(remote);
  assert.ok(pushed.ok);
  assert.strictEqual(pushed.doc_write_failures, 0);
  const want = await picture(origin);
  assertSame(want, await picture(remote), 'the origin and the server');
  assert.deepStrictEqual(await counts(remote), {
    docs: DOCS,
    deleted: DELETIONS,
    conflicted: CONFLICTS,
  });

  const copy = localDb();
  const pulled = await copy.replicate.from(remote);
  assert.ok(pulled.ok);
  assert.strictEqual(pulled.doc_write_failures, 0);
  assertSame(want, await picture(copy), 'the origin and the copy');

  // Attachments byte for byte through both.
  for (const n of [1500, 1505, 1549]) {
    const [a, b, c] = await Promise.all(
      [origin, remote, copy].map((db) => db.getAttachment(id(n), 'first att.bin'))
    );
    assert.ok(a.equals(b) && a.equals(c), id(n));
  }

  // Again: the checkpoints hold, nothing is written.
  const again = await origin.replicate.to(remote);
  assert.strictEqual(again.docs_written, 0);
  assert.strictEqual(again.docs_read, 0);
});

test('edits on both sides meet', { timeout: 300_000 }, async () => {
  const remote = remoteDb('push');
  const local = origin;
  for (let n = 300; n < 340; n++) {
    const here = await local.get(id(n));
    const there = await remote.get(id(n));
    await local.put({ ...here, by: 'local' });
    if (n % 2) await remote.put({ ...there, by: 'remote' });
  }
  for (let n = 340; n < 350; n++) {
    await remote.remove(await remote.get(id(n)));
    await local.put({ ...(await local.get(id(n))), by: 'local, deleted there' });
  }
  for (let n = 1500; n < 1510; n++) {
    const doc = await remote.get(id(n));
    const bytes = Buffer.from('changed on the server ' + n);
    await remote.putAttachment(id(n), 'first att.bin', doc._rev, bytes, 'text/plain');
  }
  await remote.bulkDocs([...Array(50).keys()].map((n) => ({ _id: 'server-' + n, n })));
  const result = await local.sync(remote);
  assert.ok(result.push.ok && result.pull.ok);
  assert.strictEqual(result.push.doc_write_failures + result.pull.doc_write_failures, 0);
  assertSame(await picture(local), await picture(remote), 'both sides');
});

test('resolving conflicts travels', { timeout: 120_000 }, async () => {
  const remote = remoteDb('push');
  for (let n = 1; n < 40; n++) {
    const doc = await remote.get(id(n), { conflicts: true });
    for (const rev of doc._conflicts || []) await remote.remove(id(n), rev);
  }
  await origin.sync(remote);
  const doc = await origin.get(id(5), { conflicts: true });
  assert.strictEqual(doc._conflicts, undefined);
  assertSame(await picture(origin), await picture(remote), 'both sides');
});

test('live sync both ways', { timeout: 300_000 }, async () => {
  const one = localDb();
  const two = localDb();
  const remote = remoteDb('live');
  await remote.info();
  const failures = [];
  const syncs = [one, two].map((db) =>
    db.sync(remote, { live: true, retry: true }).on('error', (e) => failures.push(e))
      .on('denied', (e) => failures.push(e))
  );
  try {
    await liveEdits(one, two, remote);
  } finally {
    for (const sync of syncs) sync.cancel();
    await Promise.all(syncs.map((s) => s.catch(() => {})));
  }
  assert.deepStrictEqual(failures, []);
});

async function liveEdits(one, two, remote) {
  await fill(one);
  for (let n = 0; n < 60; n++) {
    await two.put({ _id: 'two-' + n, n, vec: base64(vector(n)) });
    if (n % 3 === 0) await remote.put({ _id: 'remote-' + n, n });
    if (n % 10 === 0) await sleep(50);
  }
  await settled([one, two, remote], DOCS + 60 + 20);
  for (let n = 0; n < 20; n++) await two.remove(await two.get('two-' + n));
  await settledDeleted([one, two, remote], DELETIONS + 20);
  const want = await picture(one);
  assertSame(want, await picture(remote), 'one and the server');
  assertSame(want, await picture(two), 'one and two');
}

async function until(what, fn, seconds = 120) {
  const deadline = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < deadline) {
    last = await fn();
    if (last.ok) return;
    await sleep(200);
  }
  assert.fail(`${what} did not happen in ${seconds} s: ${JSON.stringify(last)}`);
}

function settled(dbs, total) {
  return until('arrival', async () => {
    const seen = await Promise.all(dbs.map(counts));
    // Conflicts and attachments are written after the documents: wait for those too.
    const last = await Promise.all(dbs.map((d) => d.get(id(1549)).catch(() => ({}))));
    const atts = last.map((d) => Object.keys(d._attachments || {}).length);
    const ok = seen.every((c) => c.docs === total && c.conflicted === CONFLICTS &&
      c.deleted === DELETIONS) && atts.every((n) => n === atts[0] && n > 0);
    return { ok, seen, atts };
  });
}

function settledDeleted(dbs, total) {
  return until('deletion', async () => {
    const seen = await Promise.all(dbs.map(counts));
    return { ok: seen.every((c) => c.deleted === total), seen };
  });
}

test('vectors that came by replication are found', { timeout: 120_000 }, async (t) => {
  const remote = remoteDb('push');
  const created = await server.request('POST', '/push/_index', {
    type: 'vector',
    ddoc: 'sem',
    name: 'v',
    index: { fields: [{ name: 'vec', dims: DIMS, metric: 'cosine' }] },
  });
  if (created.status !== 200) t.diagnostic(created.body.toString());
  assert.strictEqual(created.status, 200);
  for (const n of [500, 501, 777, 1503, 1999]) {
    const body = { selector: {}, vector: { near: vector(n) }, limit: 1 };
    const found = (await server.request('POST', '/push/_find', body)).json();
    assert.strictEqual(found.docs[0]._id, id(n));
    assert.deepStrictEqual(found.docs[0], await remote.get(id(n)));
  }
  // The definition replicates as an ordinary document and does PouchDB no harm.
  const copy = localDb();
  await copy.replicate.from(remote);
  assert.ok((await copy.get('_design/sem')).vectors.v);
});

test('PouchDB find plugin style requests pass unharmed', async () => {
  const found = await server.request('POST', '/push/_find', {
    selector: { n: { $gte: 600, $lt: 605 } },
    fields: ['_id'],
  });
  assert.deepStrictEqual(found.json().docs.map((d) => d._id), [600, 601, 602, 603, 604].map(id));
});

test('odd ids and revisions survive the round trip', { timeout: 60_000 }, async () => {
  const local = localDb();
  const ids = ['a/b', 'a b', '\u00fc+%', '_design/x', 'q?x=1&y', '1', 'constructor', "it's", '"q"'];
  await local.bulkDocs(ids.map((_id) => ({ _id, v: _id })));
  await local.bulkDocs(
    [
      { _id: 'short', _rev: '1-x' },
      { _id: 'short', _rev: '1-y' },
      { _id: 'gap', _rev: '7-deadbeef' },
      { _id: 'zero', zero: '\u0000', _rev: '2-abc' },
    ],
    { new_edits: false }
  );
  const remote = remoteDb('odd');
  const result = await local.replicate.to(remote);
  assert.strictEqual(result.doc_write_failures, 0);
  assertSame(await picture(local), await picture(remote), 'both sides');
  const copy = localDb();
  await copy.replicate.from(remote);
  assertSame(await picture(local), await picture(copy), 'the copy');
});
