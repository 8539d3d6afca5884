// SPDX-License-Identifier: Apache-2.0
// Numbers as text. A missing number is shown as a dash, never as 0.
import { format } from 'd3-format';

export const DASH = '–';
const three = format('.3~r');
const integer = format(',d');

const missing = (value) => value === null || value === undefined || !Number.isFinite(value);

export function time(ns) {
  if (missing(ns)) return DASH;
  if (ns === 0) return '0 s';
  const size = Math.abs(ns);
  if (size < 1e3) return `${three(ns)} ns`;
  if (size < 1e6) return `${three(ns / 1e3)} µs`;
  if (size < 1e9) return `${three(ns / 1e6)} ms`;
  return `${three(ns / 1e9)} s`;
}

export const ms = (value) => (missing(value) ? DASH : time(value * 1e6));

export function bytes(value) {
  if (missing(value)) return DASH;
  const size = Math.abs(value);
  if (size < 1e3) return `${integer(value)} B`;
  if (size < 1e6) return `${three(value / 1e3)} kB`;
  if (size < 1e9) return `${three(value / 1e6)} MB`;
  return `${three(value / 1e9)} GB`;
}

export const count = (value) => (missing(value) ? DASH : integer(Math.round(value)));
export const ratio = (value) => (missing(value) ? DASH : value.toFixed(3));
export const times = (value) => (missing(value) ? DASH : `${value.toFixed(2)}×`);
export const percent = (value) => (missing(value) ? DASH : `${three(value * 100)}%`);
export const scientific = (value) => (missing(value) ? DASH : value === 0 ? '0' : value.toExponential(2));

export function signed(value, text) {
  if (missing(value)) return DASH;
  if (value === 0) return text(0);
  return `${value > 0 ? '+' : '−'}${text(Math.abs(value))}`;
}

export const interval = (low, high, text) =>
  missing(low) || missing(high) ? DASH : `${text(low)} to ${text(high)}`;

export const plural = (n, word) => `${integer(n)} ${word}${n === 1 ? '' : 's'}`;
export const short = (hash) => (hash ? hash.slice(0, 12) : DASH);

/** Text of at most `most` characters: the middle of a longer one is left out. */
export function clip(text, most = 60) {
  const letters = [...String(text)];
  if (letters.length <= most) return String(text);
  const half = Math.floor((most - 1) / 2);
  return `${letters.slice(0, half).join('')}…${letters.slice(-half).join('')}`;
}
