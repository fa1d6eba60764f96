// A CouchDB-like server of the PouchDB project in its own process, holding the image documents.
// Usage: node mnist_source.js PORT; prints "ready" when every document is in.
'use strict';

const PouchDB = require('pouchdb');
PouchDB.plugin(require('pouchdb-adapter-memory'));
const express = require('express');
const mnist = require('./mnist');

async function main() {
  const Memory = PouchDB.defaults({ adapter: 'memory' });
  const app = express();
  app.use('/', require('express-pouchdb')(Memory, {
    inMemoryConfig: true,
    logPath: '/dev/null',
    mode: 'minimumForPouchDB',
  }));
  const set = mnist.load();
  const db = new Memory('mnist');
  const count = set.labels.length;
  for (let start = 0; start < count; start += 500) {
    const docs = [];
    for (let i = start; i < Math.min(count, start + 500); i++) docs.push(mnist.document(set, i));
    const rows = await db.bulkDocs(docs);
    if (!rows.every((r) => r.ok)) throw new Error('loading failed');
  }
  app.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
