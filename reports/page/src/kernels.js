// SPDX-License-Identifier: Apache-2.0
// What the device and its links reach: throughput of attention by density, bandwidth by bytes.
import { axisX, axisY, dot, lineY, rectX, ruleX } from '@observablehq/plot';
import { placeColor } from './colors.js';
import { h, later, note, section } from './dom.js';
import { bytes, clip, percent, plural, time } from './format.js';
import { thinned, thinnedNote } from './format_units.js';
import { chart } from './plot.js';
import { segmentsOf } from './streams.js';
import { dataTable } from './table.js';

/** Points that a chart draws. */
const MOST = 2000;

/** Attention trials with a time: operations are 4 x active pairs x head dimension (two products).
 * `flops` is per second. Pure. */
export function throughputOf(trials) {
  return trials.filter((t) => t.kind === 'attention' && t.median_ns > 0 && t.density !== null).map((t) => {
    const [q, k] = t.block.split('x').map(Number);
    const operations = 4 * t.kept_blocks * q * k * t.head_dim;
    return { ...t, flops: (operations / t.median_ns) * 1e9, low: (operations / t.q75_ns) * 1e9, high: (operations / t.q25_ns) * 1e9 };
  });
}

/** Exchange trials with a time: bytes that the busiest rank sends, per second. Pure. */
export function bandwidthOf(trials) {
  return trials.filter((t) => t.kind === 'exchange' && t.median_ns > 0 && t.bytes_per_rank > 0).map((t) => ({
    ...t, series: `${t.op}, ${t.ranks} ranks, ${t.transport}`, rate: (t.bytes_per_rank / t.median_ns) * 1e9, low: (t.bytes_per_rank / t.q75_ns) * 1e9, high: (t.bytes_per_rank / t.q25_ns) * 1e9,
  }));
}

/** Smallest and largest exchange or hop of the plan's predictions, in bytes per rank; null without. */
export function exchangedRange(plan, kinds) {
  let low = Infinity;
  let high = 0;
  for (const cell of plan?.shown ?? []) {
    if (!cell.predicted) continue;
    const columns = segmentsOf(cell.predicted);
    for (let i = 0; i < columns.rank.length; ++i) {
      const kind = kinds[columns.kind[i]];
      if ((kind !== 'exchange' && kind !== 'hop') || columns.bytes[i] <= 0) continue;
      low = Math.min(low, columns.bytes[i]);
      high = Math.max(high, columns.bytes[i]);
    }
  }
  return high > 0 ? [low, high] : null;
}

const series = (names) => {
  const place = new Map(names.map((name, i) => [name, i]));
  return {
    color: (name) => placeColor(place.get(name)),
    legend: h('p', { class: 'legend' }, names.slice(0, 8).map((name, i) => h('span', { class: 'entry' }, h('span', { class: 'key', style: `background:${placeColor(i)}` }), clip(name, 40))), names.length > 8 ? `and ${names.length - 8} more in grey` : null),
  };
};

function attentionChart(trials) {
  const rows = throughputOf(trials);
  if (rows.length === 0) return note('No attention was measured.');
  const most = Math.max(...rows.map((r) => r.high));
  const [unit, name] = most >= 1e12 ? [1e12, 'TFLOP/s'] : [1e9, 'GFLOP/s'];
  const kernels = [...new Set(rows.map((r) => r.kernel))].sort();
  const { color, legend } = series(kernels);
  const SYMBOL = { dense: 'circle', uniform: 'times', skewed: 'plus' };
  const dense = kernels.map((kernel) => Math.max(0, ...rows.filter((r) => r.kernel === kernel && r.density > 0.999).map((r) => r.flops)) / unit).filter((v) => v > 0);
  const figure = chart({
    title: `Attention: ${name} by density`, label: `Throughput of ${plural(rows.length, 'attention trial')}: up to ${(most / unit).toPrecision(3)} ${name}.`, legend,
    attributes: { 'data-throughput': rows.length },
    options: () => ({
      height: 260, marginLeft: 52, marginBottom: 34, x: { domain: [0, 1], label: 'density (active blocks / all blocks)', percent: false, grid: true }, y: { domain: [0, (most / unit) * 1.08], label: null, grid: true },
      marks: [
        axisX({ ticks: 5, tickFormat: percent, labelAnchor: 'right' }), axisY({ ticks: 5 }),
        dense.length ? lineY(dense.flatMap((v, i) => [{ x: 0, v, i }, { x: 1, v, i }]), { x: 'x', y: 'v', z: 'i', className: 'bound' }) : null,
        ruleX(thinned(rows, MOST), { x: 'density', y1: (r) => r.low / unit, y2: (r) => r.high / unit, stroke: (r) => color(r.kernel) }),
        dot(thinned(rows, MOST), { x: 'density', y: (r) => r.flops / unit, symbol: (r) => SYMBOL[r.pattern] ?? 'diamond', stroke: (r) => color(r.kernel), r: 4, title: (r) => `${r.kernel}, ${r.pattern}, ${percent(r.density)} dense: ${(r.flops / unit).toPrecision(3)} ${name}` }),
      ],
      color: { type: 'identity' }, symbol: { type: 'identity' },
    }),
  });
  return h('div', {}, figure, note('Circle: dense, cross: uniform, plus: skewed. A vertical line is the range of the middle half of the samples; dashed: the kernel on dense masks.' + thinnedNote(rows, MOST)),
    dataTable('Table of these points', [
      { name: 'Kernel', value: (r) => r.kernel }, { name: 'Pattern', value: (r) => r.pattern }, { name: 'Density', value: (r) => r.density, text: percent, number: true },
      { name: name, value: (r) => r.flops / unit, text: (v) => v.toFixed(2), number: true }, { name: 'Median', value: (r) => r.median_ns, unit: 'time', number: true }, { name: 'Samples', value: (r) => r.samples, number: true },
    ], rows, 'Throughput of attention'));
}

