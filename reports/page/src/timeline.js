// SPDX-License-Identifier: Apache-2.0
// Timelines of one cell on canvas: per rank a lane of its device and a lane of its link, predicted
// and replayed in pairs. The range of time that is shown is part of the selection.
import { KIND_COLOR, onColors, resolved } from './colors.js';
import { guarded, h, labelled, note, responsive, select } from './dom.js';
import { clip, percent, time } from './format.js';
import { contentionOf, criticalPath, idleOf, laneMarks, lengthOf, sumsOf, timelineOf } from './intervals.js';
import { legendOf } from './plot.js';
import { segmentsOf } from './streams.js';
import { dataTable } from './table.js';

const LEFT = 104;
const RIGHT = 8;
const AXIS = 26;
const SHORTEST = 20; // ns that a zoom can show

const say = (timeline, i) => `${timeline.kinds[timeline.kind[i]]} ${timeline.index[i]}: ${time(timeline.stop[i] - timeline.start[i])} from ${time(timeline.start[i])}`;

/** Formats ticks in one unit for the whole axis. */
function unitOf(span, end) {
  const [size, name] = end >= 1e9 ? [1e9, 's'] : end >= 1e6 ? [1e6, 'ms'] : end >= 1e3 ? [1e3, 'µs'] : [1, 'ns'];
  const decimals = Math.max(0, Math.ceil(-Math.log10(span / size / 8)));
  return (value) => `${(value / size).toFixed(Math.min(decimals, 6))} ${name}`;
}

/** Round positions for about `wanted` ticks. */
export function ticksOf(from, to, wanted) {
  const rough = (to - from) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const ticks = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) ticks.push(at);
  return ticks;
}

/** The lanes of the chart from top to bottom: {name, source, rank}. With several sources the lanes
 * of a rank stand together; a prediction is of one pass group and stands beside every group. Pure. */
export function lanesOf(sources, onlyRank) {
  const ranks = Math.max(...sources.map((source) => source.timeline.ranks));
  const lanes = [];
  for (let rank = 0; rank < ranks; ++rank) {
    if (onlyRank !== null && onlyRank < ranks && rank !== onlyRank) continue;
    for (const source of sources) lanes.push({ name: sources.length > 1 ? `${rank} ${source.short}` : `rank ${rank}`, source, rank: rank % source.timeline.ranks, first: source === sources[0] });
  }
  return lanes;
}

function colorsNow() {
  const names = ['--ink', '--soft', '--rule', '--paper', '--part-waiting', '--part-exchange', '--part-exposed', '--part-contention'];
  const color = Object.fromEntries(names.map((name) => [name, resolved(`var(${name})`)]));
  color.kinds = Object.fromEntries(Object.entries(KIND_COLOR).map(([kind, value]) => [kind, resolved(value)]));
  return color;
}

