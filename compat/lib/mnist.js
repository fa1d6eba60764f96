// Reads the image data set that lies beside the repository; absent -> null.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const zlib = require('node:zlib');
const { ROOT } = require('./server');

const DIMS = 784;
const TRUTH = 100;

function load() {
  const folder = process.env.DIVAN_MNIST || path.resolve(ROOT, '..', 'shared', 'data', 'mnist');
  if (!fs.existsSync(path.join(folder, 'base.u8.gz'))) return null;
  const read = (name) => fs.readFileSync(path.join(folder, name));
  const truth = (name) => {
    const raw = read(name);
    return new Int32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
  };
  return {
    base: zlib.gunzipSync(read('base.u8.gz')),
    queries: zlib.gunzipSync(read('query.u8.gz')),
    labels: read('base.labels.u8'),
    queryLabels: read('query.labels.u8'),
    truth: { l2: truth('truth.l2.i32'), cosine: truth('truth.cosine.i32') },
  };
}

function id(row) {
  return 'mnist-' + String(row).padStart(5, '0');
}

function row(data, number) {
  return data.subarray(number * DIMS, (number + 1) * DIMS);
}

function document(set, number) {
  return { _id: id(number), label: set.labels[number], image: Array.from(row(set.base, number)) };
}

function base64(bytes) {
  return Buffer.from(Float32Array.from(bytes).buffer).toString('base64');
}

// Smaller is nearer, in double precision, comparable within a metric.
function distance(metric, a, b) {
  let dot = 0, aa = 0, bb = 0, square = 0;
  for (let i = 0; i < DIMS; i++) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
    square += (a[i] - b[i]) ** 2;
  }
  return metric === 'l2' ? square : 1 - dot / Math.sqrt(aa * bb);
}

// How many of the k rows are as near as the k-th of the truth; ties count, and so do
// differences below what float32 can tell.
function hits(set, metric, query, rows, k) {
  const q = row(set.queries, query);
  const worst = distance(metric, q, row(set.base, set.truth[metric][query * TRUTH + k - 1]));
  const limit = metric === 'l2' ? worst * (1 + 2e-6) : worst + 2e-6;
  return new Set(rows.slice(0, k)).size === rows.length
    ? rows.filter((r) => distance(metric, q, row(set.base, r)) <= limit).length
    : 0;
}

module.exports = { load, id, row, document, base64, hits, DIMS, TRUTH };
