// SPDX-License-Identifier: Apache-2.0
// Tables with sorting by any column, a filter, a choice of columns, pages of rows, copy and CSV.
import { h } from './dom.js';
import { plural } from './format.js';
import { columnUnit, csvOf, inUnit } from './format_units.js';

const PAGE = 15;
/** On paper nothing can be turned, so that tables up to this many rows are printed whole. */
const PRINTED = 200;

function compare(a, b) {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a).localeCompare(String(b), 'en', { numeric: true });
}

const missing = (value) => value === null || value === undefined || value === '';

/** Text of a table cell. A missing value is a dash, so that no column's text function meets one. */
export function textOf(column, row) {
  const value = column.value(row);
  if (missing(value)) return '–';
  return column.text ? column.text(value, row) : value;
}

/** Sorts the rows. Missing values come last in both directions. */
export function sortRows(rows, column, descending) {
  const known = [];
  const unknown = [];
  for (const row of rows) (missing(column.value(row)) ? unknown : known).push(row);
  const keyed = known.map((row) => [column.value(row), row]);
  keyed.sort((a, b) => compare(a[0], b[0]) * (descending ? -1 : 1));
  return keyed.map(([, row]) => row).concat(unknown);
}

/** Columns with a unit get a text function: one unit and one number of decimals per column. */
export function withUnits(columns, rows) {
  return columns.map((column) => {
    if (!column.unit || column.text) return column;
    const unit = columnUnit(column.unit, rows.map(column.value).filter((v) => typeof v === 'number'));
    return { ...column, text: (value) => inUnit(unit, value) };
  });
}

/** Rows that hold the query in any column. The texts are made once. */
export function finder(columns, rows) {
  let texts = null;
  return (query) => {
    const wanted = query.trim().toLowerCase();
    if (!wanted) return rows;
    texts ??= rows.map((row) => columns.map((column) => {
      const value = textOf(column, row);
      return (value instanceof Object ? column.value(row) : String(value)).toString().toLowerCase();
    }).join('\n'));
    return rows.filter((_, i) => texts[i].includes(wanted));
  };
}

function bodyRow(columns, row, rowClass) {
  const tr = h('tr', { class: rowClass ? rowClass(row) : null });
  columns.forEach((column, i) => {
    const attributes = { class: column.number ? 'number' : null };
    tr.append(h(i === 0 ? 'th' : 'td', i === 0 ? { ...attributes, scope: 'row' } : attributes, textOf(column, row)));
  });
  return tr;
}

function save(name, text) {
  const link = h('a', { href: `data:text/csv;charset=utf-8,${encodeURIComponent(text)}`, download: `${name.toLowerCase().replace(/[^a-z0-9]+/g, '-').slice(0, 60)}.csv` });
  link.click();
}

/** What a node does when the page begins or ends being printed. Only nodes of the page are called. */
const printers = new WeakMap();
const media = globalThis.matchMedia?.('print');
function printing(now) {
  for (const details of /** @type {NodeListOf<HTMLDetailsElement>} */ (document.querySelectorAll('details.twin'))) {
    if (now && !details.open) details.dataset.closed = '';
    if (now) printers.get(details)?.();
    if (now) details.open = true;
    else if ('closed' in details.dataset) {
      delete details.dataset.closed;
      details.open = false;
    }
  }
  for (const node of document.querySelectorAll('.table')) printers.get(node)?.(now);
}
media?.addEventListener('change', () => printing(media.matches));
globalThis.addEventListener?.('beforeprint', () => printing(true));
globalThis.addEventListener?.('afterprint', () => printing(false));

/**
 * columns: [{name, value(row), text(value, row)?, unit ('time' in ns, 'bytes')?, number?, hint?,
 * extra (hidden at first)?}].
 * options: caption, sort (column index), descending, filter (show a search field), rowClass(row),
 * facets ([{name, value(row)}]: lists that filter), sql (a command that prints these numbers).
 */
