// SPDX-License-Identifier: Apache-2.0
// Arithmetic on intervals of time and on timelines. Pure: no access to the document.

/** Segment kinds that keep a rank's link busy; the others keep its device busy. */
export const LINK = new Set(['exchange', 'hop']);

/** Sorts intervals and merges those that overlap. */
export function union(intervals) {
  const merged = [];
  for (const [start, end] of intervals.filter(([a, b]) => b > a).sort((a, b) => a[0] - b[0])) {
    const last = merged[merged.length - 1];
    if (last && start <= last[1]) last[1] = Math.max(last[1], end);
    else merged.push([start, end]);
  }
  return merged;
}

/** Parts of `from` outside `cover`. Both are results of union(). Linear in their lengths. */
export function subtract(from, cover) {
  const left = [];
  let first = 0;
  for (const [start, end] of from) {
    let at = start;
    while (first < cover.length && cover[first][1] <= start) ++first;
    for (let i = first; i < cover.length && cover[i][0] < end; ++i) {
      const [a, b] = cover[i];
      if (a > at) left.push([at, a]);
      at = Math.max(at, b);
    }
    if (at < end) left.push([at, end]);
  }
  return left;
}

/** Total length of intervals that do not overlap, inside [from, to). */
export const lengthOf = (intervals, from = -Infinity, to = Infinity) =>
  intervals.reduce((sum, [a, b]) => sum + Math.max(0, Math.min(b, to) - Math.max(a, from)), 0);

/** Converts the document's columns to a timeline: arrays per segment, and per rank the indices of
 * its segments on the device and on the link by start.
 * @returns {{n: number, ranks: number, end: number, kinds: string[], rank: ArrayLike<number>, kind: ArrayLike<number>, index: ArrayLike<number>, start: ArrayLike<number>, stop: Float64Array, bytes: ArrayLike<number>, alone: (ArrayLike<number|null>|null), device: Int32Array[], link: Int32Array[]}} */
export function timelineOf(columns, kinds, ranks) {
  const n = columns.rank.length;
  const stop = new Float64Array(n);
  let end = 0;
  const device = Array.from({ length: ranks }, () => []);
  const link = Array.from({ length: ranks }, () => []);
  for (let i = 0; i < n; ++i) {
    stop[i] = columns.start_ns[i] + columns.duration_ns[i];
    if (stop[i] > end) end = stop[i];
    (LINK.has(kinds[columns.kind[i]]) ? link : device)[columns.rank[i]].push(i);
  }
  const byStart = (list) => Int32Array.from(list).sort((a, b) => columns.start_ns[a] - columns.start_ns[b]);
  return {
    n, ranks, end, kinds, rank: columns.rank, kind: columns.kind, index: columns.index, start: columns.start_ns, stop,
    bytes: columns.bytes, alone: columns.alone_ns ?? null, device: device.map(byStart), link: link.map(byStart),
  };
}

/** Per rank: `exposed`, during which its link is busy and its device is not, and `waiting`, during
 * which neither is busy before the last rank ends. */
export function idleOf(timeline) {
  const intervals = (list) => union(Array.from(list, (i) => [timeline.start[i], timeline.stop[i]]));
  return timeline.device.map((list, rank) => {
    const busy = intervals(list);
    const link = intervals(timeline.link[rank]);
    const idle = subtract([[0, timeline.end]], busy);
    return { exposed: subtract(link, busy), waiting: subtract(idle, link) };
  });
}

/** Time by which concurrent exchanges lengthen a segment; 0 where nothing is known. */
export function contentionOf(timeline, i) {
  const alone = timeline.alone?.[i];
  return alone === null || alone === undefined || Number.isNaN(alone) ? 0 : Math.max(0, timeline.stop[i] - timeline.start[i] - alone);
}

/** Segments that decide the end: the last one, then always one that ended last before it began, of
 * the same rank if two ended at the same time. Indices, in order of time. */
export function criticalPath(timeline) {
  if (timeline.n === 0) return [];
  const byEnd = Int32Array.from({ length: timeline.n }, (_, i) => i).sort((a, b) => timeline.stop[a] - timeline.stop[b]);
  const path = [byEnd[timeline.n - 1]];
  let high = timeline.n - 1;
  while (true) {
    const current = path[path.length - 1];
    let low = 0; // the number of segments that ended by the start of the current one
    while (low < high) {
      const middle = (low + high) >> 1;
      if (timeline.stop[byEnd[middle]] <= timeline.start[current]) low = middle + 1;
      else high = middle;
    }
    high = low;
    let best = -1;
    for (let k = low - 1; k >= 0 && timeline.stop[byEnd[k]] === timeline.stop[byEnd[low - 1]]; --k) {
      const i = byEnd[k];
      if (i !== current && (best < 0 || timeline.rank[i] === timeline.rank[current])) best = i;
    }
    if (best < 0 || timeline.stop[best] <= timeline.start[best]) return path.reverse();
    path.push(best);
  }
}

/** Sums of a range of time, per rank: time per kind, exposed, waiting and contention. */
export function sumsOf(timeline, idle, from, to) {
  return idle.map(({ exposed, waiting }, rank) => {
    const row = { rank, exposed: lengthOf(exposed, from, to), waiting: lengthOf(waiting, from, to), contention: 0, kinds: {} };
    for (const list of [timeline.device[rank], timeline.link[rank]]) {
      for (const i of list) {
        const part = Math.min(timeline.stop[i], to) - Math.max(timeline.start[i], from);
        if (part <= 0) continue;
        const kind = timeline.kinds[timeline.kind[i]];
        row.kinds[kind] = (row.kinds[kind] ?? 0) + part;
        const whole = timeline.stop[i] - timeline.start[i];
        row.contention += whole > 0 ? (contentionOf(timeline, i) * part) / whole : 0;
      }
    }
    return row;
  });
}

/** What a lane shows between `from` and `to` on `width` pixels: rectangles {x, width, kind, i}.
 * Segments of at least one pixel are kept; shorter ones share pixels, and a pixel has the kind that
 * fills most of it (i is then -1). At most 2 width + 1 rectangles, whatever the number of segments. */
export function laneMarks(timeline, list, from, to, width) {
  const scale = width / (to - from);
  const marks = [];
  let pixel = -1;
  let sums = null;
  const flush = () => {
    if (sums === null) return;
    let best = 0;
    for (let k = 1; k < sums.length; ++k) if (sums[k] > sums[best]) best = k;
    marks.push({ x: pixel, width: 1, kind: best, i: -1 });
    sums = null;
  };
  // Segments of a lane rarely overlap, so that ends are ascending like starts.
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timeline.stop[list[middle]] <= from) low = middle + 1;
    else high = middle;
  }
  for (let k = Math.max(0, low - 1); k < list.length; ++k) {
    const i = list[k];
    const start = timeline.start[i];
    if (start >= to) break;
    if (timeline.stop[i] <= from) continue;
    const x = (Math.max(start, from) - from) * scale;
    const w = (Math.min(timeline.stop[i], to) - Math.max(start, from)) * scale;
    if (w >= 1) {
      flush();
      pixel = -1;
      marks.push({ x, width: w, kind: timeline.kind[i], i });
      continue;
    }
    const at = Math.floor(x);
    if (at !== pixel || sums === null) {
      flush();
      pixel = at;
      sums = new Float64Array(timeline.kinds.length);
    }
    sums[timeline.kind[i]] += w;
  }
  flush();
  return marks;
}
