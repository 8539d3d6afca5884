// SPDX-License-Identifier: Apache-2.0
// Bundles the page and writes it as a C++ source: node build.mjs SRC_DIR MODULES_DIR OUT_CPP
// Packages are looked up in MODULES_DIR only, so that the source tree stays clean.
import { createHash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

const [source, modules, output] = process.argv.slice(2).map((argument) => path.resolve(argument));
const esbuild = createRequire(path.join(modules, 'package.json'))('esbuild');

async function bundle(entry, extra) {
  const result = await esbuild.build({
    entryPoints: [path.join(source, entry)],
    bundle: true, minify: true, write: false, charset: 'utf8', legalComments: 'none',
    target: ['es2022', 'chrome105', 'firefox113', 'safari16.4'], nodePaths: [modules], logLevel: 'warning', ...extra,
  });
  return result.outputFiles[0].text;
}

/** A string_view of adjacent raw literals: compilers limit the length of a single one, and the loops
 * in which they would count the characters. */
function literal(name, text) {
  const bytes = Buffer.from(text, 'utf8');
  const parts = [];
  for (let at = 0; at < bytes.length; ) {
    let end = Math.min(bytes.length, at + 12000);
    while (end < bytes.length && (bytes[end] & 0xc0) === 0x80) --end; // between code points
    parts.push(`R"dbsppage(${bytes.subarray(at, end).toString('utf8')})dbsppage"`);
    at = end;
  }
  return `constexpr std::string_view ${name}(\n${parts.join('\n')},\n${bytes.length});\n`;
}

const script = (await bundle('main.js', { format: 'iife' })).trim();
if (/<\/script|<!--/i.test(script)) throw new Error('the bundle holds text that would end its own script element');
const style = (await bundle('style.css', {})).trim();
// The page's content policy allows this script and this style sheet only, each by its hash.
const policyHash = (content) => `sha256-${createHash('sha256').update(content).digest('base64')}`;
const html = (await readFile(path.join(source, 'index.html'), 'utf8'))
  .replace('@SCRIPT_HASH@', policyHash(script)).replace('@STYLE_HASH@', policyHash(style));
const text = `// Made by reports/page/build.mjs; not edited.
#include "reports/page_bundle.h"

namespace dbsp::reports {
namespace {
${literal('kHtml', html)}${literal('kStyle', style)}${literal('kScript', script)}
}  // namespace

std::optional<PageBundle> BuiltPage() { return PageBundle{kHtml, kStyle, kScript}; }

}  // namespace dbsp::reports
`;
await writeFile(`${output}.new`, text);
await rename(`${output}.new`, output);