export function table(allColumns, rows, options = {}) {
  const named = withUnits(allColumns, rows);
  const state = { column: options.sort === undefined ? null : named[options.sort], descending: options.descending ?? false, page: 0, query: '', facets: new Map(), hidden: new Set(named.filter((c) => c.extra)), printing: false };
  const find = finder(named, rows);
  const body = h('tbody');
  const head = h('tr');
  const status = h('span', { class: 'table-status', 'aria-live': 'polite' });
  const pager = h('div', { class: 'pager' });
  const visible = () => named.filter((column) => !state.hidden.has(column));

  function chosen() {
    let matching = find(state.query);
    for (const [facet, wanted] of state.facets) matching = matching.filter((row) => String(facet.value(row)) === wanted);
    return state.column ? sortRows(matching, state.column, state.descending) : matching;
  }

  function drawPager(total) {
    const pages = Math.max(1, Math.ceil(total / PAGE));
    state.page = Math.min(Math.max(0, state.page), pages - 1);
    status.textContent = total === rows.length ? plural(total, 'row') : `${total} of ${plural(rows.length, 'row')}`;
    const turn = (by) => {
      state.page += by;
      draw();
      pager.querySelector(by < 0 ? '.previous:not([disabled])' : '.next:not([disabled])')?.focus();
    };
    pager.replaceChildren(status);
    if (pages > 1 && !state.printing) {
      pager.append(
        h('button', { type: 'button', class: 'previous', disabled: state.page === 0, onclick: () => turn(-1) }, 'Previous'),
        h('span', {}, `page ${state.page + 1} of ${pages}`),
        h('button', { type: 'button', class: 'next', disabled: state.page === pages - 1, onclick: () => turn(1) }, 'Next'));
    }
    if (rows.length === 0) return;
    const csv = () => csvOf(visible(), chosen());
    const copied = h('span', { role: 'status' });
    pager.append(
      h('button', { type: 'button', class: 'copy', onclick: () => navigator.clipboard?.writeText(csv()).then(() => { copied.textContent = 'copied'; }, () => { copied.textContent = 'this browser refuses to copy'; }) }, 'Copy'),
      h('button', { type: 'button', class: 'csv', onclick: () => save(options.caption ?? 'table', csv()) }, 'CSV'), copied);
  }

  function draw() {
    const shown = chosen();
    drawPager(shown.length);
    const columns = visible();
    const part = state.printing ? shown.slice(0, PRINTED) : shown.slice(state.page * PAGE, (state.page + 1) * PAGE);
    body.replaceChildren(...part.map((row) => bodyRow(columns, row, options.rowClass)));
    for (const header of head.children) {
      header.setAttribute('aria-sort', header.column !== state.column ? 'none' : state.descending ? 'descending' : 'ascending');
    }
  }

  function drawHead() {
    head.replaceChildren(...visible().map((column) => {
      const th = h('th', { scope: 'col', class: column.number ? 'number' : null },
        h('button', { type: 'button', title: column.hint ?? null, onclick: () => sortBy(column) }, column.name));
      th.column = column;
      return th;
    }));
  }

  function sortBy(column) {
    state.descending = state.column === column ? !state.descending : false;
    state.column = column;
    state.page = 0;
    draw();
  }

  const search = options.filter
    ? h('label', { class: 'control' }, h('span', {}, 'Filter'), h('input', { type: 'search', oninput: (event) => { state.query = event.target.value; state.page = 0; draw(); } }))
    : null;
  const facets = (options.facets ?? []).map((facet) => {
    const values = [...new Set(rows.map((row) => String(facet.value(row))))].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
    if (values.length < 2) return null;
    return h('label', { class: 'control' }, h('span', {}, facet.name), h('select', { onchange: (event) => {
      if (event.target.value === '') state.facets.delete(facet);
      else state.facets.set(facet, values[Number(event.target.value)]);
      state.page = 0;
      draw();
    } }, h('option', { value: '' }, 'all'), values.map((value, i) => h('option', { value: i }, value))));
  });
  const chooser = named.some((c) => c.extra)
    ? h('details', { class: 'chooser' }, h('summary', {}, 'Columns'), h('div', { class: 'choices' }, named.map((column, i) => (i === 0 ? null : h('label', {}, h('input', { type: 'checkbox', checked: !column.extra, onchange: (event) => {
        if (event.target.checked) state.hidden.delete(column);
        else state.hidden.add(column);
        drawHead();
        draw();
      } }), column.name)))))
    : null;
  drawHead();
  draw();
  const controls = [search, ...facets, chooser].filter(Boolean);
  const node = h('div', { class: 'table' }, controls.length ? h('div', { class: 'controls' }, controls) : null,
    h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': options.caption },
      h('table', {}, h('caption', {}, options.caption), h('thead', {}, head), body)),
    pager, options.sql ? h('p', { class: 'note sql' }, 'The same from the database: ', h('code', {}, options.sql)) : null);
  printers.set(node, (now) => {
    if (now === state.printing) return;
    state.printing = now;
    draw();
  });
  return node;
}

/** The numbers of a chart as a table, collapsed at first and made when it is opened or printed.
 * `summary` and `rows` may be functions; refresh() then asks them again. */
export function dataTable(summary, columns, rows, caption) {
  const ask = (value) => (typeof value === 'function' ? value() : value);
  const title = h('summary', {}, ask(summary));
  const details = h('details', { class: 'twin' }, title);
  const fill = () => {
    if (details.children.length === 1) details.append(table(columns, ask(rows), { caption }));
  };
  details.addEventListener('toggle', () => details.open && fill());
  details.refresh = () => {
    title.textContent = ask(summary);
    details.replaceChildren(title);
    if (details.open) fill();
  };
  printers.set(details, fill);
  return details;
}
