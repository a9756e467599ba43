// Holds the two text tables together: same keys, same placeholders, nothing empty, no forbidden word, no key unused.
// Fails the build otherwise.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const src = new URL("../src/", import.meta.url).pathname;

/** @param {string} name @returns {Record<string, string>} */
const table = (name) => JSON.parse(readFileSync(join(src, "lib", name), "utf8"));
const de = table("texts.de.json");
const en = table("texts.en.json");

const FORBIDDEN = /synchroni|server|upload|download|ungültig|invalid|fehler \d|error \d/i;
/** Keys that the code builds from a state, a kind, a role. */
const BUILT = /^(status|state|kind|part|thread|hub|role|notice|invite|invite_kind|problem|kept_back_why|own_kept_back|alarm|erase_reason|roster|hand_back|change_let_in)_|_(one|other)$/;

/** @param {string} text */
const placeholders = (text) => [...text.matchAll(/\{\w+\}/g)].map((m) => m[0]).sort().join();

const code = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((f) => /\.(svelte|ts)$/.test(f))
  .map((f) => readFileSync(join(src, f), "utf8"))
  .join("\n");

/** @type {string[]} */
const wrong = [];
for (const key of new Set([...Object.keys(de), ...Object.keys(en)])) {
  const [a, b] = [de[key], en[key]];
  if (!a?.trim() || !b?.trim()) wrong.push(`${key}: missing or empty in one language`);
  else if (placeholders(a) !== placeholders(b)) wrong.push(`${key}: placeholders differ`);
  for (const text of [a, b]) if (text && FORBIDDEN.test(text)) wrong.push(`${key}: "${text}" uses a word we don't`);
  if (!BUILT.test(key) && !code.includes(`"${key}"`)) wrong.push(`${key}: not used`);
  if (key.endsWith("_one") && !(key.replace(/_one$/, "_other") in de)) wrong.push(`${key}: no _other`);
}
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
console.log(`texts: ${Object.keys(de).length} in German and English`);
