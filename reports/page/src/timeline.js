// SPDX-License-Identifier: Apache-2.0
// Gantt chart with two lanes per rank, device above link. Link-only time, during which the link
// of a rank is busy and its device idle, is hatched and summed.
import { axisBottom } from 'd3-axis';
import { scaleLinear } from 'd3-scale';
import { select as d3select } from 'd3-selection';
import { KIND_COLOR, resolved } from './colors.js';
import { h, note, responsive, s, svg } from './dom.js';
import { bytes, percent, time } from './format.js';
import { dataTable } from './table.js';

const SVG_MARKS = 5000;
const LEFT = 58;
const RIGHT = 12;
const LINK = new Set(['exchange', 'hop']);

/** Converts the document's columns to an array of segments. */
export function segmentsOf(columns, kinds) {
  return columns.rank.map((rank, i) => ({
    rank, kind: kinds[columns.kind[i]], index: columns.index[i],
    start: columns.start_ns[i], end: columns.start_ns[i] + columns.duration_ns[i], bytes: columns.bytes[i],
  }));
}

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

/** Parts of `from` outside `cover`. Both are results of union(). */
export function subtract(from, cover) {
  const left = [];
  for (const [start, end] of from) {
    let at = start;
    for (const [a, b] of cover) {
      if (b <= at || a >= end) continue;
      if (a > at) left.push([at, a]);
      at = Math.max(at, b);
    }
    if (at < end) left.push([at, end]);
  }
  return left;
}

/** Per rank: intervals in which the link is busy and the device is not. */
export function linkOnlyOf(segments, ranks) {
  const link = Array.from({ length: ranks }, () => []);
  const device = Array.from({ length: ranks }, () => []);
  for (const g of segments) (LINK.has(g.kind) ? link : device)[g.rank].push([g.start, g.end]);
  return link.map((intervals, rank) => subtract(union(intervals), union(device[rank])));
}

const total = (intervals) => intervals.reduce((sum, [a, b]) => sum + b - a, 0);

function geometry(ranks, width, end) {
  const row = ranks <= 16 ? 26 : ranks <= 32 ? 18 : 12;
  const height = ranks * row + 30;
  const x = scaleLinear([0, end], [LEFT, width - RIGHT]);
  const box = (g) => ({
    x: x(g.start), width: Math.max(0.75, x(g.end) - x(g.start)),
    y: g.rank * row + (LINK.has(g.kind) ? row * 0.62 : 2), height: LINK.has(g.kind) ? row * 0.3 : row * 0.56,
  });
  return { row, height, x, box };
}

function frame(g, ranks, unit) {
  const axis = s('g', { class: 'axis', transform: `translate(0,${ranks * g.row + 4})` });
  d3select(axis).call(axisBottom(g.x).ticks(6).tickFormat(unit).tickSizeOuter(0));
  const every = ranks <= 32 ? 1 : 4;
  const names = [];
  for (let rank = 0; rank < ranks; rank += every) {
    names.push(s('text', { class: 'axis-name', x: LEFT - 8, y: (rank + 0.62) * g.row, 'text-anchor': 'end' }, `rank ${rank}`));
  }
  return [axis, ...names];
}

/** Formats ticks in one unit for the whole axis. */
function unitOf(end) {
  const [size, name] = end >= 1e9 ? [1e9, 's'] : end >= 1e6 ? [1e6, 'ms'] : end >= 1e3 ? [1e3, 'µs'] : [1, 'ns'];
  return (value) => `${Number((value / size).toPrecision(6))} ${name}`;
}

const describe = (g) => `rank ${g.rank}, ${g.kind} ${g.index}: ${time(g.end - g.start)} from ${time(g.start)}${g.bytes ? `, ${bytes(g.bytes)}` : ''}`;

let patterns = 0;

