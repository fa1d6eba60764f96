// Starts, kills and restarts a real Divan for the compatibility tests.
'use strict';

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

const ROOT = path.resolve(__dirname, '..', '..');
const USER = 'admin';
const PASSWORD = 'compat-pass';
const START_TIMEOUT = Number(process.env.DIVAN_START_TIMEOUT || 60) * 1000;

function binary() {
  return path.resolve(ROOT, process.env.DIVAN || 'build/release/divan');
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function listenOn(port) {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once('error', reject);
    probe.listen(port, '127.0.0.1', () => {
      const got = probe.address().port;
      probe.close(() => resolve(got));
    });
  });
}

// A free port; DIVAN_TEST_PORTS=LOW-HIGH restricts the choice.
async function freePort() {
  const span = process.env.DIVAN_TEST_PORTS;
  if (!span) return listenOn(0);
  const [low, high] = span.split('-').map(Number);
  for (let tries = 0; tries < 200; tries++) {
    try {
      return await listenOn(low + Math.floor(Math.random() * (high - low + 1)));
    } catch {
      // Taken: another one.
    }
  }
  throw new Error(`no free port in ${span}`);
}

class Server {
  constructor() {
    this.data = fs.mkdtempSync(path.join(os.tmpdir(), 'divan-compat-'));
    this.log = this.data + '.log';
    this.child = null;
    this.port = 0;
  }

  // The URL of the server or a database, with the login in it as replicators want it.
  url(name = '', login = true) {
    const pair = login ? `${USER}:${PASSWORD}@` : '';
    return `http://${pair}127.0.0.1:${this.port}/${name}`;
  }

  async start() {
    for (let tries = 0; tries < 5; tries++) {
      if (!this.port || tries) this.port = await freePort();
      if (await this.spawnAndWait()) return this;
    }
    throw new Error('the server does not start:\n' + this.logTail());
  }

  async spawnAndWait() {
    const log = fs.openSync(this.log, 'a');
    const args = ['serve', '--data', this.data, '--bind', '127.0.0.1'];
    args.push('--port', String(this.port), '--admin-user', USER);
    const env = { ...process.env, DIVAN_ADMIN_PASSWORD: PASSWORD };
    const child = spawn(binary(), args, { stdio: ['ignore', log, log], env });
    fs.closeSync(log);
    this.child = child;
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
      child.once('error', (error) => resolve({ error }));
    });
    let over = null;
    this.ended.then((how) => { over = how; });
    const deadline = Date.now() + START_TIMEOUT;
    while (Date.now() < deadline) {
      if (over) return false;
      try {
        if ((await this.request('GET', '/_up')).status === 200) return true;
      } catch {
        // Not listening yet.
      }
      await sleep(15);
    }
    throw new Error('not ready in time:\n' + this.logTail());
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
    this.child = null;
  }

  async stop() {
    if (!this.child) return;
    this.child.kill('SIGTERM');
    const how = await this.ended;
    this.child = null;
    if (how.code !== 0) throw new Error(`ended with ${JSON.stringify(how)}:\n${this.logTail()}`);
  }

  async close() {
    try {
      await this.stop();
    } finally {
      fs.rmSync(this.data, { recursive: true, force: true });
      fs.rmSync(this.log, { force: true });
    }
  }

  logTail() {
    try {
      return fs.readFileSync(this.log, 'utf8').slice(-4000);
    } catch {
      return '';
    }
  }

  // One request; { status, headers, body, json() }.  body: a string or Buffer, else JSON.
  request(method, target, body, headers = {}) {
    const raw = body === undefined || typeof body === 'string' || Buffer.isBuffer(body);
    const data = raw ? body : JSON.stringify(body);
    const send = { Accept: 'application/json', ...headers };
    if (data !== undefined && !send['Content-Type']) send['Content-Type'] = 'application/json';
    if (data !== undefined) send['Content-Length'] = Buffer.byteLength(data);
    return new Promise((resolve, reject) => {
      const options = {
        host: '127.0.0.1',
        port: this.port,
        path: target,
        method,
        headers: send,
        auth: `${USER}:${PASSWORD}`,
        agent: this.agent || (this.agent = new http.Agent({ keepAlive: true, maxSockets: 16 })),
      };
      const request = http.request(options, (answer) => {
        const parts = [];
        answer.on('data', (part) => parts.push(part));
        answer.on('error', reject);
        answer.on('aborted', () => reject(new Error('the connection was cut')));
        answer.on('end', () => {
          const bytes = Buffer.concat(parts);
          resolve({
            status: answer.statusCode,
            headers: answer.headers,
            body: bytes,
            json: () => JSON.parse(bytes.toString('utf8')),
          });
        });
      });
      request.on('error', reject);
      request.end(data);
    });
  }
}

module.exports = { Server, sleep, freePort, ROOT, USER, PASSWORD };
