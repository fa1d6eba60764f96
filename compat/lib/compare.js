// What must be equal on two replicas: leaves with bodies and histories, winners, digests.
'use strict';

const assert = require('node:assert');

// Run fn over items with a bounded number at a time; results in order.
async function pool(items, width, fn) {
  const results = new Array(items.length);
  let next = 0;
  async function worker() {
    while (next < items.length) {
      const at = next++;
      results[at] = await fn(items[at]);
    }
  }
  await Promise.all(Array.from({ length: width }, worker));
  return results;
}

// Without revpos: PouchDB sets it anew when a pulled revision carries the bytes.
function digests(doc) {
  const found = {};
  for (const [name, att] of Object.entries(doc._attachments || {})) {
    found[name] = [att.digest, att.content_type];
  }
  return found;
}

// Map of id -> { winner, deleted, leaves } of a PouchDB (local or http).
async function picture(db) {
  const feed = await db.changes({ since: 0, style: 'all_docs', include_docs: true });
  const seen = new Map();
  await pool(feed.results, 12, async (row) => {
    const leaves = (await db.get(row.id, { open_revs: 'all', revs: true })).map((e) => e.ok);
    leaves.sort((a, b) => (a._rev < b._rev ? -1 : 1));
    assert.deepStrictEqual(
      leaves.map((d) => d._rev),
      row.changes.map((c) => c.rev).sort(),
      `the feed and open_revs=all differ for ${row.id}`
    );
    seen.set(row.id, {
      // Not changes[0]: PouchDB's own databases do not list the winner first.
      winner: row.doc._rev,
      deleted: Boolean(row.deleted),
      leaves: leaves.map((d) => ({ ...d, _attachments: digests(d) })),
    });
  });
  return seen;
}

function assertSame(left, right, names = 'left and right') {
  assert.deepStrictEqual([...left.keys()].sort(), [...right.keys()].sort(), `ids of ${names}`);
  for (const [id, one] of left) {
    assert.deepStrictEqual(one, right.get(id), `${id} differs between ${names}`);
  }
}

module.exports = { pool, picture, assertSame };
