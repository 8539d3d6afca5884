// SPDX-License-Identifier: Apache-2.0
// Reads the data document of the page: plain JSON, or gzip + base64 when it is large.
import { clip } from './format.js';
import { bytesOfBase64, gunzip } from './streams.js';

const LONGEST_TEXT = 400;
const LONGEST_NAME = 120;
const SENTENCES = new Set(['text', 'detail', 'reason', 'notes', 'verdict', 'argv', 'rules', 'exchange_source']);

/** Shortens every long name and sentence of the document in place: names come from files and may
 * have any length. The document itself, as dbsp-report --json prints it, keeps them. */
export function shorten(value, key = '') {
  if (key === 'bits') return value;
  if (typeof value === 'string') return clip(value, SENTENCES.has(key) ? LONGEST_TEXT : LONGEST_NAME);
  if (Array.isArray(value)) {
    if (typeof value[0] === 'number') return value;
    return value.map((item) => shorten(item, key));
  }
  if (value === null || typeof value !== 'object') return value;
  for (const [name, item] of Object.entries(value)) value[name] = shorten(item, name);
  return value;
}

/** Returns the parsed document. Throws an Error with a message for the reader of the page. */
export async function readDocument() {
  const element = document.getElementById('dbsp-data');
  if (!element) throw new Error('the page has no data element');
  const packed = element.dataset.encoding === 'gzip+base64';
  const text = packed
    ? new TextDecoder().decode(await gunzip(bytesOfBase64(element.textContent.trim())))
    : element.textContent;
  const data = JSON.parse(text);
  if (data.schema !== 'dbsp.report/1') {
    throw new Error(`data schema is ${data.schema}, this page reads dbsp.report/1`);
  }
  return shorten(data);
}