/** Black or white, whichever is easier to read on a colour #rrggbb. */
function inkOn(color) {
  const [r, g, b] = [1, 3, 5].map((at) => (parseInt(color.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? '#000' : '#fff';
}

function stripes(context, x, y, width, height, color) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = color;
  context.lineWidth = 1.2;
  context.beginPath();
  for (let at = x - height; at < x + width; at += 5) {
    context.moveTo(at, y + height);
    context.lineTo(at + height, y);
  }
  context.stroke();
  context.restore();
}

function paintLane(context, lane, y, row, view, color, path) {
  const { timeline, idle } = lane.source;
  const width = view.width - LEFT - RIGHT;
  const scale = width / (view.to - view.from);
  const device = { y: y + 1, height: row * 0.6 };
  const link = { y: y + row * 0.66, height: row * 0.24 };
  const spans = (intervals, use) => {
    for (const [a, b] of intervals) {
      if (b <= view.from || a >= view.to) continue;
      const x = LEFT + (Math.max(a, view.from) - view.from) * scale;
      use(x, Math.max(0.5, (Math.min(b, view.to) - Math.max(a, view.from)) * scale));
    }
  };
  context.fillStyle = color['--part-waiting'];
  spans(idle[lane.rank].waiting, (x, w) => context.fillRect(x, device.y, w, device.height));
  spans(idle[lane.rank].exposed, (x, w) => {
    context.fillStyle = color['--part-exposed'];
    context.fillRect(x, device.y, w, device.height);
    if (w > 3) stripes(context, x, device.y, w, device.height, color['--part-exchange']);
  });
  for (const [list, at] of [[timeline.device[lane.rank], device], [timeline.link[lane.rank], link]]) {
    for (const mark of laneMarks(timeline, list, view.from, view.to, width)) {
      const kind = timeline.kinds[mark.kind];
      context.fillStyle = color.kinds[kind];
      const gap = mark.width > 3 ? 0.6 : 0;
      context.fillRect(LEFT + mark.x, at.y, mark.width - gap, at.height);
      if (mark.i < 0) continue;
      const slowed = contentionOf(timeline, mark.i) * scale;
      if (slowed > 2) stripes(context, LEFT + mark.x + mark.width - Math.min(slowed, mark.width), at.y, Math.min(slowed, mark.width), at.height, color['--part-contention']);
      if (path?.has(mark.i)) {
        context.strokeStyle = color['--ink'];
        context.lineWidth = 2;
        context.strokeRect(LEFT + mark.x + 1, at.y + 1, Math.max(1, mark.width - 2), at.height - 2);
      }
      const label = `${kind} ${timeline.index[mark.i]}  ${time(timeline.stop[mark.i] - timeline.start[mark.i])}`;
      if (at === device && device.height >= 14 && mark.width > label.length * 6.4 + 10) {
        context.fillStyle = inkOn(color.kinds[kind]);
        context.fillText(label, LEFT + mark.x + 6, at.y + at.height / 2 + 4);
      }
    }
  }
}

function paint(canvas, lanes, view, paths) {
  const row = view.row;
  const density = globalThis.devicePixelRatio || 1;
  canvas.width = Math.round(view.width * density);
  canvas.height = Math.round(view.height * density);
  canvas.style.width = `${view.width}px`;
  canvas.style.height = `${view.height}px`;
  const context = canvas.getContext('2d');
  context.scale(density, density);
  context.font = '12px system-ui, sans-serif';
  const color = colorsNow();
  const bottom = view.height - AXIS;
  const text = unitOf(view.to - view.from, view.to);
  const wanted = Math.max(2, Math.floor((view.width - LEFT) / 110));
  for (const at of ticksOf(view.from, view.to, wanted)) {
    const x = LEFT + ((at - view.from) / (view.to - view.from)) * (view.width - LEFT - RIGHT);
    context.fillStyle = color['--rule'];
    context.fillRect(x, 0, 1, bottom + 4);
    context.fillStyle = color['--soft'];
    context.textAlign = x > view.width - 44 ? 'right' : x < LEFT + 4 ? 'left' : 'center';
    context.fillText(text(at), x, view.height - 8);
  }
  context.textAlign = 'left';
  lanes.forEach((lane, i) => {
    const y = i * row;
    if (row >= 12 || i % Math.ceil(12 / row) === 0) {
      context.fillStyle = color['--soft'];
      context.textAlign = 'right';
      context.fillText(lane.name, LEFT - 8, y + row * 0.6);
      context.textAlign = 'left';
    }
    paintLane(context, lane, y, row, view, color, paths?.get(lane.source));
  });
}

const rowOf = (lanes) => (lanes <= 8 ? 30 : lanes <= 16 ? 24 : lanes <= 40 ? 16 : 8);

/** Sources that are drawn together: those of more than three times the shortest have a view alone. */
function choices(sources) {
  const shortest = Math.min(...sources.map((source) => source.timeline.end));
  const pair = sources.filter((source) => source.timeline.end <= 3 * shortest);
  const list = pair.length > 1 ? [{ name: 'Predicted and replayed', sources: pair }] : [];
  return [...list, ...sources.map((source) => ({ name: source.name, sources: [source] }))];
}

/** One sentence on what a timeline loses. */
function summaryOf(source) {
  const { timeline, idle } = source;
  const share = (ns) => `${time(ns)} (${percent(timeline.end > 0 ? ns / timeline.end : 0)})`;
  const mean = (part) => idle.reduce((sum, rank) => sum + lengthOf(rank[part]), 0) / Math.max(1, idle.length);
  return `${source.name}: ${time(timeline.end)}. Mean per rank: exposed communication ${share(mean('exposed'))}, waiting for others ${share(mean('waiting'))}.`;
}

function sumsTable(drawn, kinds, view) {
  const rows = () => drawn().flatMap((source) => sumsOf(source.timeline, source.idle, view().from, view().to).map((row) => ({ ...row, source })));
  return dataTable(() => (view() ? `Sums of the shown range, ${time(view().from)} to ${time(view().to)}` : 'Sums'), [
    { name: 'Timeline', value: (r) => r.source.name }, { name: 'Rank', value: (r) => r.rank, number: true },
    ...kinds.map((kind) => ({ name: kind, value: (r) => r.kinds[kind] ?? 0, unit: 'time', number: true })),
    { name: 'exposed', value: (r) => r.exposed, unit: 'time', number: true, hint: 'The link is busy and the device is not' },
    { name: 'waiting', value: (r) => r.waiting, unit: 'time', number: true, hint: 'Neither is busy, and another rank still works' },
    { name: 'contention', value: (r) => r.contention, unit: 'time', number: true, hint: 'Time that concurrent exchanges add to attention' },
  ], rows, 'Time per rank and kind of segment in the shown range');
}

/** The chart with its buttons. */
function chartOf(cell, sources, kinds, store) {
  const options = choices(sources);
  let chosen = options[0];
  let lanes = [];
  let view = null;
  let paths = null;
  const canvas = h('canvas', { role: 'img' });
  const host = h('div', { class: 'plot gantt', tabindex: 0, role: 'application', 'aria-roledescription': 'timeline' });
  const range = h('span', { class: 'range', 'aria-live': 'polite' });
  const tip = h('p', { class: 'tip', 'aria-hidden': 'true' });
  const sums = sumsTable(() => chosen.sources, kinds, () => view);
  const end = () => Math.max(1, ...chosen.sources.map((source) => source.timeline.end));
  const draw = () => {
    const selection = store.get();
    lanes = lanesOf(chosen.sources, selection.rank);
    const row = rowOf(lanes.length);
    const width = Math.max(240, Math.floor(host.clientWidth));
    const to = Math.min(selection.to ?? end(), end());
    const from = Math.min(selection.from ?? 0, to - SHORTEST);
    view = { from, to, width, row, height: lanes.length * row + AXIS };
    paint(canvas, lanes, view, paths);
    range.textContent = `${time(from)} to ${time(to)} of ${time(end())}`;
    const text = chosen.sources.map(summaryOf).join(' ');
    host.setAttribute('aria-label', `Timeline of step ${cell.step}, layer ${cell.layer}. + and − zoom, arrow keys move, Home and End go to the start and the end. ${text}`);
    canvas.setAttribute('aria-label', `${text} Shown: ${range.textContent}`);
    sums.refresh();
    host.dataset.from = String(from);
    host.dataset.to = String(to);
  };
  const go = (from, to) => {
    const size = Math.min(end(), Math.max(SHORTEST, to - from));
    const start = Math.max(0, Math.min(from, end() - size));
    if (size >= end()) store.set({ from: null, to: null });
    else store.set({ from: Math.round(start), to: Math.round(start + size) });
  };
  const zoom = (factor, at = (view.from + view.to) / 2) => go(at - (at - view.from) * factor, at + (view.to - at) * factor);
  const move = (share) => go(view.from + (view.to - view.from) * share, view.to + (view.to - view.from) * share);
  const edge = end() * 0.13;
  const start = () => go(0, edge);
  const finish = () => go(end() - edge, end());
  const timeAt = (event) => view.from + ((event.clientX - canvas.getBoundingClientRect().left - LEFT) / (view.width - LEFT - RIGHT)) * (view.to - view.from);
  const KEYS = { '+': () => zoom(0.5), '=': () => zoom(0.5), '-': () => zoom(2), ArrowLeft: () => move(-0.25), ArrowRight: () => move(0.25), Home: start, End: finish, 0: () => go(0, end()) };
  host.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  // Without a modifier key the wheel scrolls the page.
  host.addEventListener('wheel', (event) => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    zoom(event.deltaY + event.deltaX > 0 ? 1.3 : 1 / 1.3, timeAt(event));
  }, { passive: false });
  let drag = null;
  canvas.addEventListener('pointerdown', (event) => { drag = { x: event.clientX, from: view.from, to: view.to, at: timeAt(event), range: event.shiftKey }; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener('pointermove', (event) => {
    if (!drag) {
      const lane = lanes[Math.floor((event.clientY - canvas.getBoundingClientRect().top) / view.row)];
      const at = timeAt(event);
      const found = lane ? [...lane.source.timeline.device[lane.rank], ...lane.source.timeline.link[lane.rank]].filter((i) => lane.source.timeline.start[i] <= at && at < lane.source.timeline.stop[i]) : [];
      tip.textContent = lane ? `${lane.name}, ${time(Math.max(0, at))}: ${found.map((i) => say(lane.source.timeline, i)).join('; ') || 'idle'}` : '';
      return;
    }
    if (drag.range) return;
    const by = ((drag.x - event.clientX) / (view.width - LEFT - RIGHT)) * (drag.to - drag.from);
    go(drag.from + by, drag.to + by);
  });
  canvas.addEventListener('pointerup', (event) => {
    if (drag?.range) go(Math.min(drag.at, timeAt(event)), Math.max(drag.at, timeAt(event)));
    drag = null;
  });
  responsive(host, () => { draw(); return canvas; });
  onColors(() => host.isConnected && paint(canvas, lanes, view, paths));
  const button = (name, use) => h('button', { type: 'button', onclick: use }, name);
  const critical = h('label', { class: 'check' }, h('input', { type: 'checkbox', onchange: (event) => {
    paths = event.target.checked ? new Map(chosen.sources.map((source) => [source, new Set(criticalPath(source.timeline))])) : null;
    draw();
  } }), 'critical path');
  const ranks = Math.max(...sources.map((source) => source.timeline.ranks));
  const rankPicker = select([['', 'all'], ...Array.from({ length: ranks }, (_, rank) => [String(rank), String(rank)])], store.get().rank === null ? '' : String(store.get().rank), (value) => store.set({ rank: value === '' ? null : Number(value) }));
  const node = h('div', {},
    h('div', { class: 'controls' },
      options.length > 1 ? labelled('Show', select(options.map((o, i) => [String(i), o.name]), '0', (value) => { chosen = options[Number(value)]; paths = null; critical.firstChild.checked = false; draw(); })) : null,
      labelled('Rank', rankPicker),
      h('span', { class: 'buttons' }, button('Whole', () => go(0, end())), button('Start', start), button('End', finish), button('+', () => zoom(0.5)), button('−', () => zoom(2)), button('←', () => move(-0.25)), button('→', () => move(0.25))),
      critical, range),
    host, tip, sums);
  return { node, draw: () => { rankPicker.value = store.get().rank === null ? '' : String(store.get().rank); draw(); } };
}

/** Timelines of a cell. Returns {node, draw}; draw() follows a change of range or rank. */
export function timelineView(cell, plan, kinds, store) {
  const sources = [];
  const add = (name, short, columns, ranks) => {
    const timeline = timelineOf(segmentsOf(columns), kinds, ranks);
    sources.push({ name, short, timeline, idle: idleOf(timeline) });
  };
  const each = cell.pass_groups > 1 ? `, one of ${cell.pass_groups} concurrent passes` : '';
  if (cell.predicted) add(`Predicted${each}`, 'predicted', cell.predicted, cell.ranks);
  for (const replay of cell.replayed) add(`Replay ${replay.replay_id}, ${clip(replay.transport, 20)}`, `replay ${replay.replay_id}`, replay.segments, cell.ranks * cell.pass_groups);
  if (sources.length === 0) return { node: note(cell.timeline_missing ?? 'The plan has no segments for this cell.'), draw: () => {} };
  let view = null;
  const chart = guarded(() => {
    view = chartOf(cell, sources, kinds, store);
    return view.node;
  });
  const shortest = Math.min(...sources.map((source) => source.timeline.end));
  const long = sources.filter((source) => source.timeline.end > 3 * shortest);
  return {
    node: h('figure', { class: 'timeline', 'data-timeline': sources.map((x) => x.name).join(' | '), 'data-segments': sources.map((x) => x.timeline.n).join(' '), 'data-span': sources.map((x) => x.timeline.end).join(' ') },
      h('figcaption', {}, h('strong', {}, `Step ${cell.step}, layer ${cell.layer}`), h('span', { class: 'note' }, ` Upper lane: the device of a rank; lower lane: its link. ${sources.map(summaryOf).join(' ')}${cell.replayed.length === 0 ? ' No replay of this cell is stored.' : ''}`)),
      chart,
      legendOf([...kinds.map((kind) => [kind, `part-${kind}`]), ['exposed: the link is busy, the device idle', 'part-exposed'], ['waiting for other ranks', 'part-waiting'], ['slowed by concurrent exchanges', 'part-contention']]),
      h('p', { class: 'note' }, 'Keys: + and − zoom, ← → move, Home and End go to the start and the end, 0 shows the whole. Drag moves, Shift and drag chooses a range, Ctrl and wheel zoom. The table sums the shown range.',
        long.length > 0 && sources.length > 1 ? ` ${long.map((x) => x.name).join(', ')} took more than three times the shortest and has a view of its own under “Show”.` : '')),
    draw: () => view?.draw(),
  };
}
