// 20,000 image documents pulled by _replicate from another kind of server in another process;
// Divan is killed three times on the way.  Then every document is there and is found.
'use strict';

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { Server, freePort, sleep } = require('./lib/server');
const mnist = require('./lib/mnist');

const KILL_AT = [0.15, 0.4, 0.7];
const K = 10;

const set = mnist.load();
const skip = set ? false : 'skipped: the image data set is not beside the repository';
if (skip) console.log(skip);

const server = new Server();
let source;
let sourcePort;

before(async () => {
  if (skip) return;
  sourcePort = await freePort();
  const script = path.join(__dirname, 'lib', 'mnist_source.js');
  source = spawn(process.execPath, ['--max-old-space-size=4096', script, String(sourcePort)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve, reject) => {
    source.stdout.once('data', resolve);
    source.once('exit', () => reject(new Error('the source server ended')));
  });
  await server.start();
});

after(async () => {
  if (skip) return;
  source.kill('SIGKILL');
  await server.close();
});

const count = set ? set.labels.length : 0;

function replicate() {
  return server.request('POST', '/_replicate', {
    source: `http://127.0.0.1:${sourcePort}/mnist`,
    target: 'mnist',
    create_target: true,
  });
}

async function docCount() {
  const info = await server.request('GET', '/mnist');
  return info.status === 200 ? info.json().doc_count : 0;
}

// Wait until so many documents are there, or the replication is over.
async function reach(total, running) {
  let over = false;
  running.then(() => { over = true; }, () => { over = true; });
  while (!over && (await docCount()) < total) await sleep(20);
  return over;
}

test('pull, killed three times', { skip, timeout: 500_000 }, async (t) => {
  const started = Date.now();
  let least = 0;
  for (const share of KILL_AT) {
    const running = replicate();
    running.catch(() => {});
    const over = await reach(Math.floor(count * share), running);
    if (over) {
      const answer = await running;
      assert.strictEqual(answer.status, 200, answer.body.toString());
      assert.fail('the replication ended before the kill: nothing was tested');
    }
    const before = await docCount();
    await server.kill();
    await running.catch(() => {});
    await server.start();
    const kept = await docCount();
    t.diagnostic(`killed at ${before} documents, ${kept} after the restart`);
    assert.ok(kept >= before, `${before} documents were visible, ${kept} are left`);
    assert.ok(kept >= least);
    least = kept;
  }
  const answer = await replicate();
  assert.strictEqual(answer.status, 200, answer.body.toString());
  const result = answer.json();
  assert.strictEqual(result.ok, true);
  const written = result.history[0].docs_written;
  t.diagnostic(`${(Date.now() - started) / 1000} s; the last run wrote ${written} documents`);
  assert.ok(written < count, 'the last run began from nothing: no resumption');
  assert.strictEqual(await docCount(), count);
});

test('every document is there, unchanged', { skip, timeout: 200_000 }, async () => {
  let seen = 0;
  for (let start = 0; start < count; start += 2000) {
    const query = `include_docs=true&limit=2000&startkey=%22${mnist.id(start)}%22`;
    const reply = await server.request('GET', `/mnist/_all_docs?${query}`);
    for (const row of reply.json().rows) {
      const { _rev, ...doc } = row.doc;
      assert.ok(_rev.startsWith('1-'));
      assert.deepStrictEqual(doc, mnist.document(set, seen));
      seen++;
    }
  }
  assert.strictEqual(seen, count);
  const feed = (await server.request('GET', '/mnist/_changes')).json();
  assert.strictEqual(new Set(feed.results.map((r) => r.id)).size, count);
  assert.strictEqual(feed.results.length, count);
});

async function createIndex(metric) {
  const reply = await server.request('POST', '/mnist/_index', {
    type: 'vector',
    ddoc: metric,
    name: 'image',
    index: { fields: [{ name: 'image', dims: mnist.DIMS, metric }] },
  });
  assert.strictEqual(reply.status, 200, reply.body.toString());
}

async function waitForIndex(t, metric) {
  let info;
  const deadline = Date.now() + 240_000;
  do {
    await sleep(200);
    const reply = await server.request('GET', `/mnist/_design/${metric}/_vector_info/image`);
    assert.strictEqual(reply.status, 200, reply.body.toString());
    info = reply.json().vector_index;
    // Recall means something only when the graph answers, not the exact scan before it.
    const inGraph = (info.segments || []).filter((s) => s.kind === 'graph')
      .reduce((n, s) => n + s.vectors, 0);
    if (info.pending === 0 && inGraph === count) break;
  } while (Date.now() < deadline);
  assert.strictEqual(info.pending, 0);
  assert.strictEqual(info.vectors, count);
  assert.ok(info.segments.every((s) => s.kind === 'graph'), 'the graph was not built in time');
  assert.strictEqual(info.skipped.count, 0);
  const kinds = (info.segments || []).map((s) => `${s.kind} ${s.vectors}`).join(', ');
  t.diagnostic(`${metric}: ${kinds}`);
}

async function recall(metric, exact) {
  const queries = set.queryLabels.length;
  let found = 0, digits = 0;
  const started = Date.now();
  for (let q = 0; q < queries; q++) {
    const vector = { near: mnist.base64(mnist.row(set.queries, q)) };
    if (exact) vector.exact = true;
    const body = { selector: {}, vector, use_index: metric, limit: K, fields: ['_id', 'label'] };
    const reply = await server.request('POST', '/mnist/_find', body);
    assert.strictEqual(reply.status, 200, reply.body.toString());
    const { docs, hits } = reply.json();
    assert.strictEqual(docs.length, K);
    const rows = hits.map((h) => Number(h.id.split('-')[1]));
    found += mnist.hits(set, metric, q, rows, K);
    if (docs[0].label === set.queryLabels[q]) digits++;
  }
  const ms = (Date.now() - started) / queries;
  return { recall: found / (queries * K), digits: digits / queries, ms };
}

for (const metric of ['l2', 'cosine']) {
  test(`recall by ${metric}`, { skip, timeout: 500_000 }, async (t) => {
    await createIndex(metric);
    await waitForIndex(t, metric);
    const plain = await recall(metric, false);
    t.diagnostic(`default effort: recall@${K} ${plain.recall}, ${plain.ms.toFixed(2)} ms a query, ` +
      `digit right ${plain.digits}`);
    const exact = await recall(metric, true);
    t.diagnostic(`exact: recall@${K} ${exact.recall}, ${exact.ms.toFixed(2)} ms a query`);
    console.log(`${metric}: recall@${K} ${plain.recall} at the default effort, ` +
      `${exact.recall} exact`);
    assert.ok(plain.recall >= 0.95, `recall ${plain.recall}`);
    assert.strictEqual(exact.recall, 1);
  });
}
