// SPDX-License-Identifier: Apache-2.0
// One unit and one number of decimals for all numbers of a column. Pure.

/** @type {Record<string, [number, string][]>} */
const UNITS = {
  time: [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']],
  bytes: [[1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB'], [1, 'B']],
};

/** The unit in which the median of the values has one to three digits before the point, and the
 * decimals that show three digits of it. Values are in the unit's base (ns, bytes).
 * @param {'time'|'bytes'} unit @param {number[]} values */
export function columnUnit(unit, values) {
  const sizes = values.filter((v) => Number.isFinite(v) && v !== 0).map(Math.abs).sort((a, b) => a - b);
  const middle = sizes.length ? sizes[Math.floor(sizes.length / 2)] : 1;
  const steps = UNITS[unit];
  const [size, name] = steps.find(([s]) => middle >= s) ?? steps[steps.length - 1];
  const scaled = middle / size;
  const decimals = size === 1 ? 0 : scaled >= 100 ? 1 : scaled >= 10 ? 2 : 3;
  return { size, name, decimals };
}

// Formatters are kept: making one takes longer than a thousand uses.
const formatters = Array.from({ length: 4 }, (_, decimals) => new Intl.NumberFormat('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));

/** A number of a column, with its unit: "1.250 ms". */
export function inUnit({ size, name, decimals }, value) {
  return `${formatters[decimals].format(value / size).replace('-', '−')} ${name}`;
}

/** Text of a CSV file (RFC 4180). Times and bytes stay in their base units. Cells that a spreadsheet
 * would take for a formula get a leading apostrophe. */
export function csvOf(columns, rows) {
  const cell = (value) => {
    if (value === null || value === undefined) return '';
    if (typeof value === 'number') return String(value);
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const base = { time: ' (ns)', bytes: ' (bytes)' };
  const lines = [columns.map((c) => cell(c.name + (base[c.unit] ?? ''))), ...rows.map((row) => columns.map((c) => cell(c.value(row))))];
  return lines.map((line) => `${line.join(',')}\r\n`).join('');
}

/** At most `most` of the rows, at equal distances: a chart of more marks takes too long to draw.
 * @template T @param {T[]} rows @param {number} most @returns {T[]} */
export function thinned(rows, most) {
  return rows.length <= most ? rows : Array.from({ length: most }, (_, i) => rows[Math.floor((i * rows.length) / most)]);
}

/** Says that a chart does not draw all of its rows; '' where it does. */
export const thinnedNote = (rows, most) => (rows.length <= most ? '' : ` The chart draws ${most} of ${rows.length} points; the table has all.`);
