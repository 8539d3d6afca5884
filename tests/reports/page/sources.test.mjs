// SPDX-License-Identifier: Apache-2.0
// Types (from JSDoc) and rules of the page's sources: node sources.test.mjs NODE_MODULES OUT_DIR
// Exits with 77 where the packages are missing, unless DBSP_REQUIRE_BROWSER=1.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const [modules, out] = process.argv.slice(2);
const root = path.resolve(fileURLToPath(import.meta.url), '../../../..');
const page = path.join(root, 'reports/page');
const programs = { tsc: path.join(modules, 'typescript/bin/tsc'), oxlint: path.join(modules, 'oxlint/bin/oxlint') };
const absent = Object.values(programs).filter((file) => !existsSync(file));
if (absent.length > 0) {
  console.log(`skipped: ${absent.join(', ')} is missing (npm ci without development packages)`);
  process.exit(process.env.DBSP_REQUIRE_BROWSER === '1' ? 1 : 77);
}
mkdirSync(out, { recursive: true });
const config = path.join(out, 'tsconfig.json');
writeFileSync(config, JSON.stringify({
  compilerOptions: {
    allowJs: true, checkJs: true, noEmit: true, strict: false, target: 'es2022', module: 'esnext', moduleResolution: 'bundler',
    lib: ['es2024', 'dom', 'dom.iterable'], types: [], skipLibCheck: true, paths: { '*': [path.join(path.resolve(modules), '*')] },
  },
  include: [path.join(page, 'src/*.js')],
}));
const runs = [
  ['types', programs.tsc, ['-p', config]],
  ['rules', programs.oxlint, ['-c', path.join(page, 'oxlint.json'), path.join(page, 'src'), path.join(page, 'build.mjs'), path.join(root, 'tests/reports/page')]],
];
let failed = 0;
for (const [name, program, args] of runs) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });
  console.log(`${name}: ${status === 0 ? 'ok' : 'failed'}\n${status === 0 ? '' : stdout + stderr}`);
  failed += status === 0 ? 0 : 1;
}
process.exit(failed === 0 ? 0 : 1);
