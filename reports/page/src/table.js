// SPDX-License-Identifier: Apache-2.0
// Tables with sorting by any column, a text filter and pages of rows.
import { h } from './dom.js';
import { plural } from './format.js';

const PAGE = 15;

function compare(a, b) {
  const noA = a === null || a === undefined;
  const noB = b === null || b === undefined;
  if (noA || noB) return noA === noB ? 0 : noA ? 1 : -1; // missing values stay last
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a).localeCompare(String(b), 'en', { numeric: true });
}

/** Text of a table cell. A missing value is a dash, so that no column's text function meets one. */
export function textOf(column, row) {
  const value = column.value(row);
  if (value === null || value === undefined) return '–';
  return column.text ? column.text(value, row) : value;
}

/** Sorts the rows. Missing values come last in both directions. */
export function sortRows(rows, column, descending) {
  const known = rows.filter((row) => column.value(row) !== null && column.value(row) !== undefined);
  const unknown = rows.filter((row) => !known.includes(row));
  known.sort((a, b) => compare(column.value(a), column.value(b)) * (descending ? -1 : 1));
  return known.concat(unknown);
}

function bodyRow(columns, row, rowClass) {
  const tr = h('tr', { class: rowClass ? rowClass(row) : null });
  columns.forEach((column, i) => {
    const attributes = { class: column.number ? 'number' : null };
    tr.append(h(i === 0 ? 'th' : 'td', i === 0 ? { ...attributes, scope: 'row' } : attributes, textOf(column, row)));
  });
  return tr;
}

/**
 * columns: [{name, value(row), text(value, row)?, number?, hint?}].
 * options: caption, sort (column index), descending, filter (show a search field), rowClass(row).
 */
export function table(columns, rows, options = {}) {
  const state = { column: options.sort ?? -1, descending: options.descending ?? false, page: 0, query: '' };
  const body = h('tbody');
  const status = h('span', { class: 'table-status', 'aria-live': 'polite' });
  const headers = columns.map((column, i) => {
    const button = h('button', { type: 'button', title: column.hint ?? null, onclick: () => sortBy(i) }, column.name);
    return h('th', { scope: 'col', class: column.number ? 'number' : null }, button);
  });
  const pager = h('div', { class: 'pager' });

  function chosen() {
    const query = state.query.trim().toLowerCase();
    const matching = query
      ? rows.filter((row) => columns.some((column) => String(textOf(column, row)).toLowerCase().includes(query)))
      : rows;
    return state.column < 0 ? matching : sortRows(matching, columns[state.column], state.descending);
  }

  function step(by) {
    state.page += by;
    draw();
  }

  function drawPager(total) {
    const pages = Math.max(1, Math.ceil(total / PAGE));
    state.page = Math.min(Math.max(0, state.page), pages - 1);
    status.textContent = total === rows.length ? plural(total, 'row') : `${total} of ${plural(rows.length, 'row')}`;
    pager.replaceChildren(status);
    if (pages < 2) return;
    pager.append(
      h('button', { type: 'button', disabled: state.page === 0, onclick: () => step(-1) }, 'Previous'),
      h('span', {}, `page ${state.page + 1} of ${pages}`),
      h('button', { type: 'button', disabled: state.page === pages - 1, onclick: () => step(1) }, 'Next'),
    );
  }

  function draw() {
    const shown = chosen();
    drawPager(shown.length);
    body.replaceChildren(...shown.slice(state.page * PAGE, (state.page + 1) * PAGE).map((row) => bodyRow(columns, row, options.rowClass)));
    headers.forEach((header, i) => {
      header.setAttribute('aria-sort', i !== state.column ? 'none' : state.descending ? 'descending' : 'ascending');
    });
  }

  function sortBy(i) {
    state.descending = state.column === i ? !state.descending : false;
    state.column = i;
    state.page = 0;
    draw();
  }

  const search = options.filter
    ? h('label', { class: 'control' }, h('span', {}, 'Filter'), h('input', {
        type: 'search',
        oninput: (event) => {
          state.query = event.target.value;
          state.page = 0;
          draw();
        },
      }))
    : null;
  draw();
  return h('div', { class: 'table' }, search,
    h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': options.caption },
      h('table', {}, h('caption', {}, options.caption), h('thead', {}, h('tr', {}, headers)), body)),
    pager);
}

/** The numbers of a chart as a table, collapsed at first. */
export function dataTable(summary, columns, rows, caption) {
  return h('details', { class: 'twin' }, h('summary', {}, summary), table(columns, rows, { caption }));
}
