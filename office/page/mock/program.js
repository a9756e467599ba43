// A stand-in for the program: the routes of API.md over a world in memory. The token says who looks: "office" or "phone".
// Extra for trying things out: POST /mock/arrive (a new entry from Karl), a file named *voll* finds no room.
import { makeWorld, newId } from "./world.js";
import { preview, svg, wav, waveform } from "./pictures.js";

/** @typedef {import("node:http").IncomingMessage} Req */
/** @typedef {import("node:http").ServerResponse} Res */

/** @param {string} code @param {number} status @param {string} de @param {string} en */
const problem = (code, status, de, en) => Object.assign(new Error(code), { status, body: { error: { code, message_de: de, message_en: en, field: null } } });
const notFound = () => problem("not_found", 404, "Das gibt es hier nicht. Es ist nichts verloren. Geh zurück zur Liste.", "That isn't here. Nothing is lost. Go back to the list.");

/** @param {Req} req @param {number} most */
async function body(req, most = 2_000_000) {
  const parts = [];
  let size = 0;
  for await (const part of req) {
    size += part.length;
    if (size > most) throw problem("too_big", 413, "Die Datei ist größer als 200 MB. Sie wurde nicht angenommen, das Original ist unberührt. Schick sie in Teilen.", "The file is larger than 200 MB. It was not taken, the original is untouched. Send it in parts.");
    parts.push(part);
  }
  return Buffer.concat(parts);
}

