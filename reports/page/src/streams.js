// SPDX-License-Identifier: Apache-2.0
// Large data of the page, packed apart from the document and unpacked when a view needs it.
// docs/formats/report.md has the layout.
import { LINK } from './intervals.js';

export function bytesOfBase64(text) {
  // Browsers of 2025 and later decode by themselves.
  const native = /** @type {{fromBase64?: (text: string) => Uint8Array}} */ (/** @type {unknown} */ (Uint8Array));
  if (native.fromBase64) return native.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; ++i) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** Unpacks gzip. @param {Uint8Array} bytes @returns {Promise<Uint8Array>} */
export async function gunzip(bytes) {
  if (typeof DecompressionStream !== 'function') {
    throw new Error('this browser cannot unpack gzip data (DecompressionStream is missing)');
  }
  const stream = new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (bytes)]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const streams = new Map();

/** The bytes of a stream of this page, unpacked at the first call. @returns {Promise<Uint8Array>} */
export function streamOf(id) {
  if (!streams.has(id)) {
    const element = document.getElementById(id);
    if (!element) return Promise.reject(new Error(`the page has no part ${id}`));
    streams.set(id, gunzip(bytesOfBase64(element.textContent.trim())));
  }
  return streams.get(id);
}

/** Reads numbers of 7 bits per byte. Numbers up to 2^53 are exact. */
function reader(bytes) {
  let at = 0;
  const next = () => {
    let value = 0;
    let scale = 1;
    while (true) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('the timelines of this page end early');
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  };
  const signed = () => {
    const value = next();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  };
  return { next, signed, rest: () => bytes.subarray(at) };
}

/** Columns of all timelines of a plan from the bytes of its stream. `counts` are the numbers of
 * segments of the timelines in order. Pure. */
export function unpackSegments(bytes, counts, kinds) {
  const head = reader(bytes);
  const lengths = Array.from({ length: 7 }, () => head.next());
  const body = head.rest();
  let at = 0;
  const [rank, kind, index, start, duration, amount, alone] = lengths.map((length) => {
    const column = reader(body.subarray(at, at + length));
    at += length;
    return column;
  });
  const n = counts.reduce((sum, count) => sum + count, 0);
  const out = { rank: new Int32Array(n), kind: new Uint8Array(n), index: new Int32Array(n), start_ns: new Float64Array(n), duration_ns: new Float64Array(n), bytes: new Float64Array(n), alone_ns: new Float64Array(n).fill(NaN) };
  const link = kinds.map((name) => (LINK.has(name) ? 1 : 0));
  let i = 0;
  for (const count of counts) {
    const ends = [[], []]; // of the device and of the link, by rank
    const lastDuration = kinds.map(() => 0);
    const lastBytes = kinds.map(() => 0);
    for (const stop = i + count; i < stop; ++i) {
      const r = rank.next();
      const k = kind.next();
      const lane = link[k];
      const gap = start.signed();
      const before = ends[start.next() === 1 ? 1 - lane : lane][r] ?? 0;
      const d = lastDuration[k] + duration.signed();
      const b = lastBytes[k] + amount.signed();
      lastDuration[k] = d;
      lastBytes[k] = b;
      out.rank[i] = r;
      out.kind[i] = k;
      out.index[i] = index.next();
      out.start_ns[i] = before + gap;
      out.duration_ns[i] = d;
      out.bytes[i] = b;
      const slowed = alone.next();
      if (slowed > 0) out.alone_ns[i] = d - (slowed - 1);
      ends[lane][r] = before + gap + d;
    }
  }
  return out;
}

/** Timelines of a plan in the order of its stream. */
function* timelinesOf(plan) {
  for (const cell of plan.shown) {
    if (cell.predicted) yield cell.predicted;
    for (const replay of cell.replayed ?? []) if (replay.segments) yield replay.segments;
  }
}

/** Unpacks the timelines of a plan in place. A page with little data has them in its document. */
export async function unpackTimelines(plan, index, kinds) {
  const places = [...timelinesOf(plan)].filter((columns) => 'count' in columns);
  if (places.length === 0) return;
  const all = unpackSegments(await streamOf(`dbsp-segments-${index}`), places.map((place) => place.count), kinds);
  for (const place of places) {
    const { first, count } = place;
    for (const [name, column] of Object.entries(all)) place[name] = column.subarray(first, first + count);
    delete place.count;
  }
}

/** Segment columns of the document; unpackTimelines() has been called. */
export function segmentsOf(columns) {
  if (!columns.rank) throw new Error('the timelines of this page are not unpacked yet');
  return columns;
}

/** The bits of a plan's masks: rows begin a byte, bit j is bit j % 8 of byte floor(j / 8). */
export function maskBits(plan, index) {
  return plan.masks.bits === null || plan.masks.bits === undefined ? streamOf(`dbsp-masks-${index}`) : Promise.resolve(bytesOfBase64(plan.masks.bits));
}
