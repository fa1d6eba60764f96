// Runs the curl transcript against a fresh server.
'use strict';

const assert = require('node:assert');
const { execFile } = require('node:child_process');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { Server } = require('./lib/server');

const server = new Server();
before(() => server.start());
after(() => server.close());

test('the curl transcript', { timeout: 120_000 }, async (t) => {
  const script = path.join(__dirname, 'curl.sh');
  const done = await new Promise((resolve) => {
    execFile(script, [server.url()], (error, out, err) => resolve({ error, out, err }));
  });
  t.diagnostic(done.out.trim().split('\n').length + ' steps');
  assert.ok(!done.error, done.err + done.out);
});