function drawSvg(segments, linkOnly, ranks, width, end, label) {
  const g = geometry(ranks, width, end);
  const id = `hatch-${++patterns}`;
  const hatch = s('defs', {}, s('pattern', { id, width: 5, height: 5, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
    s('line', { x1: 0, x2: 0, y1: 0, y2: 5, class: 'hatch' })));
  const rects = segments.map((segment) => s('rect', { ...g.box(segment), fill: KIND_COLOR[segment.kind], 'data-kind': segment.kind },
    s('title', {}, describe(segment))));
  const marks = linkOnly.flatMap((intervals, rank) => intervals.map(([start, stop]) =>
    s('rect', { ...g.box({ rank, kind: 'hop', start, end: stop }), fill: `url(#${id})`, class: 'link-only' })));
  return svg(width, g.height, label, hatch, rects, marks, frame(g, ranks, unitOf(end)));
}

function drawCanvas(segments, linkOnly, ranks, width, end, label) {
  const g = geometry(ranks, width, end);
  const ratio = globalThis.devicePixelRatio || 1;
  const canvas = h('canvas', { width: Math.round(width * ratio), height: Math.round(g.height * ratio), role: 'img', 'aria-label': label, style: `width:${width}px;height:${g.height}px` });
  const context = canvas.getContext('2d');
  context.scale(ratio, ratio);
  for (const kind of Object.keys(KIND_COLOR)) {
    context.fillStyle = resolved(KIND_COLOR[kind]);
    for (const segment of segments) {
      if (segment.kind !== kind) continue;
      const b = g.box(segment);
      context.fillRect(b.x, b.y, b.width, b.height);
    }
  }
  context.fillStyle = resolved('var(--ink)');
  linkOnly.forEach((intervals, rank) => intervals.forEach(([start, stop]) => {
    const b = g.box({ rank, kind: 'hop', start, end: stop });
    context.fillRect(b.x, b.y + b.height - 2, b.width, 2);
  }));
  const overlay = svg(width, g.height, label, frame(g, ranks, unitOf(end)));
  overlay.setAttribute('aria-hidden', 'true');
  return h('div', { class: 'layers', style: `height:${g.height}px` }, canvas, overlay);
}

function gantt(title, segments, ranks, end) {
  const linkOnly = linkOnlyOf(segments, ranks);
  const worst = Math.max(0, ...linkOnly.map(total));
  const span = Math.max(0, ...segments.map((g) => g.end));
  const text = `${title}: ${time(span)}; link-only time at most ${time(worst)} on a rank (${percent(span ? worst / span : 0)})`;
  const host = h('div', { class: 'plot' });
  const draw = segments.length <= SVG_MARKS ? drawSvg : drawCanvas;
  responsive(host, (width) => draw(segments, linkOnly, ranks, width, end, text));
  return h('figure', { class: 'timeline', 'data-timeline': title, 'data-span': span, 'data-link-only': worst }, h('figcaption', {}, h('strong', {}, title), ` ${text.slice(title.length + 2)}`), host);
}

function sums(named) {
  const rows = [];
  for (const { title, segments, ranks } of named) {
    const linkOnly = linkOnlyOf(segments, ranks).map(total);
    for (let rank = 0; rank < ranks; ++rank) {
      const row = { title, rank, linkOnly: linkOnly[rank], end: 0 };
      for (const g of segments) {
        if (g.rank !== rank) continue;
        row[g.kind] = (row[g.kind] ?? 0) + g.end - g.start;
        row.end = Math.max(row.end, g.end);
      }
      rows.push(row);
    }
  }
  return rows;
}

function timelineTable(named, kinds) {
  const columns = [{ name: 'Timeline', value: (r) => r.title }, { name: 'Rank', value: (r) => r.rank, number: true },
    ...kinds.map((kind) => ({ name: kind, value: (r) => r[kind] ?? 0, text: time, number: true })),
    { name: 'link only', value: (r) => r.linkOnly, text: time, number: true }, { name: 'ends at', value: (r) => r.end, text: time, number: true }];
  return dataTable('Table of these timelines', columns, sums(named), 'Time per rank and kind of segment');
}

function legend(kinds) {
  return h('p', { class: 'legend' }, kinds.map((kind) => [h('span', { class: 'key', style: `background:${KIND_COLOR[kind]}` }), kind]),
    h('span', { class: 'key hatched' }), 'link only: the link is busy and the device is idle');
}

export function timelineView(cell, plan, kinds) {
  const named = [];
  // A prediction covers one pass group, a replay the ranks of all groups.
  const each = cell.pass_groups > 1 ? `, one of ${cell.pass_groups} concurrent passes` : '';
  const all = cell.pass_groups > 1 ? `, ${cell.pass_groups} concurrent passes on ${cell.ranks} ranks each` : '';
  if (cell.predicted) named.push({ title: `Predicted${each}`, segments: segmentsOf(cell.predicted, kinds), ranks: cell.ranks });
  for (const replay of cell.replayed) {
    named.push({ title: `Replayed (${replay.transport}, replay ${replay.replay_id})${all}`, segments: segmentsOf(replay.segments, kinds), ranks: cell.ranks * cell.pass_groups });
  }
  if (named.length === 0) return note(cell.timeline_missing ?? 'The plan has no segments for this cell.');
  // Timelines share one scale. A timeline that is more than three times as long (ranks that waited
  // for cores) has its own scale, so that the others stay readable.
  const ends = named.map(({ segments }) => Math.max(1, ...segments.map((g) => g.end)));
  const limit = 3 * Math.min(...ends);
  const shared = Math.max(...ends.filter((end) => end <= limit));
  return h('div', {},
    named.map(({ title, segments, ranks }, i) => (ends[i] <= limit ? gantt(title, segments, ranks, shared)
      : gantt(`${title}, own scale`, segments, ranks, ends[i]))),
    cell.replayed.length === 0 ? note('No replay of this cell is stored, so only the prediction is drawn.') : null,
    legend(kinds), timelineTable(named, kinds));
}
