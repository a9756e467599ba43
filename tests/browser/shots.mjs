// `npm run shots [FOLDER]`: the README's pictures of the office and of a phone, from the demo as it runs.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Browser, Demo, until } from "./demo.mjs";

const OUT = process.argv[2] ?? new URL("../../docs/img/", import.meta.url).pathname;
const FILLED_MS = 120_000;

const dir = mkdtempSync(join(tmpdir(), "kolonne-shots-"));
mkdirSync(OUT, { recursive: true });
const demo = await Demo.start(dir);
const browser = await Browser.launch();
try {
  const doors = await demo.doors();
  await until("the whole week", async () => (await demo.startPage()).includes("Die ganze Woche ist da"), FILLED_MS);
  const open = async (page, door, job) => {
    await page.goto(door);
    await page.getByRole("link", { name: job }).click();
    await page.getByRole("heading", { level: 2, name: job }).waitFor();
  };
  /** Waits for every picture in sight. */
  const shoot = async (page, name) => {
    const log = page.getByRole("log");
    await page.mouse.move(0, 0);
    await until("the pictures", async () => {
      const [places, drawn] = await log.evaluate((node) => {
        const inSight = (e) => e.getBoundingClientRect().bottom > 0 && e.getBoundingClientRect().top < innerHeight;
        return ["canvas", "img.drawn"].map((s) => [...node.querySelectorAll(s)].filter(inSight).length);
      });
      return drawn > 0 && drawn >= places;
    }, 20_000);
    await page.waitForTimeout(600);
    const path = join(OUT, name);
    await page.screenshot({ path });
    console.log(path);
  };

  const office = await browser.window("office", { width: 1440, height: 900 });
  await open(office, doors.office, "Lindenweg 14");
  const photos = office.getByRole("article").filter({ has: office.locator("figure") }).first();
  await photos.evaluate((node) => node.scrollIntoView({ block: "start" }));
  await shoot(office, "office.png");

  const phone = await browser.window("phone", { width: 390, height: 844, phone: true });
  await open(phone, doors.crew, "Kirchplatz 2");
  await phone.getByRole("switch", { name: "Flugmodus" }).click();
  await phone.getByRole("textbox", { name: /Schreib als/ }).fill("Passt. Die Ziegel liegen Montag um acht oben.");
  await phone.getByRole("button", { name: "Schicken", exact: true }).click();
  await phone.getByText("gesichert").waitFor();
  await phone.getByRole("textbox", { name: /Schreib als/ }).blur();
  await phone.getByRole("log").evaluate((node) => node.scrollTo(0, node.scrollHeight));
  await shoot(phone, "phone.png");
  if (browser.wrong.length > 0) throw new Error(browser.wrong.join("\n"));
} finally {
  await browser.close();
  await demo.stop();
  rmSync(dir, { recursive: true, force: true });
}
