// Requests and the answers that CouchDB's clients compare (transcripts.json), replayed one by one. `body` is the whole
// answer, `has` a part of it; `keep` notes members for later paths, written {name}.
'use strict';

const assert = require('node:assert');
const { after, before, test } = require('node:test');
const { Server } = require('./lib/server');
const transcripts = require('./transcripts.json');

const server = new Server();

before(() => server.start());
after(() => server.close());

function has(got, want, where) {
  if (want === null || typeof want !== 'object') {
    assert.deepStrictEqual(got, want, where);
    return;
  }
  for (const key of Object.keys(want)) has((got || {})[key], want[key], where + '.' + key);
}

async function send([method, path, body, headers], kept) {
  const url = new URL(server.url());
  const options = { method, headers: { ...headers } };
  options.headers.Authorization =
    'Basic ' + Buffer.from(decodeURIComponent(url.username + ':' + url.password)).toString('base64');
  if (body !== undefined && body !== null) {
    options.headers['Content-Type'] = typeof body === 'string' ? 'text/plain' : 'application/json';
    options.body = typeof body === 'string' ? body : JSON.stringify(body);
  }
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => kept[name]);
  return fetch(url.origin + filled, options);
}

for (const { area, steps } of transcripts)
  test(area, async () => {
    const kept = {};
    for (const step of steps) {
      const where = step.send[0] + ' ' + step.send[1];
      const answer = await send(step.send, kept);
      const text = await answer.text();
      assert.strictEqual(answer.status, step.status, where + ': ' + text);
      if (step.body !== undefined) assert.deepStrictEqual(JSON.parse(text), step.body, where);
      if (step.has !== undefined) has(JSON.parse(text), step.has, where);
      for (const [name, value] of Object.entries(step.headers || {}))
        assert.strictEqual(answer.headers.get(name), value, where);
      for (const [member, name] of Object.entries(step.keep || {})) kept[name] = JSON.parse(text)[member];
    }
  });
