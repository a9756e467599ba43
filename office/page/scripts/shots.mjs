// `npm run shots [FOLDER]`: the built page against the mock, under the CSP it is served with, as pictures to look at. Fails
// on any console error, any CSP report, and any request that leaves this computer.
import { readFileSync, mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { join, normalize } from "node:path";
import { chromium } from "playwright-core";
import { makeProgram } from "../mock/program.js";

const OUT = process.argv[2] ?? "shots";
const dist = new URL("../dist/", import.meta.url).pathname;
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; connect-src 'self'; font-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES = /** @type {Record<string, string>} */ ({ html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css", svg: "image/svg+xml" });
const FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(" ");

// The world begins on a weekday afternoon, so that "heute" and "Di" both show.
const today = new Date();
today.setHours(15, 20, 0, 0);
const now = today.getTime();

function serve() {
  const program = makeProgram(now);
  const server = createServer((req, res) =>
    program(req, res, () => {
      const path = normalize(new URL(req.url ?? "/", "http://127.0.0.1").pathname);
      const file = path === "/" ? "index.html" : path.slice(1);
      try {
        const bytes = readFileSync(join(dist, file));
        res.setHeader("Content-Security-Policy", CSP);
        res.setHeader("Content-Type", TYPES[file.split(".").at(-1) ?? ""] ?? "application/octet-stream").end(bytes);
      } catch {
        res.writeHead(404).end();
      }
    }),
  );
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve({ server, port: /** @type {any} */ (server.address()).port }));
  });
}

/** @type {string[]} */
const wrong = [];
mkdirSync(OUT, { recursive: true });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });

/**
 * @param {string} name
 * @param {{ who: "office" | "phone", width: number, height: number, dark?: boolean, language?: "de" | "en" }} how
 * @param {(page: import("playwright-core").Page, shot: (step: string) => Promise<void>) => Promise<void>} story
 */
async function story(name, { who, width, height, dark = false, language = "de" }, story) {
  const { server, port } = await serve();
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: dark ? "dark" : "light", locale: language === "de" ? "de-DE" : "en-GB",
    reducedMotion: "reduce", hasTouch: who === "phone",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(5000);
  await page.clock.setFixedTime(now);
  // The four-oh-oh of a refused request is part of a story; the page says it in words.
  page.on("console", (m) => m.type() === "error" && !/status of (400|413|423|507)/.test(m.text()) && wrong.push(`${name}: ${m.text()}`));
  page.on("pageerror", (e) => wrong.push(`${name}: ${e.message}`));
  page.on("request", (r) => /^(blob|data):/.test(r.url()) || new URL(r.url()).hostname === "127.0.0.1" || wrong.push(`${name}: asked ${r.url()}`));
  try {
    await page.goto(`http://127.0.0.1:${port}/#t=${who}`);
    await page.getByRole("link", { name: /Lindenweg/ }).waitFor();
    if (page.url().includes("t=")) wrong.push(`${name}: the token stayed in the address`);
    await story(page, async (step) => {
      await page.waitForTimeout(350);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
      if (wide) wrong.push(`${name}-${step}: wider than the window`);
      await page.screenshot({ path: join(OUT, `${name}-${step}.png`) });
    });
  } catch (e) {
    wrong.push(`${name}: ${e}`);
    await page.screenshot({ path: join(OUT, `${name}-FAILED.png`) });
  }
  await context.close();
  server.closeAllConnections();
  server.close();
}

/** @param {import("playwright-core").Page} page */
const openRoof = async (page) => {
  await page.getByRole("link", { name: /Lindenweg/ }).click();
  await page.getByRole("heading", { level: 2, name: /Lindenweg/ }).waitFor();
};
const PNG = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

