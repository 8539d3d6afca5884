// SPDX-License-Identifier: Apache-2.0
// What the browser tests share: the fixture, a report made by the real binary, and a browser. Run as
//   node TEST.mjs NODE_MODULES WRITE_FIXTURE DBSP_REPORT OUT_DIR
// Exits with 77 where there is no browser, unless DBSP_REQUIRE_BROWSER=1.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { pathToFileURL } from 'node:url';

export const [modules, writeFixture, report, out] = process.argv.slice(2);

function skip(reason) {
  console.log(`skipped: ${reason}`);
  process.exit(process.env.DBSP_REQUIRE_BROWSER === '1' ? 1 : 77);
}

const browserPath = process.env.DBSP_CHROMIUM ?? '/usr/bin/chromium';
if (!existsSync(browserPath)) skip(`no browser at ${browserPath} (install chromium, or set DBSP_CHROMIUM)`);
if (!existsSync(path.join(modules, 'playwright-core'))) skip(`no playwright-core in ${modules} (configured without its packages)`);
const { chromium } = createRequire(path.join(modules, 'package.json'))('playwright-core');

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const folder = mkdtempSync(path.join(os.tmpdir(), 'dbsp_page'));
export const at = (name) => path.join(folder, name);
export const run = (...args) => execFileSync(report, ['--db', at('p.db'), ...args], { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'pipe'] });

execFileSync(writeFixture, [folder]);
export const inputs = ['--plan', at('plan.json'), '--plan', at('ulysses.json'), '--compare', at('compare.json')];
run(...inputs, '-o', at('report.html'));
export const data = JSON.parse(run(...inputs, '--json'));
export const [plan] = data.plans;
mkdirSync(out, { recursive: true });

export const context = await chromium.launchPersistentContext(at('profile'), { executablePath: browserPath, headless: true, args: FLAGS, viewport: { width: 1280, height: 900 } });
test.after(async () => {
  await context.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Opens a file, collecting everything that went wrong; `use` gets the page when it is drawn. */
export async function withPage(options, use) {
  const page = await context.newPage();
  const faults = [];
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(error.message));
  const requests = [];
  page.on('request', (request) => requests.push(request.url()));
  await page.setViewportSize({ width: options.width ?? 1280, height: 900 });
  await page.emulateMedia({ colorScheme: options.scheme ?? 'light', media: options.media ?? null });
  const url = pathToFileURL(options.file ?? at('report.html')).href;
  await page.goto(url + (options.fragment ?? ''));
  await page.waitForSelector('body[data-ready]', { timeout: 30000 });
  try {
    await use(page);
    if (!options.faulty) assert.deepEqual(faults, []);
    const fetched = requests.filter((request) => request.split('#')[0] !== url && !request.startsWith('data:'));
    assert.deepEqual(fetched, [], 'nothing is fetched');
  } finally {
    await page.close();
  }
}

/** The number a text shows, in the unit's base (ns for times), or null. */
export function numberOf(text) {
  const found = /(−|-)?([\d.,]+)\s*(ns|µs|ms|s|×)?/.exec(text);
  if (!found) return null;
  const unit = { ns: 1, 'µs': 1e3, ms: 1e6, s: 1e9 }[found[3]] ?? 1;
  return Number(found[2].replaceAll(',', '')) * unit * (found[1] ? -1 : 1);
}

export function assertShows(text, expected, words) {
  const shown = numberOf(text);
  assert.ok(shown !== null && Math.abs(shown - expected) <= 0.006 * Math.abs(expected), `${words}: page shows "${text}", data says ${expected}`);
}

export const card = (page, name) => page.locator(`[data-card="${name}"] .value`).innerText();
export const columnTexts = (page, table, column) => page.locator(`${table} tbody tr > :nth-child(${column})`).allInnerTexts();

export const DATA = /(<script type="application\/json" id="dbsp-data" data-encoding=")json">([\s\S]*?)<\/script>/;

/** A page of the document that `change` made of this one. */
export function variant(name, change) {
  const copy = structuredClone(data);
  change(copy);
  const html = readFileSync(at('report.html'), 'utf8');
  writeFileSync(at(name), html.replace(DATA, (_, open) => `${open}json">${JSON.stringify(copy).replaceAll('<', '\\u003c')}</script>`));
  return at(name);
}
