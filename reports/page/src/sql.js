// SPDX-License-Identifier: Apache-2.0
// Commands that print a table's numbers from the database. docs/formats/database.md has the views.

/** An argument of a shell. Pure. */
export const quoted = (text) => (/^[\w./-]+$/.test(text) && !text.startsWith('-') ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** A command of sqlite3, or null for a page without a database. Pure. */
export function sqlOf(data, view, where = '') {
  if (!data.database) return null;
  return `sqlite3 -header -column ${quoted(data.database.name)} "SELECT * FROM ${view}${where ? ` WHERE ${where}` : ''}"`;
}