export function makeProgram(now = Date.now()) {
  const world = makeWorld(now);
  /** @type {Set<Res>} */
  const streams = new Set();
  /** @type {Map<string, string>} */
  const drafts = new Map();
  /** @type {Map<string, { bytes: Buffer, type: string, name?: string }>} */
  const files = new Map();
  /** @type {Map<string, any>} */
  const invites = new Map();
  let version = 1;
  let flight = false;
  let showStuck = false;
  /** @type {import("../src/lib/api.ts").Alarm[]} */
  let alarms = [];
  let confirmed = true;
  /** @type {import("../src/lib/api.ts").Backup} */
  let backup = { state: "none" };
  let active = world.mehmet.id;
  /** Jonas has a PIN, 2580. */
  const jonas = { locked: true, tries_left: 5, new_wanted: false };
  const opened_by = /** @type {const} */ ("office");
  const started = Date.now();
  /** @type {number | null} */
  let autoLock = null;
  const did = (/** @type {number} */ place, /** @type {string | null} */ by, /** @type {[string, string | null, object?][]} */ what, standing = "holds") => ({ place, time_ms: now - (12 - place) * 26 * 3_600_000, by, standing, what: what.map(([code, subject, more]) => ({ code, subject, ...more })), carried: /** @type {{ time_ms: number; by: string; what: import("../src/lib/api.ts").RosterWhat[] }[]} */ ([]) });
  const history = [
    did(1, null, [["founded", null]]), did(2, world.sabine.name, [["device", world.CREW3], ["person", world.mehmet.name], ["person", world.jonas.name]]),
    did(3, world.sabine.name, [["device", "Handy Karl"], ["person", world.karl.name]]), did(4, world.sabine.name, [["role", world.karl.name, { roles: { before: "crew", after: "foreman" } }]], "undone"), did(5, null, [["undone", null]]), did(6, world.sabine.name, []),
    did(7, world.sabine.name, [["ended", "Handy Tim (alt)", { at_once: true }]]), did(8, "Petra Vogt", [["ended", "Rolf Ende", { at_once: false }]]),
  ];
  const missing = { message_de: "Diese Datei fehlt auf diesem Gerät oder ist zu kurz. Alles andere ist gesichert, auch die Worte dazu. Nimm sie neu auf und verwirf diese hier.", message_en: "This file is missing on this device or is too short. Everything else is saved, the words with it too. Capture it anew and discard this one." };
  const form = { message_de: "Der Hub nimmt das nicht an. Es ist auf diesem Gerät gesichert und wird nicht gelöscht. Versuche es noch einmal oder gib es heraus; bleibt es dabei, frag, wer den Hub betreibt.", message_en: "The hub doesn't take this. It is saved on this device and isn't deleted. Try again or hand it out; if it stays, ask whoever runs the hub." };
  /** @param {any} more @returns {import("../src/lib/api.ts").Stuck} */
  const hangs = (more) => ({ id: newId(), kind: "photo", part: null, entry: "e0", thread: world.threads[0]?.id ?? null, title: world.threads[0]?.title ?? null, why: "missing", said: { code: "stuck", ...missing }, tries_again: false, may_discard: false, may_export: true, since_ms: now - 3 * 3_600_000, bytes: 0, ...more });
  let stuck = [hangs({ part: "picture", may_discard: true, bytes: 402_000 }), hangs({ part: "original", may_discard: true, bytes: 3_910_000 }), hangs({ kind: "text", entry: "e1", why: "form", said: { code: "stuck", ...form }, since_ms: now - 90 * 60_000 }), hangs({ kind: null, may_export: false, entry: null, thread: null, title: null, since_ms: null, why: "form", said: { code: "stuck", ...form } })];
  /** The world's own time goes on from its beginning. */
  const clock = () => now + Date.now() - started;

  /** @param {string[]} keys */
  function changed(...keys) {
    version++;
    for (const s of streams) s.write(`event: changed\ndata: ${JSON.stringify({ keys, version })}\n\n`);
  }

  /** @param {string} token */
  const whoOf = (token) => (token === "phone" ? (world.people.find((p) => p.id === active) ?? world.mehmet) : world.sabine);
  /** @param {string} token */
  const phoneSees = (token) => (/** @type {any} */ t) => token !== "phone" || t.kind === "company" || t.members.some((/** @type {any} */ m) => m.name === "Kolonne 3");

  const waiting = () => world.threads.flatMap((t) => t.entries).filter((e) => e.state === "saved" && [world.mehmet.id, world.jonas.id].includes(e.author.person));

  /** @param {string} token */
  function me(token) {
    const phone = token === "phone";
    const left = phone ? waiting() : [];
    return {
      surface: phone ? "phone" : "office", company: "Dachbau Krämer", device: phone ? { id: "c3", name: world.CREW3 } : { id: "b1", name: "Büro-PC 1" },
      seats: phone
        ? [world.mehmet, world.jonas].map((p) => ({ seat: p.id, person: p.id, name: p.name.split(" ")[0], role: p.role, opened_by, active: p.id === active, has_pin: p === world.jonas, direct_hidden: p === world.jonas && jonas.locked ? 1 : 0, awaited_by: p === world.jonas && jonas.locked ? [world.karl.name] : [], ...(p === world.jonas ? jonas : { locked: false, tries_left: 5, new_wanted: false }) }))
        : [{ seat: world.sabine.id, person: world.sabine.id, name: world.sabine.name, role: "admin", opened_by, active: true, has_pin: false, locked: false, tries_left: 5, new_wanted: false, direct_hidden: 0, awaited_by: [] }],
      language: null, flight_mode: phone ? flight : null,
      rights: { jobs: !phone, members: !phone, devices: !phone }, limits: { text_bytes: 64_000, media_bytes: 64_000_000, file_bytes: 200_000_000, sealed_bytes: 20_000_000 },
      auto_lock_min: 5, kit_unconfirmed: !phone && !confirmed,
      status: {
        hub: phone && flight ? "flight" : "reachable", last_contact_ms: now, new_hub: null, roster_confirmed_ms: now, roster_stale: false, alarms: phone ? [] : alarms,
        outbox: { ops: left.length, photos: left.filter((e) => e.kind === "photo").length, originals: phone ? 1 : 0, voices: left.filter((e) => e.kind === "voice").length, files: left.filter((e) => e.kind === "document").length, bytes: left.length * 400_000, stuck: phone && showStuck ? stuck.length : 0 },
      },
    };
  }

  /** @param {any} e @param {string} token */
  function seen(e, token) {
    const own = e.author.person === whoOf(token).id;
    const { look: _, ...rest } = e;
    const pending = e.pending.map((/** @type {any} */ p) => (token === "phone" && p.device_name === world.CREW3 ? { ...p, device_name: null } : p));
    if (e.retracted) return { ...rest, own, text: null, caption: null, photo: null, voice: null, document: null, pending: [] };
    const sealed = e.sealed && { ...e.sealed, for_me: token === "office" && e.sealed.office };
    return { ...rest, own, pending, sealed };
  }

  /** @param {import("./world.js").MockThread} t @param {string} token @param {string} words */
  function row(t, token, words = "") {
    const who = whoOf(token);
    const visible = t.entries.filter((e) => token === "phone" || e.state !== "saved" || e.author.person === world.sabine.id);
    const last = visible.filter((e) => e.kind !== "notice" && !e.retracted && !e.waiting && e.kind !== "unknown").at(-1);
    const read = t.read.get(who.id) ?? now - 2 * 3_600_000;
    const match = words ? t.entries.find((e) => (e.text ?? e.caption ?? "").toLowerCase().includes(words)) : null;
    return {
      id: t.id, kind: t.kind, title: t.title, status: t.status, customer: t.customer, address: t.address,
      unread: visible.filter((e) => e.time_ms > read && e.author.person !== who.id && e.kind !== "notice").length,
      last: last ? { author: last.author.name, own: last.author.person === who.id, kind: last.kind, text: last.text ?? last.caption ?? last.document?.name ?? "", time_ms: last.time_ms, clock: last.clock } : null,
      backlog: token === "phone" ? [] : t.backlog, held: t.held, quarantined: token === "phone" ? 0 : t.quarantined,
      member: true, hit: match ? (match.text ?? match.caption) : null,
    };
  }

  /** @param {string} id */
  const threadOf = (id) => {
    const t = world.threads.find((x) => x.id === id);
    if (!t) throw notFound();
    return t;
  };
  /** @param {string} id */
  const entryOf = (id) => {
    for (const t of world.threads) for (const e of t.entries) if (e.id === id) return { t, e: /** @type {any} */ (e) };
    throw notFound();
  };

  /** Saved, then sent, then at the office, unless in flight mode. @param {import("./world.js").MockThread} t @param {any} e @param {string} token */
  function travel(t, e, token) {
    if (token === "phone" && flight) return;
    e.state = "sent";
    setTimeout(() => changed("threads", `thread:${t.id}`, "me"), 300);
    setTimeout(() => {
      e.state = "office";
      changed("threads", `thread:${t.id}`, "me");
    }, 900);
  }

  /** @param {import("./world.js").MockThread} t @param {any} e @param {string} token @param {string | null} draft */
  function add(t, e, token, draft) {
    if (draft) drafts.set(draft, e.id);
    t.entries.push(e);
    changed("threads", `thread:${t.id}`, "me");
    travel(t, e, token);
    return { id: e.id };
  }

  /** @param {string | null} id */
  const quote = (id) => {
    if (!id) return null;
    const { e } = entryOf(id);
    return { id, author: e.author.name, kind: e.kind, snippet: (e.text ?? e.caption ?? "").slice(0, 120) };
  };

  function arrive() {
    const t = world.threads[0];
    if (!t) throw notFound();
    return add(t, world.entry(world.karl, now - clock(), { text: "Bin am Dach, schicke gleich noch Bilder.", state: "office" }), "office", null);
  }

  /** @param {string} method @param {string[]} path @param {URLSearchParams} q @param {Req} req @param {string} token @returns {Promise<any>} */
  async function route(method, path, q, req, token) {
    const who = whoOf(token);
    const here = now - clock();
    const at = `${method} ${path.map((p) => (/^[0-9a-f]{32}$/.test(p) ? ":" : p)).join("/")}`;
    const id = path.find((p) => /^[0-9a-f]{32}$/.test(p)) ?? "";
    const json = async () => JSON.parse((await body(req)).toString() || "{}");
    switch (at) {
      case "GET me": return me(token);
      case "POST seat": {
        const { seat, pin } = await json();
        if (seat === world.jonas.id && jonas.locked && pin !== "2580") {
          jonas.tries_left = Math.max(0, jonas.tries_left - 1);
          throw problem("wrong_pin", 423, "Die PIN stimmt nicht. Es ist nichts verloren. Versuch es noch einmal.", "The PIN is wrong. Nothing is lost. Try again.");
        }
        if (seat === world.jonas.id) Object.assign(jonas, { locked: false, tries_left: 5 });
        active = seat;
        changed("everything");
        return me(token);
      }
      case "POST lock": jonas.locked = true; return me(token);
      case "POST pin/check": if ((await json()).pin === "1234") throw problem("invalid", 400, "Diese PIN probiert jeder zuerst. Es ist nichts verändert. Nimm eine ohne Reihe und ohne lauter gleiche Ziffern.", "That PIN is what anybody tries first. Nothing was changed. Take one that is no run and no repetition."); return {};
      case "POST seat/pin": return me(token);
      case "POST seat/used": return {};
      case "POST seat/forgotten": jonas.new_wanted = true; return me(token);
      case "POST threads/:/sealed": {
        const bytes = await body(req, 200_000_000);
        const wanted = (q.get("for") ?? "").split(",");
        const e = world.entry(world.people.find((p) => p.id === q.get("seat")) ?? who, here, { kind: "sealed", state: "saved", sealed: { people: world.people.filter((p) => wanted.includes(p.id)).map(({ id: of, name }) => ({ id: of, name })), office: wanted.includes("office"), bytes: Math.max(65536, bytes.length), here: true, for_me: false } });
        files.set(e.id, { bytes, type: req.headers["content-type"] ?? "", name: q.get("name") ?? "" });
        return add(threadOf(id), e, token, q.get("draft_id"));
      }
      case "POST kit/check":
        if (!(await json()).kit.includes("GUT")) throw problem("invalid", 400, "Dieser Notfallbogen hat einen Tippfehler. Es ist nichts geschehen. Vergleich die Gruppen.", "This recovery kit has a typo. Nothing happened. Compare the groups.");
        confirmed = true;
        changed("me");
        return {};
      case "GET backup": return backup;
      case "POST backup":
        backup = { state: "writing", done_bytes: 312_000_000, total_bytes: 1_480_000_000 };
        setTimeout(() => { backup = { state: "ready", bytes: 741_000_000, files: 2310, damaged: 0 }; changed("backup"); }, 1500);
        return backup;
      case "POST flight":
        flight = (await json()).on;
        if (!flight) for (const t of world.threads) for (const e of t.entries) if (waiting().includes(e)) travel(t, e, token);
        changed("me");
        return me(token);
      case "POST sync": return {};
      case "GET threads": {
        const words = (q.get("query") ?? "").toLowerCase();
        const rows = world.threads.filter(phoneSees(token)).map((t) => row(t, token, words))
          .filter((r) => !words || r.hit || [r.title, r.customer, r.address].some((f) => f?.toLowerCase().includes(words)))
          .sort((a, b) => (b.last?.time_ms ?? 0) - (a.last?.time_ms ?? 0));
        return { threads: rows, next_cursor: null, unread_total: rows.reduce((n, r) => n + r.unread, 0) };
      }
      case "POST jobs": {
        const job = await json();
        const t = { ...threadOf(world.threads[0]?.id ?? ""), id: newId(), title: job.title, customer: job.customer || null, address: job.address || null, status: "inquiry", entries: [], backlog: [], held: 0, read: new Map(), members: [{ kind: /** @type {const} */ ("office"), id: "0", name: "Büro" }, ...job.members.map((/** @type {any} */ m) => ({ ...m, name: [...world.crews, ...world.people].find((x) => x.id === m.id)?.name ?? "" }))] };
        world.threads.unshift(t);
        add(t, world.entry(who, here, { kind: "notice", notice: { code: "opened", value: null } }), token, null);
        return { id: t.id };
      }
      case "GET threads/:": { const t = threadOf(id); return { ...row(t, token), members: t.members, opened_by: t.opened_by, opened_ms: t.opened_ms, key_comes_from: t.kind === "direct" && t.held ? t.members.filter((m) => m.name !== who.name).map((m) => m.name) : [] }; }
      case "PATCH threads/:": {
        const t = threadOf(id);
        const change = await json();
        Object.assign(t, change);
        for (const [code, value] of Object.entries(change)) add(t, world.entry(who, here, { kind: "notice", notice: { code, value: String(value) } }), token, null);
        return {};
      }
      case "POST threads/:/members": {
        const t = threadOf(id);
        const { add: more, remove } = await json();
        const name = (/** @type {any} */ m) => [...world.crews, ...world.people].find((x) => x.id === m.id)?.name ?? "";
        t.members = [...t.members.filter((m) => !remove.some((/** @type {any} */ r) => r.id === m.id)), ...more.map((/** @type {any} */ m) => ({ ...m, name: name(m) }))];
        for (const m of more) add(t, world.entry(who, here, { kind: "notice", notice: { code: "member_in", value: name(m) } }), token, null);
        changed(`thread:${id}`);
        return {};
      }
      case "GET threads/:/entries": {
        const t = threadOf(id);
        const all = t.entries.filter((e) => token === "phone" || e.state !== "saved" || e.author.person === world.sabine.id);
        const end = q.get("before") ? all.findIndex((e) => e.id === q.get("before")) : all.length;
        const start = Math.max(0, end - Number(q.get("limit") ?? 60));
        const read = t.read.get(who.id) ?? now - 2 * 3_600_000;
        const first = all.find((e) => e.time_ms > read && e.author.person !== who.id);
        return { entries: all.slice(start, end).map((e) => seen(e, token)), before: start > 0 ? all[start]?.id : null, unread_from: first?.id ?? null, held: t.held, quarantined: token === "phone" ? 0 : t.quarantined };
      }
      case "POST threads/:/entries": {
        const { text, reply_to, seat, draft_id } = await json();
        const writer = world.people.find((p) => p.id === seat) ?? who;
        if (drafts.has(draft_id)) return { id: drafts.get(draft_id) };
        if (text.includes("/hängt")) throw problem("storage_full", 507, "Der Speicher ist voll. Was gesichert war, bleibt gesichert; dein Text steht noch hier. Mach Platz und schick noch einmal.", "The storage is full. What was saved stays saved; your text is still here. Make room and send again.");
        return add(threadOf(id), world.entry(writer, here, { text, reply_to: quote(reply_to), state: "saved" }), token, draft_id);
      }
      case "POST threads/:/files": {
        const t = threadOf(id);
        const bytes = await body(req, 200_000_000);
        const draft = q.get("draft_id") ?? "";
        const name = q.get("name") ?? "Datei";
        if (drafts.has(draft)) return { id: drafts.get(draft) };
        if (name.includes("voll")) throw problem("storage_full", 507, "Der Speicher ist voll. Was gesichert war, bleibt gesichert; diese Datei noch nicht. Mach Platz und versuch es noch einmal.", "The storage is full. What was saved stays saved; this file isn't yet. Make room and try again.");
        if (bytes.length === 0) throw problem("empty_file", 400, "Die Datei ist leer. Es wurde nichts angehängt. Wähl sie noch einmal aus.", "The file is empty. Nothing was attached. Choose it again.");
        const kind = /** @type {any} */ (q.get("kind"));
        const writer = world.people.find((p) => p.id === q.get("seat")) ?? who;
        const e = world.entry(writer, here, { kind, caption: q.get("caption") || null, reply_to: quote(q.get("reply_to")), state: "saved" });
        const type = req.headers["content-type"] ?? "application/octet-stream";
        files.set(e.id, { bytes, type });
        // A drawn photo stands in for what is too small to be one.
        const look = { scene: ["beams", "pipe", "wall"][files.size % 3] ?? "", width: 2048, height: 1536, seed: files.size };
        if (kind === "photo" && bytes.length < 1000) Object.assign(e, { look });
        if (kind === "photo") e.photo = { width: 2048, height: 1536, preview: preview(look), thumb: true, picture: true, original: true, taken_ms: e.time_ms, camera: null };
        else if (kind === "voice") e.voice = { duration_ms: 8000, waveform: waveform(5), type, here: true };
        else e.document = { name, type, bytes: bytes.length, here: true };
        return add(t, e, token, draft);
      }
      case "POST entries/:/caption": { const { t, e } = entryOf(id); e.caption = (await json()).text || null; e.edited = true; changed(`thread:${t.id}`, "threads"); return {}; }
      case "POST entries/:/retract": { const { t, e } = entryOf(id); e.retracted = { reason: (await json()).reason || null }; changed(`thread:${t.id}`, "threads"); return {}; }
      case "POST threads/:/read": { const { e } = entryOf((await json()).up_to); threadOf(id).read.set(who.id, e.time_ms); changed("threads", `thread:${id}`); return {}; }
      case "POST seats/:/unlock": for (const d of world.devices) d.locked_seats = (d.locked_seats ?? []).filter((s) => s.seat !== id); changed("devices"); return {};
      case "POST threads/:/erase": { const { entries, reason } = await json(); for (const of of entries) { const { e } = entryOf(of); Object.assign(e, { kind: "stub", text: null, photo: null, erased: { entry: of, thread: id, reason, by: [who.name], time_ms: clock(), needs_second: false, destroyed: false, gone_ms: clock() + 604_800_000 } }); } changed(`thread:${id}`, "threads"); return { entries: entries.length, need_second: 0, days: 7 }; }
      case "GET erasures": return { erasures: world.threads.flatMap((t) => t.entries).flatMap((e) => /** @type {any} */ (e).erased ?? []) };
      case "GET auto-lock": return { minutes: autoLock };
      case "POST auto-lock": autoLock = (await json()).minutes; changed("devices"); return {};
      case "POST people/:/role": { const p = world.people.find((x) => x.id === id); if (p) p.role = (await json()).role; changed("people"); return {}; }
      case "POST seats/:/renew": for (const d of world.devices) d.locked_seats = (d.locked_seats ?? []).filter((s) => s.seat !== id); changed("devices"); return {};
      case "GET roster": return { roster: history };
      case "POST alarms/put-away": { const { id: of } = await json(); alarms = alarms.filter((a) => a.id !== of); changed("me"); return {}; }
      case "GET stuck": return { stuck: token === "phone" ? stuck : [] };
      case "POST stuck/:/retry": return {};
      case "POST stuck/:/discard": { const of = stuck.find((s) => s.id === id)?.entry ?? null; stuck = stuck.filter((s) => s.entry !== of); changed("me", "threads"); return {}; }
      case "GET hand-back": return token === "phone"
        ? { standing: "not_yet", lacks: [{ what: "photos", n: 3 }, { what: "originals", n: 5 }, ...(stuck.length > 0 ? [{ what: "stuck", n: stuck.length }] : [])], bytes: 24_100_000, unseen: 4, since_ms: now - 3 * 3_600_000, last_contact_ms: now - 600_000 }
        : { standing: "at_office", lacks: [], bytes: 0, unseen: 0, since_ms: null, last_contact_ms: now };
      case "GET people": return { people: world.people, crews: world.crews, ended: [{ id: "e1", name: "Rolf Ende" }] };
      case "GET devices": return { devices: world.devices };
      case "POST devices/:/end": { const d = world.devices.find((x) => x.id === id); if (d) Object.assign(d, { ended: { at_once: (await json()).how === "now" }, wiped: null, backlog: null }); changed("devices"); return {}; }
      case "POST people/:/end": { world.people.splice(world.people.findIndex((p) => p.id === id), 1); changed("people"); return {}; }
      case "GET threads/:/kept-back": { const t = threadOf(id); return { kept_back: t.quarantined ? [{ thread: t.id, seat: world.jonas.id, person: world.jonas.name, device: world.CREW3, device_id: null, why: "cut", let_in_by: "office", entries: t.quarantined, texts: t.quarantined, photos: 0, voices: 0, files: 0, changes: 0, ops: t.quarantined, first_ms: now - 7_200_000, last_ms: now - 3_600_000 }] : [] }; }
      case "POST threads/:/admit": { threadOf(id).quarantined = 0; changed(`thread:${id}`); return {}; }
      case "POST invites": {
        const wish = await json();
        const size = 57;
        const finder = (/** @type {number} */ y, /** @type {number} */ x) => [[0, 0], [0, size - 7], [size - 7, 0]].map(([fy = 0, fx = 0]) => (y >= fy && y < fy + 7 && x >= fx && x < fx + 7 ? Math.max(Math.abs(y - fy - 3), Math.abs(x - fx - 3)) !== 2 : null)).find((v) => v !== null);
        const qr = Array.from({ length: size }, (_, y) => Array.from({ length: size }, (_, x) => ((finder(y, x) ?? (Math.abs(Math.sin(x * 12.9898 + y * 78.233) * 43758.5453) % 1 > 0.5)) ? "1" : "0")).join(""));
        const invite = { id: newId(), text: `kolonne:join?${"7b3f9c1e".repeat(12)}`, qr, expires_ms: clock() + 600_000, state: "waiting", words: null, wish };
        invites.set(invite.id, invite);
        setTimeout(() => { Object.assign(invite, { state: "words", words: ["Amboss", "Ziegel", "Möwe", "Lampe"], words_en: ["anvil", "brick", "seagull", "lamp"], word_numbers: [4, 251, 160, 131] }); changed(`invite:${invite.id}`); }, 4000);
        return invite;
      }
      case "GET invites/:": return invites.get(id);
      case "POST invites/:/admit": return Object.assign(invites.get(id), { state: "admitted" });
      case "DELETE invites/:": invites.delete(id); return {};
      default: throw notFound();
    }
  }

  /** @param {Req} req @param {Res} res @param {() => void} next */
  return async function program(req, res, next) {
    const url = new URL(req.url ?? "/", "http://127.0.0.1");
    const path = url.pathname.split("/").filter(Boolean);
    if (!["api", "media", "mock"].includes(path[0] ?? "")) return next();
    try {
      const token = /^Bearer (office|phone)$/.exec(req.headers.authorization ?? "")?.[1];
      if (path[1] === "lost-kit") { confirmed = false; changed("me"); res.end("{}"); }
      else if (path[1] === "alarms" && path[0] === "mock") { alarms = [{ kind: "foreign_roster", since_ms: now - 3_600_000, person: world.karl.name, device: null, id: "f1" }, { kind: "ran_twice", since_ms: now - 86_400_000, person: null, device: world.CREW3, id: "r1" }]; changed("me"); res.end("{}"); }
      else if (path[1] === "stuck" && path[0] === "mock") { showStuck = true; changed("me"); res.end("{}"); }
      else if (path[0] === "mock") res.end(JSON.stringify(arrive()));
      else if (!token) throw problem("token", 401, "Diese Adresse gilt nicht mehr. Es ist nichts verloren. Öffne die neue.", "This address is no longer good. Nothing is lost. Open the new one.");
      else if (path[1] === "stuck" && path[3] === "file") res.writeHead(200, { "Content-Type": "application/octet-stream", "Content-Disposition": "attachment; filename*=UTF-8''kolonne-0000000a.jpg" }).end("mock");
      else if (path[0] === "media") {
        const { e } = entryOf(path[1] ?? "");
        const file = files.get(e.id);
        if (e.look) res.setHeader("Content-Type", "image/svg+xml").end(svg(e.look));
        else if (file?.name) res.writeHead(200, { "Content-Type": file.type, "Content-Disposition": `inline; filename*=UTF-8''${encodeURIComponent(file.name)}` }).end(file.bytes);
        else if (file) res.setHeader("Content-Type", file.type).end(file.bytes);
        else if (e.voice) res.setHeader("Content-Type", "audio/wav").end(wav(Math.round(e.voice.duration_ms / 1000)));
        else res.setHeader("Content-Type", "application/octet-stream").end(Buffer.from("%PDF-1.4 mock"));
      } else if (path[1] === "events") {
        res.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
        res.write(`event: changed\ndata: ${JSON.stringify({ keys: ["everything"], version })}\n\n`);
        streams.add(res);
        req.on("close", () => streams.delete(res));
      } else res.setHeader("Content-Type", "application/json").end(JSON.stringify(await route(req.method ?? "GET", path.slice(1), url.searchParams, req, token)));
    } catch (failed) {
      const known = /** @type {any} */ (failed);
      if (!known.body) console.error(failed);
      res.statusCode = known.status ?? 500;
      res.setHeader("Content-Type", "application/json").end(JSON.stringify(known.body ?? problem("internal", 500, "Da ging etwas schief. Alles Gesicherte ist da. Versuch es noch einmal.", "Something went wrong. All that was saved is there. Try again.").body));
    }
  };
}
