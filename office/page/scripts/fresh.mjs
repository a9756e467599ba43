// `npm run fresh`: builds beside and compares byte by byte, so that the committed page is the one its sources make.
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "vite";

const committed = new URL("../dist/", import.meta.url).pathname;
const built = mkdtempSync(join(tmpdir(), "kolonne-page-"));
/** @param {string} folder */
const files = (folder) => readdirSync(folder, { recursive: true, withFileTypes: true }).filter((f) => f.isFile()).map((f) => join(f.parentPath, f.name).slice(folder.length).replace(/^\//, "")).sort();

await build({ logLevel: "warn", build: { outDir: built, emptyOutDir: true } });
const names = [...new Set([...files(committed), ...files(built)])];
const stale = names.filter((name) => {
  try {
    return !readFileSync(join(committed, name)).equals(readFileSync(join(built, name)));
  } catch {
    return true;
  }
});
rmSync(built, { recursive: true });
if (stale.length > 0) {
  console.error(`dist is not what the sources make: ${stale.join(", ")}. Run \`npm run build\` and commit it.`);
  process.exit(1);
}
console.log(`dist: ${names.length} files, fresh`);
