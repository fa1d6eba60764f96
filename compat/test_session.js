// Sessions as nano's and PouchDB's users have them: cookies, accounts in _users, rights of a database.
'use strict';

const assert = require('node:assert');
const { after, before, test } = require('node:test');
const nano = require('nano');
const PouchDB = require('pouchdb').plugin(require('pouchdb-adapter-memory'));
const { Server } = require('./lib/server');

const server = new Server();
let admin;
let bare;

function as(name, password) {
  const url = new URL(server.url());
  url.username = name;
  url.password = password;
  return url.href.replace(/\/$/, '');
}

before(async () => {
  await server.start();
  admin = nano(server.url().replace(/\/$/, ''));
  const url = new URL(server.url());
  url.username = '';
  url.password = '';
  bare = url.href.replace(/\/$/, '');
  await admin.db.create('_users');
  await admin.use('_users').insert(
    { type: 'user', name: 'ann', roles: ['staff'], password: 'pw' },
    'org.couchdb.user:ann',
  );
  await admin.db.create('shared');
  await admin.request({
    db: 'shared',
    path: '_security',
    method: 'PUT',
    body: { admins: { names: [], roles: [] }, members: { names: [], roles: ['staff'] } },
  });
});
after(() => server.close());

function refused(promise, statusCode) {
  return assert.rejects(promise, (e) => {
    assert.strictEqual(e.statusCode ?? e.status, statusCode, String(e));
    return true;
  });
}

test('nano: cookie authentication', async () => {
  const client = nano({ url: bare, jar: true });
  await refused(client.use('shared').list(), 401);
  await refused(client.auth('ann', 'wrong'), 401);
  const session = await client.auth('ann', 'pw');
  assert.deepStrictEqual(session, { ok: true, name: 'ann', roles: ['staff'] });
  const who = await client.session();
  assert.strictEqual(who.userCtx.name, 'ann');
  assert.strictEqual(who.info.authenticated, 'cookie');
  assert.ok((await client.use('shared').insert({ a: 1 }, 'one')).ok);
  assert.strictEqual((await client.use('shared').get('one')).a, 1);
  assert.ok((await client.use('shared').bulk({ docs: [{ _id: 'two' }] }))[0].ok);
  await refused(client.use('shared').insert({}, '_design/x'), 403);
  await refused(client.db.create('mine'), 401);
});

test('nano: a user changes the own password', async () => {
  await admin.use('_users').insert(
    { type: 'user', name: 'bob', roles: [], password: 'one' },
    'org.couchdb.user:bob',
  );
  const users = nano(as('bob', 'one')).use('_users');
  const me = await users.get('org.couchdb.user:bob');
  assert.strictEqual(me.derived_key, undefined);
  assert.ok((await users.insert({ ...me, password: 'two' })).ok);
  await refused(users.get('org.couchdb.user:bob'), 401);
  assert.strictEqual((await nano(as('bob', 'two')).session()).userCtx.name, 'bob');
  await refused(nano(as('bob', 'two')).use('shared').list(), 403);
});

test('PouchDB: a member replicates both ways, design documents are denied', async () => {
  const remote = `${as('ann', 'pw')}/shared`;
  const local = new PouchDB('session-local', { adapter: 'memory' });
  await local.bulkDocs([{ _id: 'three' }, { _id: '_design/d', language: 'query', views: {} }]);
  const denied = [];
  const result = await new Promise((resolve, reject) => {
    local
      .sync(remote)
      .on('denied', (d) => denied.push(d))
      .on('complete', resolve)
      .on('error', reject);
  });
  assert.strictEqual(result.push.doc_write_failures, 1);
  assert.strictEqual(result.push.docs_written, 1);
  assert.strictEqual(denied.length, 1);
  assert.strictEqual((await local.get('one')).a, 1);
  assert.strictEqual((await admin.use('shared').get('three'))._id, 'three');
  await refused(admin.use('shared').get('_design/d'), 404);
  await local.destroy();
});
