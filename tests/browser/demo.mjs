// The real program with a folder of its own, its start page, and a browser that notices what must not happen.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";

const REPOSITORY = new URL("../../", import.meta.url).pathname;
const PROGRAM =
  process.env.KOLONNE_BIN ?? `${process.env.CARGO_TARGET_DIR ?? `${REPOSITORY}target`}/release/kolonne`;
const FLAGS =
  "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";

/** Asks until the answer is truthy; a question that fails is asked again. */
export async function until(what, question, within_ms) {
  const end = performance.now() + within_ms;
  let last = "";
  for (;;) {
    try {
      const answer = await question();
      if (answer) return answer;
      last = "";
    } catch (e) {
      last = `: ${e.message}`;
    }
    if (performance.now() > end) throw new Error(`not within ${within_ms / 1000} s: ${what}${last}`);
    await sleep(50);
  }
}

/** A port below those that systems hand out by themselves, with three free ones behind it. */
async function freePort() {
  const free = async (port) => {
    const server = createServer().listen(port, "127.0.0.1");
    const held = await once(server, "listening").then(() => true, () => false);
    if (held) await new Promise((done) => server.close(done));
    return held;
  };
  for (let port = 15_000 + (process.pid % 1000) * 4; ; port += 4) {
    const all = await Promise.all([0, 1, 2, 3].map((n) => free(port + n)));
    if (all.every(Boolean)) return port;
  }
}

/** `kolonne demo` in a folder. */
export class Demo {
  said = "";

  static async start(dir) {
    const demo = new Demo();
    demo.url = `http://127.0.0.1:${await freePort()}/`;
    const port = new URL(demo.url).port;
    demo.began = performance.now();
    demo.process = spawn(PROGRAM, ["demo", "--dir", dir, "--port", port, "--no-open"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [demo.process.stdout, demo.process.stderr]) stream.on("data", (d) => (demo.said += d));
    demo.ended = new Promise((resolve) => {
      demo.process.once("error", (e) => resolve(e.message));
      demo.process.once("exit", (code, signal) => resolve(signal ?? code));
    });
    return demo;
  }

  /** Since its process was started. */
  seconds() {
    return (performance.now() - this.began) / 1000;
  }

  async startPage() {
    if (this.process.exitCode !== null || this.process.pid === undefined) throw new Error(`it ended: ${this.said}`);
    return (await fetch(this.url)).text();
  }

  /** The addresses behind the doors of the start page, once they are there. */
  async doors() {
    return until("three doors on the start page", async () => {
      const html = await this.startPage();
      const urls = [...html.matchAll(/class="door" href="([^"]+)"/g)].map((m) => m[1]);
      return urls.length === 3 && { office: urls[0], anna: urls[1], crew: urls[2] };
    }, 20_000);
  }

  /** Says Ctrl-C while its pages are being asked for much; how it ended: the exit code, else the signal. */
  async stop(doors = {}) {
    const leave = new AbortController();
    const asked = Object.values(doors).flatMap((door) => {
      const [address, token] = door.split("#t=");
      const headers = { Authorization: `Bearer ${token}` };
      const ask = () => fetch(`${address}api/threads`, { headers, signal: leave.signal });
      return Array.from({ length: 40 }, ask);
    });
    const answers = Promise.allSettled(asked);
    if (asked.length > 0) await Promise.race(asked);
    this.process.kill("SIGINT");
    leave.abort();
    await answers;
    const timer = setTimeout(() => this.process.kill("SIGKILL"), 15_000);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }
}

/** What a device knows, asked as its page does. */
export async function entriesOf(door) {
  const [address, token] = door.split("#t=");
  const ask = async (path) => {
    const answer = await fetch(address + path, { headers: { Authorization: `Bearer ${token}` } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.json();
  };
  const { threads } = await ask("api/threads");
  const pages = await Promise.all(threads.map((t) => ask(`api/threads/${t.id}/entries?limit=500`)));
  return { threads, entries: pages.flatMap((p) => p.entries) };
}

/** A browser whose pages report what must not happen to `wrong`. */
export class Browser {
  wrong = [];

  static async launch() {
    const browser = new Browser();
    const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
    browser.chromium = await chromium.launch({ executablePath, args: FLAGS.split(" ") });
    return browser;
  }

  /** A window of one who sits in the office, or one who holds a phone. */
  async window(name, { width, height, phone = false }) {
    const context = await this.chromium.newContext({
      viewport: { width, height }, deviceScaleFactor: 1, locale: "de-DE", timezoneId: "Europe/Berlin",
      colorScheme: "light", reducedMotion: "reduce", hasTouch: phone, isMobile: phone,
    });
    context.setDefaultTimeout(20_000);
    const wrong = (what) => this.wrong.push(`${name}: ${what}`);
    await context.addInitScript(() =>
      document.addEventListener("securitypolicyviolation", (e) => console.error(`CSP: ${e.violatedDirective} ${e.blockedURI}`)),
    );
    context.on("console", (m) => ["error", "warning"].includes(m.type()) && wrong(m.text()));
    context.on("weberror", (e) => wrong(e.error().message));
    context.on("request", (r) => {
      const { protocol, hostname } = new URL(r.url());
      if (!["blob:", "data:"].includes(protocol) && hostname !== "127.0.0.1") wrong(`asked ${hostname}`);
    });
    const page = await context.newPage();
    page.on("websocket", (s) => wrong(`opened ${s.url()}`));
    return page;
  }

  async close() {
    await this.chromium.close();
  }
}

/** A photo as a phone's camera would hand over: 12 MP, JPEG, with detail everywhere. */
export async function photo(page, words) {
  const url = await page.evaluate((words) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [4000, 3000];
    const c = canvas.getContext("2d");
    for (let row = -1; row < 22; row++)
      for (let column = -1; column < 18; column++) {
        const shade = (row * 7919 + column * 104_729) % 23;
        c.fillStyle = `hsl(${14 + (shade % 5)} ${44 + shade}% ${30 + shade}%)`;
        c.fillRect(column * 240 + (row % 2) * 120, row * 140, 234, 134);
      }
    c.fillStyle = "#fff";
    c.font = "200px sans-serif";
    c.fillText(words, 200, 2800);
    return canvas.toDataURL("image/jpeg", 0.9);
  }, words);
  return { name: "IMG_2041.jpg", mimeType: "image/jpeg", buffer: Buffer.from(url.split(",")[1], "base64") };
}
