// SPDX-License-Identifier: Apache-2.0
// The masks of one cell: every head small, densest first, framed by the rank that computes it; one
// head at full resolution, its rows in the colours of their ranks.
import { onColors, placeColor, resolved } from './colors.js';
import { failure, guarded, h, labelled, note, section, select } from './dom.js';
import { count, percent, plural } from './format.js';
import { blocksPerRank, headBits, ownersOf, plainOwnersOf, thumbnail } from './owners.js';
import { maskBits } from './streams.js';
import { dataTable } from './table.js';

const SMALL = 64;

function rgb(color) {
  const context = h('canvas', { width: 1, height: 1 }).getContext('2d');
  context.fillStyle = resolved(color);
  context.fillRect(0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data;
}

/** Whose head it is, in words. */
const ownerText = (owner) => (owner.ranks.length === 1 ? `rank ${owner.ranks[0]}` : `split over ranks ${owner.ranks.join(', ')}`);

function drawSmall(canvas, shares) {
  canvas.width = SMALL;
  canvas.height = SMALL;
  const context = canvas.getContext('2d');
  const image = context.createImageData(SMALL, SMALL);
  const [r, g, b] = rgb('var(--ink)');
  shares.forEach((share, i) => image.data.set([r, g, b, Math.round(255 * Math.min(1, share))], 4 * i));
  context.putImageData(image, 0, 0);
}

/** The whole mask on a canvas of one pixel per block. */
function drawWhole(bits, masks, owner) {
  const { q_blocks: rows, k_blocks: columns } = masks;
  const canvas = h('canvas', { width: columns, height: rows });
  const context = canvas.getContext('2d');
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const colors = new Map(owner.ranks.map((rank) => { const [r, g, b] = rgb(placeColor(rank)); return [rank, (255 << 24 | b << 16 | g << 8 | r) >>> 0]; }));
  const width = Math.ceil(columns / 8);
  for (let row = 0; row < rows; ++row) {
    const color = colors.get(owner.rowOwner ? owner.rowOwner[row] : owner.ranks[0]) ?? 0xff888888;
    for (let b = 0; b < width; ++b) {
      const byte = bits[row * width + b];
      if (byte === 0) continue;
      for (let bit = 0; bit < 8; ++bit) if ((byte >> bit) & 1) pixels[row * columns + b * 8 + bit] = color;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** One head with zoom: + and − or the buttons, arrow keys move, 0 shows the whole. */
function wholeView(masks) {
  const canvas = h('canvas', { role: 'img' });
  const host = h('div', { class: 'plot whole-mask', tabindex: 0, role: 'application', 'aria-roledescription': 'mask' }, canvas);
  const caption = h('figcaption');
  let source = null;
  let view = { x: 0, y: 0, zoom: 1 };
  let label = '';
  const draw = () => {
    if (!source) return;
    const size = Math.max(120, Math.min(host.clientWidth || 420, 620));
    const density = globalThis.devicePixelRatio || 1;
    canvas.width = Math.round(size * density);
    canvas.height = Math.round(size * density);
    canvas.style.width = canvas.style.height = `${size}px`;
    const context = canvas.getContext('2d');
    const wide = masks.k_blocks / view.zoom;
    const high = masks.q_blocks / view.zoom;
    view.x = Math.max(0, Math.min(view.x, masks.k_blocks - wide));
    view.y = Math.max(0, Math.min(view.y, masks.q_blocks - high));
    context.imageSmoothingEnabled = wide > canvas.width;
    context.drawImage(source, view.x, view.y, wide, high, 0, 0, canvas.width, canvas.height);
    const range = (from, n) => `${Math.floor(from)} to ${Math.ceil(from + n) - 1}`;
    canvas.setAttribute('aria-label', `${label} Query blocks ${range(view.y, high)}, key blocks ${range(view.x, wide)}.`);
    host.setAttribute('aria-label', `${label} + and − zoom, arrow keys move, 0 shows the whole.`);
    host.dataset.zoom = String(view.zoom);
  };
  const zoom = (factor) => {
    const next = Math.max(1, Math.min(64, view.zoom * factor));
    view = { x: view.x + (masks.k_blocks / view.zoom - masks.k_blocks / next) / 2, y: view.y + (masks.q_blocks / view.zoom - masks.q_blocks / next) / 2, zoom: next };
    draw();
  };
  const move = (dx, dy) => { view.x += (dx * masks.k_blocks) / view.zoom / 4; view.y += (dy * masks.q_blocks) / view.zoom / 4; draw(); };
  const KEYS = { '+': () => zoom(2), '=': () => zoom(2), '-': () => zoom(0.5), 0: () => { view = { x: 0, y: 0, zoom: 1 }; draw(); }, ArrowLeft: () => move(-1, 0), ArrowRight: () => move(1, 0), ArrowUp: () => move(0, -1), ArrowDown: () => move(0, 1) };
  host.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(host);
  const button = (name, key) => h('button', { type: 'button', onclick: KEYS[key] }, name);
  return {
    node: h('figure', { class: 'whole' }, host, h('div', { class: 'controls' }, h('span', { class: 'buttons' }, button('+', '+'), button('−', '-'), button('Whole', '0'))), caption),
    show: (bits, owner, text) => {
      label = text;
      const start = performance.now();
      source = drawWhole(bits, masks, owner);
      draw();
      host.dataset.drawn = String(performance.now() - start);
      caption.textContent = text;
    },
  };
}

function view(plan, store, bits) {
  const { masks } = plan;
  const after = ownersOf(masks);
  const before = plainOwnersOf(masks.heads, plan.ranks);
  let owners = after;
  const order = Array.from({ length: masks.heads }, (_, head) => head).filter((head) => head < masks.shown_heads).sort((a, b) => masks.density[b] - masks.density[a] || a - b);
  const whole = wholeView(masks);
  const chosen = () => (order.includes(store.get().head) ? store.get().head : order[0]);
  const small = new Map(order.map((head) => {
    const canvas = h('canvas', { 'aria-hidden': 'true' });
    const shares = thumbnail(headBits(bits, masks, head), masks.q_blocks, masks.k_blocks, SMALL);
    drawSmall(canvas, shares);
    const text = h('span');
    const button = h('button', { type: 'button', class: 'head', onclick: () => store.set({ head }) }, canvas, text);
    return [head, { button, text, redraw: () => drawSmall(canvas, shares) }];
  }));
  const legendHost = h('p', { class: 'legend' });
  const show = () => {
    const ranks = owners === after ? masks.ranks : plan.ranks;
    for (const [head, { button, text }] of small) {
      const owner = owners[head];
      button.style.borderColor = owner.ranks.length === 1 ? placeColor(owner.ranks[0]) : 'var(--ink)';
      button.style.borderStyle = owner.ranks.length === 1 ? 'solid' : 'dashed';
      button.setAttribute('aria-pressed', String(head === chosen()));
      button.setAttribute('aria-label', `Head ${head}, ${percent(masks.density[head])} active, ${ownerText(owner)}`);
      text.textContent = `${head}: ${percent(Number(masks.density[head].toPrecision(2)))}${owner.ranks.length > 1 ? ' split' : ''}`;
    }
    const head = chosen();
    const owner = owners[head];
    const own = headBits(bits, masks, head);
    const parts = owner.ranks.length > 1 ? ` Active blocks: ${blocksPerRank(own, masks, owner, ranks).map((n, rank) => (owner.ranks.includes(rank) ? `rank ${rank} ${count(n)}` : null)).filter(Boolean).join(', ')}.` : '';
    whole.show(own, owner, `Head ${head}: ${percent(masks.density[head])} active, ${masks.q_blocks} × ${masks.k_blocks} blocks of ${plan.shape.block} tokens, query blocks down, key blocks across; ${ownerText(owner)}.${parts}`);
    legendHost.replaceChildren(...Array.from({ length: Math.min(ranks, 16) }, (_, rank) => h('span', { class: 'entry' }, h('span', { class: 'key', style: `background:${placeColor(rank)}` }), `rank ${rank}`)), h('span', { class: 'entry' }, h('span', { class: 'key dashed' }), 'split over several ranks'));
  };
  store.on(['head'], show);
  onColors(() => { for (const { redraw } of small.values()) redraw(); show(); });
  queueMicrotask(show);
  const side = masks.ranks < plan.ranks ? `, ranks of one pass group of ${masks.ranks}` : '';
  const picker = labelled('Ranks under', select([['after', `this plan${side}`], ['before', `plain ulysses on ${plan.ranks} ranks`]], 'after', (value) => { owners = value === 'after' ? after : before; show(); }));
  const rows = order.map((head) => ({ head, density: masks.density[head], before: ownerText(before[head]), after: ownerText(after[head]) }));
  return h('div', {},
    h('div', { class: 'controls' }, picker, legendHost),
    h('div', { class: 'masks' }, h('div', { class: 'heads', role: 'group', 'aria-label': 'Heads, densest first' }, order.map((head) => small.get(head).button)), whole.node),
    dataTable(`Table of ${plural(order.length, 'head')}`, [
      { name: 'Head', value: (r) => r.head, number: true }, { name: 'Density', value: (r) => r.density, text: percent, number: true },
      { name: 'Under plain ulysses', value: (r) => r.before }, { name: 'Under this plan', value: (r) => r.after },
    ], rows, 'Heads and who computes them'));
}

export function masksSection(plan, index, store) {
  const { masks } = plan;
  const title = 'Masks and who computes them';
  if (masks.missing) return section('masks', title, note(masks.missing));
  const host = h('div');
  // The masks are unpacked when the section comes near.
  const begin = () => maskBits(plan, index).then((bits) => host.replaceChildren(guarded(() => view(plan, store, bits))), (error) => host.replaceChildren(failure(error)));
  const near = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    near.disconnect();
    begin();
  }, { rootMargin: '600px' });
  near.observe(host);
  return section('masks', title,
    h('p', { class: 'note' }, `Step ${masks.step}, layer ${masks.layer}, the cell that takes most time: ${plural(masks.heads, 'head')}, densest first. The frame is the rank that computes the head. The page has the masks of this cell only.`,
      masks.made_up ? h('strong', {}, ' Positions are made up from a seed; only the densities are real.') : null,
      masks.passes_differ ? ' The guidance passes have masks of their own; those of pass 0 are shown.' : '',
      masks.layout !== 'given' ? ` The plan runs this cell in the token order ${masks.layout}; masks are shown in the given order, so that colours of split heads' rows do not apply.` : '',
      masks.shown_heads < masks.heads ? ` ${masks.shown_heads} of ${masks.heads} heads fit into the page.` : ''),
    host);
}