function linkChart(trials, plan, kinds) {
  const rows = bandwidthOf(trials);
  if (rows.length === 0) return note('No exchange was measured.');
  const names = [...new Set(rows.map((r) => r.series))].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const { color, legend } = series(names);
  const used = exchangedRange(plan, kinds);
  const even = rows.filter((r) => r.unevenness === 1).sort((a, b) => a.bytes_per_rank - b.bytes_per_rank);
  const most = Math.max(...rows.map((r) => r.high)) / 1e9;
  const figure = chart({
    title: 'Exchanges: bus bandwidth in GB/s, by bytes that the busiest rank sends', label: `Bandwidth of ${plural(rows.length, 'exchange trial')}: up to ${most.toPrecision(3)} GB/s.${used ? ` The exchanges of the plan send ${bytes(used[0])} to ${bytes(used[1])} per rank.` : ''}`, legend,
    attributes: { 'data-bandwidth': rows.length },
    options: (width) => ({
      height: 260, marginLeft: 52, marginBottom: 34, x: { type: 'log', label: 'bytes', grid: true }, y: { domain: [0, most * 1.08], label: null, grid: true },
      marks: [
        used ? rectX([used], { x1: (d) => d[0], x2: (d) => Math.max(d[1], d[0] * 1.01), className: 'band' }) : null,
        axisX({ ticks: width < 500 ? 3 : 6, tickFormat: (d) => bytes(d), labelAnchor: 'right' }), axisY({ ticks: 5 }),
        lineY(thinned(even, MOST), { x: 'bytes_per_rank', y: (r) => r.rate / 1e9, z: 'series', stroke: (r) => color(r.series) }),
        ruleX(thinned(rows, MOST), { x: 'bytes_per_rank', y1: (r) => r.low / 1e9, y2: (r) => r.high / 1e9, stroke: (r) => color(r.series) }),
        dot(thinned(rows, MOST), { x: 'bytes_per_rank', y: (r) => r.rate / 1e9, fill: (r) => color(r.series), r: 3, title: (r) => `${r.series}, ${bytes(r.bytes_per_rank)}, unevenness ${r.unevenness}: ${(r.rate / 1e9).toPrecision(3)} GB/s, ${time(r.median_ns)}` }),
      ],
      color: { type: 'identity' },
    }),
  });
  return h('div', {}, figure, note(`${used ? `Grey: the sizes of this plan's exchanges, ${bytes(used[0])} to ${bytes(used[1])}. ` : ''}Lines join even exchanges; a vertical line is the range of the middle half of the samples.${thinnedNote(rows, MOST)}`),
    dataTable('Table of these points', [
      { name: 'Operation', value: (r) => r.op }, { name: 'Ranks', value: (r) => r.ranks, number: true }, { name: 'Transport', value: (r) => r.transport },
      { name: 'Bytes per rank', value: (r) => r.bytes_per_rank, unit: 'bytes', number: true }, { name: 'Unevenness', value: (r) => r.unevenness, text: (v) => v.toFixed(2), number: true },
      { name: 'busbw, GB/s', value: (r) => r.rate / 1e9, text: (v) => v.toFixed(3), number: true }, { name: 'Median', value: (r) => r.median_ns, unit: 'time', number: true },
    ], rows, 'Bandwidth of exchanges'));
}

export function kernelsSection(data, plan, unpacked) {
  return section('kernels', 'Kernels and links',
    h('div', { class: 'charts' }, attentionChart(data.trials), later(unpacked, () => linkChart(data.trials, plan, data.segment_kinds))));
}