await story("office-1440", { who: "office", width: 1440, height: 900 }, async (page, shot) => {
  await shot("start");
  await openRoof(page);
  await shot("thread");
  await page.getByRole("log").evaluate((log) => log.scrollTo(0, 0));
  await shot("top");
  await page.getByRole("button", { name: /groß ansehen/ }).nth(5).scrollIntoViewIfNeeded();
  await shot("photos");
  await page.getByRole("button", { name: /groß ansehen/ }).nth(2).click();
  await shot("viewer");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Escape");
  await page.getByRole("log").evaluate((log) => log.scrollTo(0, log.scrollHeight));
  const last = page.getByRole("article").last();
  await last.hover();
  await last.getByRole("button", { name: "Antworten" }).click();
  await page.getByRole("textbox", { name: /Schreib als/ }).fill("Ja, ist dicht.\nWir haben es im März neu eingedeckt, die Rechnung schicke ich gleich mit.");
  await page.locator("input[type=file]").nth(1).setInputFiles([{ name: "Rechnung Dachfenster.pdf", mimeType: "application/pdf", buffer: PNG }, { name: "fenster.png", mimeType: "image/png", buffer: PNG }]);
  await shot("answer");
  await page.keyboard.press("Enter");
  await page.waitForTimeout(1200);
  await shot("answered");
  await page.getByRole("textbox", { name: /Schreib als/ }).fill("/hängt");
  await page.keyboard.press("Enter");
  await shot("storage-full");
  await page.getByRole("button", { name: "Auftrag ändern" }).click();
  await shot("edit-job");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /^Neu.*Auftrag/ }).click();
  await shot("new-job");
  await page.keyboard.press("Escape");
  await page.getByRole("searchbox").fill("ziegel");
  await shot("search");
  const doomed = page.getByRole("article").filter({ hasText: "Gerüst steht" }).first();
  await doomed.hover();
  await doomed.getByRole("button", { name: "Mehr" }).click();
  await shot("menu");
  await page.getByRole("button", { name: /Nach Vorschrift/ }).click();
  await page.getByRole("radio").first().check();
  await shot("erase");
  await page.getByRole("button", { name: "Löschen", exact: true }).click();
  await shot("erased");
  await page.getByRole("button", { name: "Schließen" }).last().click();
  await page.getByRole("searchbox").fill("");
  await page.getByRole("button", { name: "Direkt schreiben" }).click();
  await shot("direct");
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "Geräte" }).click();
  await shot("devices");
  await page.getByRole("listitem").filter({ has: page.getByRole("heading", { name: "Handy Kolonne 3", exact: true }) }).getByRole("button", { name: "Darf es weg?" }).click();
  await shot("hand-back");
  await page.keyboard.press("Escape");
  await page.getByRole("heading", { name: "Wer was geändert hat" }).scrollIntoViewIfNeeded();
  await page.locator("section").evaluate((node) => node.scrollTo(0, node.scrollHeight));
  await shot("company");
  await page.getByRole("button", { name: "Sicherung schreiben" }).click();
  await shot("backup-writing");
  await page.getByRole("button", { name: /^Sicherung speichern/ }).waitFor();
  await shot("backup-ready");
  await page.request.post(new URL("/mock/lost-kit", page.url()).href);
  await page.getByRole("button", { name: "Prüfen", exact: true }).click();
  await page.getByRole("textbox", { name: /^Alle Gruppen/ }).fill("ABCDE-12345");
  await page.getByRole("dialog").getByRole("button", { name: "Prüfen" }).click();
  await shot("kit-typo");
  await page.getByRole("textbox", { name: /^Alle Gruppen/ }).fill("GUT");
  await page.getByRole("dialog").getByRole("button", { name: "Prüfen" }).click();
  await page.getByRole("status").last().waitFor();
  await shot("kit-good");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /^Rolle von Karl/ }).click();
  await shot("role");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Neu anmelden lassen" }).click();
  await shot("renew");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /^Handy Kolonne 3 sperren$/ }).click();
  await page.getByRole("radio").last().check();
  await shot("end");
  await page.keyboard.press("Escape");
  await page.request.post(new URL("/mock/alarms", page.url()).href);
  await page.getByRole("alert").waitFor();
  await shot("alarms");
  await page.getByRole("button", { name: "Geklärt" }).first().click();
  await shot("alarm-settled");
  await page.getByRole("dialog").getByRole("button", { name: "Geklärt" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("alert").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Geklärt" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Geklärt" }).click();
  await page.getByRole("button", { name: "Gerät aufnehmen" }).click();
  await shot("invite-form");
  await page.getByRole("checkbox").first().check();
  await page.getByRole("textbox", { name: /^Neue Leute/ }).fill("karl huber, Neue");
  await shot("invite-same-name");
  await page.getByRole("textbox", { name: /^Neue Leute/ }).fill("");
  await page.getByRole("button", { name: "Code zeigen" }).click();
  await shot("invite-code");
  await page.getByRole("button", { name: "Aufnehmen", exact: true }).waitFor({ timeout: 8000 });
  await shot("invite-words");
  await page.getByRole("button", { name: "Aufnehmen", exact: true }).click();
  await shot("invite-done");
});
await story("office-1440-dark", { who: "office", width: 1440, height: 900, dark: true }, async (page, shot) => {
  await openRoof(page);
  await shot("thread");
  await page.getByRole("link", { name: /Deich/ }).first().click();
  await page.getByRole("button", { name: "ansehen", exact: true }).click();
  await shot("kept-back");
  await page.getByRole("link", { name: "Geräte" }).click();
  await shot("devices");
});
await story("office-1024-en", { who: "office", width: 1024, height: 600, language: "en" }, async (page, shot) => {
  await openRoof(page);
  await shot("thread");
  await page.getByRole("log").evaluate((log) => log.scrollTo(0, 0));
  await shot("top");
  await page.getByRole("link", { name: "Devices" }).click();
  await shot("devices");
});
await story("office-390", { who: "office", width: 390, height: 844 }, async (page, shot) => {
  await shot("list");
  await openRoof(page);
  await shot("thread");
  await page.goto(page.url().replace(/#.*/, "#/devices"));
  await shot("devices");
  await page.getByRole("heading", { name: "Wer was geändert hat" }).waitFor();
  await page.locator("section").evaluate((node) => node.scrollTo(0, node.scrollHeight));
  await shot("company");
});
for (const [name, dark, language] of /** @type {const} */ ([["phone-390", false, "de"], ["phone-390-dark-en", true, "en"]])) {
  await story(name, { who: "phone", width: 390, height: 844, dark, language }, async (page, shot) => {
    await shot("list");
    await openRoof(page);
    await shot("thread");
    await page.getByRole("switch").click();
    await page.locator("input[type=file]").first().setInputFiles(["a", "b", "c"].map((n) => ({ name: `${n}.png`, mimeType: "image/png", buffer: PNG })));
    await page.waitForTimeout(400);
    await shot("flight");
    await page.getByRole("button", { name: /groß ansehen|view large/ }).last().click();
    await shot("viewer");
    await page.keyboard.press("Escape");
    await page.request.post(new URL("/mock/stuck", page.url()).href);
    await page.goto(page.url().replace(/#.*/, "#/"));
    await page.getByRole("button", { name: /^Darf es weg|^May it go/ }).click();
    await page.getByRole("dialog").getByText(/davon h|of it are/).waitFor();
    await shot("hand-back");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: /^(Ansehen|Show)$/ }).click();
    await page.getByRole("dialog").getByRole("heading", { level: 3 }).first().waitFor();
    await shot("stuck");
    await page.getByRole("button", { name: /^(Verwerfen|Discard)$/ }).first().click();
    await shot("discard");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog", { name: /^(Was festhängt|What is stuck)$/ }).getByRole("button", { name: /^(Schließen|Close)$/ }).click();
    await openRoof(page);
    await page.locator("input[type=file]").first().setInputFiles([{ name: "voll.png", mimeType: "image/png", buffer: PNG }]);
    await page.getByRole("alert").filter({ hasText: "voll.png" }).waitFor();
    const over = await page.locator(".thread").evaluate((thread) => thread.scrollHeight - thread.clientHeight);
    if (over > 0) wrong.push(`${name}: the keys scroll away under a file that failed`);
    await page.getByRole("button", { name: "Jonas" }).click();
    for (const digit of "1111") await page.getByRole("dialog").getByRole("button", { name: digit, exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: /Weiter|Go on/ }).click();
    await page.getByRole("alert").last().waitFor();
    await shot("wrong-pin");
    await page.keyboard.type("2580");
    await page.keyboard.press("Enter");
    await page.waitForTimeout(400);
    await shot("other-seat");
    await page.locator("input[type=file]").last().setInputFiles([{ name: "Krankmeldung.png", mimeType: "image/png", buffer: PNG }]);
    await shot("seal");
    await page.getByRole("dialog").getByRole("button", { name: /Versiegelt schicken|Send sealed/ }).click();
    await page.waitForTimeout(400);
    await shot("sealed");
    await page.goto(page.url().replace(/#.*/, "#/"));
    await page.getByRole("button", { name: /PIN ändern|Change PIN/ }).click();
    await page.keyboard.type("2580");
    await page.keyboard.press("Enter");
    await page.keyboard.type("1234");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByRole("alert").waitFor();
    await shot("set-pin");
    if (!(await page.getByRole("dialog").getByRole("textbox").evaluate((field) => field === document.activeElement))) wrong.push(`${name}: the PIN isn't typed at once`);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: /Sperren|Lock/ }).click();
    await shot("locked");
  });
}
/** However small the screen and large the letters: half of it is the thread's, and every key is big enough. @param {import("playwright-core").Page} page @param {string} name */
async function hasRoom(page, name) {
  const { share, small } = await page.evaluate(() => {
    const log = document.querySelector("[role=log]")?.getBoundingClientRect();
    const keys = [...document.querySelectorAll("header button, header > a, .composer button, .composer textarea")];
    const sizes = keys.map((key) => ({ key: key.getAttribute("aria-label") ?? key.textContent, box: key.getBoundingClientRect() }));
    return {
      share: log ? (Math.min(log.bottom, innerHeight) - Math.max(log.top, 0)) / innerHeight : 0,
      small: sizes.filter(({ box }) => box.height > 0 && (box.height < 44 || box.width < 44)).map(({ key, box }) => `${key} ${Math.round(box.width)}×${Math.round(box.height)}`),
    };
  });
  if (share < 0.5) wrong.push(`${name}: the thread has ${Math.round(share * 100)} % of the height`);
  if (small.length > 0) wrong.push(`${name}: too small for a finger: ${small.join(", ")}`);
}
for (const who of /** @type {const} */ (["phone", "office"])) {
  for (const [width, height] of /** @type {const} */ ([[390, 844], [320, 568]])) {
    for (const percent of [100, 200]) {
      const name = `${who}-${width}-at-${percent}`;
      await story(name, { who, width, height }, async (page, shot) => {
        await page.evaluate((size) => (document.documentElement.style.fontSize = `${size}%`), percent);
        await shot("list");
        await openRoof(page);
        await shot("thread");
        await hasRoom(page, name);
        if (who === "phone") {
          await page.request.post(new URL("/mock/stuck", page.url()).href);
          await page.goto(page.url().replace(/#.*/, "#/"));
          await page.getByRole("button", { name: "Ansehen", exact: true }).click();
          await page.getByRole("dialog").getByRole("heading", { level: 3 }).first().waitFor();
          await shot("stuck");
        } else {
          await page.goto(page.url().replace(/#.*/, "#/devices"));
          await page.getByRole("button", { name: "Darf es weg?" }).nth(1).click();
          await shot("hand-back");
          await page.keyboard.press("Escape");
          await shot("devices");
        }
      });
    }
  }
}
// Twice as large letters in a 1280 × 720 window.
await story("zoom-200", { who: "office", width: 640, height: 360 }, async (page, shot) => {
  await page.getByRole("link", { name: "Geräte" }).click();
  await page.getByRole("heading", { name: "Wer was geändert hat" }).scrollIntoViewIfNeeded();
  await shot("company");
  await page.getByRole("link", { name: "Verläufe" }).click();
  await openRoof(page);
  await shot("thread");
});

await browser.close();
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
console.log(`shots: in ${OUT}`);
