// The demo as a person meets it: the week at the office, a phone in flight mode, an answer, a crew's two people, Ctrl-C and
// again. Ends with "N passed, M failed".
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import assert from "node:assert/strict";
import { Browser, Demo, entriesOf, photo, until } from "./demo.mjs";

/** What README promises; a busy machine may take three times as long before it counts as broken. */
const START_PAGE_S = 3;
const WEEK_S = 20;
const PATIENCE = 3;
const LEAST_ENTRIES = 60;
const JOB = "Marktstraße 19";
const FAR_MS = 30_000;

const dir = mkdtempSync(join(tmpdir(), "kolonne-demo-"));
const shots = mkdtempSync(join(tmpdir(), "kolonne-browser-"));
const browser = await Browser.launch();
const windows = {};
let [passed, failed] = [0, 0];
let demo;

async function check(name, story) {
  const began = performance.now();
  try {
    const more = await story();
    passed++;
    console.log(`ok      ${name}${more ? `: ${more}` : ""} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
  } catch (e) {
    failed++;
    console.log(`FAILED  ${name}: ${e.message}`);
    for (const [who, page] of Object.entries(windows)) {
      const path = join(shots, `${failed}-${who}.png`);
      await page.screenshot({ path }).then(() => console.log(`        ${path}`), () => undefined);
    }
  }
}
const measured = (what, seconds, goal) => {
  assert.ok(seconds < goal * PATIENCE, `${what} took ${seconds.toFixed(1)} s, the goal is ${goal} s`);
  return `${what} ${seconds.toFixed(2)} s after the start, goal ${goal} s`;
};

const line = (page, words) => page.getByRole("article").filter({ hasText: words }).last();
const pictures = (page) => page.getByRole("button", { name: /groß ansehen/ });
const drawn = (page) => page.getByRole("log").locator("img.drawn");
const shows = (locator, within_ms = FAR_MS) => locator.waitFor({ timeout: within_ms });
async function openJob(page) {
  await page.getByRole("link", { name: JOB }).click();
  await shows(page.getByRole("heading", { level: 2, name: JOB }));
}
async function write(page, words) {
  await page.getByRole("textbox", { name: /Schreib als/ }).fill(words);
  await page.getByRole("button", { name: "Schicken", exact: true }).click();
  await shows(line(page, words));
}
/** A reload would lose it. */
const mark = (page) => page.evaluate(() => void (globalThis.mark = "here"));
const marked = async (page) => assert.equal(await page.evaluate(() => globalThis.mark), "here", "the page was loaded anew");

try {
  demo = await Demo.start(dir);
  await check("the start page answers", async () => {
    await until("the start page", () => demo.startPage(), START_PAGE_S * PATIENCE * 1000);
    return measured("it did", demo.seconds(), START_PAGE_S);
  });
  const doors = await demo.doors();
  await check("the whole week comes to the office", async () => {
    let known;
    const whole = async () => {
      known = await entriesOf(doors.office);
      const told = known.entries.filter((e) => e.kind !== "notice").length > LEAST_ENTRIES;
      const photos = known.entries.filter((e) => e.photo && !e.retracted);
      return told && photos.every((e) => e.photo.thumb) && (await demo.startPage()).includes("Die ganze Woche ist da");
    };
    await until("the week with its photos", whole, WEEK_S * PATIENCE * 1000);
    const said = measured("there", demo.seconds(), WEEK_S);
    const count = (kind) => known.entries.filter((e) => e.kind === kind).length;
    for (const kind of ["text", "photo", "voice", "document"]) assert.ok(count(kind) > 0, `no ${kind}`);
    return `${known.threads.length} threads, ${known.entries.length} entries, ${count("photo")} photos; ${said}`;
  });

  await check("the start page leads to the office, which lists every job", async () => {
    const start = await browser.window("start", { width: 1440, height: 900 });
    await start.goto(demo.url);
    await start.getByText("Die ganze Woche ist da.").waitFor();
    const [office] = await Promise.all([start.context().waitForEvent("page"), start.getByRole("link", { name: "Büro" }).click()]);
    windows.office = office;
    await start.close();
    const { threads } = await entriesOf(doors.office);
    const list = office.getByRole("navigation", { name: "Verläufe" });
    for (const { title } of threads) await shows(list.getByText(title, { exact: true }));
    assert.ok(!office.url().includes("t="), "the token stayed in the address");
  });
  await check("the office opens a job and sees its photos", async () => {
    const { office } = windows;
    await openJob(office);
    await mark(office);
    await pictures(office).first().scrollIntoViewIfNeeded();
    await shows(drawn(office).first());
    await pictures(office).first().click();
    const viewer = office.getByRole("dialog", { name: "Foto" });
    await shows(viewer.locator("img.drawn"));
    const sides = await viewer.locator("img.drawn").evaluate((i) => [i.naturalWidth, i.naturalHeight]);
    assert.ok(Math.max(...sides) >= 1000, `the picture has only ${sides.join(" × ")} pixels`);
    await office.keyboard.press("Escape");
    await office.getByRole("button", { name: "Zum Neuesten" }).click();
    return `a picture of ${sides.join(" × ")}`;
  });

  const said = "Kehlblech liegt, Fotos folgen.";
  await check("a phone in flight mode keeps a text and a photo", async () => {
    const anna = (windows.anna = await browser.window("anna", { width: 390, height: 844, phone: true }));
    await anna.goto(doors.anna);
    await anna.getByRole("switch", { name: "Flugmodus" }).click();
    await shows(anna.getByRole("status").filter({ hasText: "Flugmodus an" }));
    await openJob(anna);
    await mark(anna);
    await write(anna, said);
    await shows(line(anna, said).getByText("gesichert"));
    const before = await pictures(anna).count();
    const choosing = anna.waitForEvent("filechooser");
    await anna.getByRole("button", { name: "Foto aufnehmen" }).click();
    await (await choosing).setFiles(await photo(anna, "Kehle"));
    await until("the photo in the thread", async () => (await pictures(anna).count()) === before + 1, FAR_MS);
    await shows(anna.getByRole("article").last().getByText("gesichert"));
    await shows(anna.getByRole("status").filter({ hasText: /1 Foto/ }));
  });
  let photosBefore = 0;
  await check("the office has neither of them", async () => {
    const { office } = windows;
    photosBefore = await pictures(office).count();
    await sleep(2000);
    assert.equal(await office.getByText(said).count(), 0);
    const { entries } = await entriesOf(doors.office);
    assert.ok(!entries.some((e) => e.text === said));
    assert.equal(await pictures(office).count(), photosBefore);
  });
  await check("flight mode off: both arrive at the office by themselves", async () => {
    const { office, anna } = windows;
    const began = performance.now();
    const seconds = () => ((performance.now() - began) / 1000).toFixed(2);
    await anna.getByRole("switch", { name: "Flugmodus" }).click();
    await shows(line(office, said).getByText("Anna Keller"));
    const text = seconds();
    await until("the photo at the office", async () => (await pictures(office).count()) === photosBefore + 1, FAR_MS);
    await shows(office.getByRole("article").last().locator("img.drawn"));
    await marked(office);
    return `text after ${text} s, picture after ${seconds()} s`;
  });
  await check("the phone learns that the office has them", async () => {
    const { anna } = windows;
    await shows(line(anna, said).getByText("im Büro"));
    await shows(anna.getByRole("article").last().getByText(/im Büro/));
    await shows(anna.getByRole("status").filter({ hasText: "Verbunden" }));
    await until("an empty outbox", async () => !/noch/.test(await anna.getByRole("status").innerText()), FAR_MS);
    await marked(anna);
  });
  await check("the office answers and the phone shows it", async () => {
    const { office, anna } = windows;
    const answer = "Sieht gut aus, die Rechnung geht morgen raus.";
    await write(office, answer);
    await shows(line(anna, answer).getByText("Sabine Brandt"));
    await marked(anna);
  });
  await check("two people write on the crew's phone, each under their own name", async () => {
    const { office } = windows;
    const crew = (windows.crew = await browser.window("crew", { width: 390, height: 844, phone: true }));
    await crew.goto(doors.crew);
    await openJob(crew);
    // Whoever is switched away from is locked: coming back takes the PIN.
    for (const [name, words, pin] of [["Jonas Petersen", "Leiter steht.", ""], ["Mehmet Yılmaz", "Ich hole die Pfannen.", "3805"]]) {
      const seat = crew.getByRole("button", { name });
      await seat.click();
      if (pin) {
        await shows(crew.getByRole("dialog"));
        await crew.keyboard.type(pin);
        await crew.keyboard.press("Enter");
      }
      await shows(crew.locator("[aria-pressed=true]", { hasText: name }));
      await shows(crew.getByRole("textbox", { name: `Schreib als ${name}` }));
      await write(crew, words);
      await shows(line(office, words).getByRole("heading", { name }));
      await shows(line(crew, words).getByText("im Büro"));
    }
  });
  await check("what hangs fast is said with a reason, and thrown away by a person with another", async () => {
    const { anna, office } = windows;
    const blobs = join(dir, "handy-anna-keller", "blobs");
    const files = () => readdirSync(blobs, { recursive: true, withFileTypes: true }).filter((f) => f.isFile()).map((f) => join(f.parentPath ?? f.path, f.name));
    const giving = async (words) => {
      await anna.getByRole("link", { name: "Zurück" }).click();
      await anna.getByRole("button", { name: "Darf es weg?" }).click();
      await shows(anna.getByRole("dialog").getByText(words));
      await anna.keyboard.press("Escape");
      await openJob(anna);
    };
    await giving("Ja. Alles von diesem Gerät ist im Büro.");
    await anna.getByRole("switch", { name: "Flugmodus" }).click();
    const kept = files();
    const before = await pictures(anna).count();
    const choosing = anna.waitForEvent("filechooser");
    await anna.getByRole("button", { name: "Foto aufnehmen" }).click();
    await (await choosing).setFiles(await photo(anna, "Geht verloren"));
    await until("the photo in the thread", async () => (await pictures(anna).count()) === before + 1, FAR_MS);
    await giving(/^Noch nicht/);
    for (const file of files().filter((file) => !kept.includes(file))) rmSync(file);
    await anna.getByRole("switch", { name: "Flugmodus" }).click();
    await shows(anna.getByRole("status").filter({ hasText: /hängt fest|hängen fest/ }));
    // The office knows of the photo by its words, and says what is missing and since when.
    await office.getByRole("link", { name: "Geräte" }).click();
    const row = office.getByRole("listitem").filter({ has: office.getByRole("heading", { name: "Handy Anna" }) });
    await shows(row.getByText(/(fehlt|fehlen) seit 1\smin/));
    await row.getByRole("button", { name: "Darf es weg?" }).click();
    await shows(office.getByRole("dialog").getByText("Hier im Büro fehlt von diesem Gerät"));
    await office.keyboard.press("Escape");

    await anna.getByRole("link", { name: "Zurück" }).click();
    await anna.getByRole("button", { name: "Ansehen", exact: true }).click();
    const list = anna.getByRole("dialog");
    await shows(list.getByText("fehlt auf diesem Gerät"));
    await list.getByRole("button", { name: "Noch einmal" }).click();
    await shows(list.getByText("Noch einmal versucht"));
    await shows(list.getByRole("heading", { name: /^Foto/ }));
    await list.getByRole("button", { name: "Verwerfen" }).click();
    const discard = list.getByRole("button", { name: "Verwerfen" });
    assert.ok(await discard.isDisabled(), "a reason isn't asked for");
    await list.getByRole("textbox").fill("Datei beschädigt");
    await discard.click();
    await shows(list.getByText("Nichts hängt fest."));
    await anna.keyboard.press("Escape");
    await openJob(anna);
    await shows(line(anna, "Zurückgezogen: Datei beschädigt"));
    await giving("Ja. Alles von diesem Gerät ist im Büro.");
    await shows(row.getByText("nichts wartet"));
    await openJob(office);
    await shows(line(office, "Zurückgezogen: Datei beschädigt"));
  });
  await check("the office finds a job by its words", async () => {
    const { office } = windows;
    await office.getByRole("searchbox").fill("kehlblech");
    await until("one job", async () => (await office.getByRole("navigation", { name: "Verläufe" }).getByRole("link").count()) === 1, FAR_MS);
    await shows(office.getByRole("link", { name: JOB }));
  });
  await check("nothing went wrong in the pages, and nothing left this computer", () => assert.deepEqual(browser.wrong, []));

  const before = await entriesOf(doors.office);
  for (const page of Object.values(windows)) await page.context().close();
  const key = (known) => known.entries.map((e) => `${e.id} ${e.author.name} ${e.text ?? e.caption ?? ""}`).sort();
  await check("Ctrl-C ends it cleanly", async () => {
    const began = performance.now();
    assert.equal(await demo.stop(doors), 0, demo.said);
    assert.doesNotMatch(demo.said, /panic/i);
    return `in ${((performance.now() - began) / 1000).toFixed(2)} s`;
  });
  await check("a second start goes on where it was", async () => {
    demo = await Demo.start(dir);
    await until("the start page", () => demo.startPage(), START_PAGE_S * PATIENCE * 1000);
    const answered = measured("the start page", demo.seconds(), START_PAGE_S);
    const again = await demo.doors();
    const known = await entriesOf(again.office);
    assert.deepEqual(key(known), key(before));
    for (const name of ["office", "anna"]) {
      const page = (windows[name] = await browser.window(`second ${name}`, { width: 1024, height: 768, phone: name === "anna" }));
      await page.goto(again[name]);
      await openJob(page);
      await shows(line(page, said));
    }
    await write(windows.anna, "Zweiter Tag.");
    await shows(line(windows.office, "Zweiter Tag."));
    return answered;
  });
  await check("who changed which role and ended which access is told in the history", async () => {
    const { office } = windows;
    await office.getByRole("link", { name: "Geräte" }).click();
    await office.getByRole("button", { name: "Rolle von Anna Keller" }).click();
    const dialog = office.getByRole("dialog");
    await dialog.getByRole("radio", { name: /^Kolonne/ }).check();
    await dialog.getByRole("button", { name: "Übernehmen" }).click();
    await dialog.waitFor({ state: "detached" });
    await office.getByRole("button", { name: "Handy Kolonne 3 sperren" }).click();
    await dialog.getByRole("radio", { name: /^Verloren/ }).check();
    await dialog.getByRole("button", { name: "Sperren" }).click();
    await dialog.waitFor({ state: "detached" });
    await shows(office.getByText("Anna Keller (Vorarbeiter → Kolonne)"));
    await shows(office.getByText(/hat Handy Kolonne 3 ab sofort gesperrt/));
  });
  await check("nothing went wrong in the pages of the second start", () => assert.deepEqual(browser.wrong, []));
} catch (e) {
  failed++;
  console.log(`FAILED  ${e.message}`);
} finally {
  await browser.close();
  const end = await demo?.stop();
  if (end !== 0) {
    failed++;
    console.log(`FAILED  the last end: ${end}\n${demo?.said}`);
  }
  rmSync(dir, { recursive: true, force: true });
  if (failed === 0) rmSync(shots, { recursive: true, force: true });
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
