// The company of the mock: a believable week in memory. Office and phone of the demo look at the same world.
/** @typedef {import("../src/lib/api.ts").Entry} Entry */
/** @typedef {import("../src/lib/api.ts").Backlog} Backlog */
/** @typedef {import("../src/lib/api.ts").Member} Member */
import { preview, waveform } from "./pictures.js";

let ids = 1;
export const newId = () => (ids++).toString(16).padStart(32, "0");

const MIN = 60_000;
const HOUR = 60 * MIN;
const DAY = 24 * HOUR;

/** @param {string} name @param {import("../src/lib/api.ts").Role} role @param {string | null} crew */
const person = (name, role, crew = null) => ({ id: newId(), name, role, crew, seats: 1 });

/** @typedef {{ id: string, kind: import("../src/lib/api.ts").ThreadKind, title: string, status: string | null, customer: string | null, address: string | null, entries: Entry[], backlog: Backlog[], held: number, quarantined: number, members: Member[], opened_by: string, opened_ms: number, read: Map<string, number> }} MockThread */

/** @param {number} now */
export function makeWorld(now) {
  const crews = ["Kolonne 1", "Kolonne 2", "Kolonne 3", "Kolonne 4"].map((name) => ({ id: newId(), name, people: /** @type {string[]} */ ([]) }));
  const [c1, c2, c3, c4] = crews.map((c) => c.id);
  const sabine = person("Sabine Krämer", "office");
  const petra = person("Petra Vogt", "admin");
  const mehmet = person("Mehmet Yıldız", "crew", c3);
  const jonas = person("Jonas Brandt", "crew", c3);
  const karl = person("Karl Huber", "foreman");
  const rita = person("Rita Sommer", "foreman");
  const piotr = person("Piotr Nowak", "crew", c1);
  const tim = person("Tim Lange", "crew", c1);
  const ali = person("Ali Demir", "crew", c2);
  const jana = person("Jana Wolf", "crew", c4);
  const people = [sabine, petra, mehmet, jonas, karl, rita, piotr, tim, ali, jana];
  for (const p of people) crews.find((c) => c.id === p.crew)?.people.push(p.id);

  /** @param {typeof sabine} who @param {number} ago @param {Partial<Entry>} more @returns {Entry} */
  const entry = (who, ago, more) => ({
    id: newId(), author: { person: who.id, name: who.name, role: who.role }, own: false, kind: "text", text: null, caption: null,
    reply_to: null, edited: false, retracted: null, time_ms: now - ago, clock: "ok", state: "office", kept_back: null, change_kept_back: null, stuck: null, pending: [],
    waiting: null, photo: null, voice: null, document: null, sealed: null, erased: null, notice: null, ...more,
  });
  let seed = 1;
  /** @param {typeof sabine} who @param {number} ago @param {string} scene @param {Partial<Entry>} more @param {boolean} tall */
  const photo = (who, ago, scene, more = {}, tall = false) => {
    const [width, height] = tall ? [1536, 2048] : [2048, 1536];
    const look = { scene, width, height, seed: seed++ };
    return Object.assign(
      entry(who, ago, {
        kind: "photo",
        photo: { width, height, preview: preview(look), thumb: true, picture: true, original: false, taken_ms: now - ago, camera: "Galaxy A16" },
        ...more,
      }),
      { look },
    );
  };
  /** @param {typeof sabine} who @param {number} ago @param {string} text @param {Partial<Entry>} more */
  const say = (who, ago, text, more = {}) => entry(who, ago, { text, ...more });
  /** @param {string} device @param {number} bytes @param {number} done */
  const original = (device, bytes = 3_900_000, done = 0) => [{ part: /** @type {const} */ ("original"), device_name: device, bytes, done_bytes: done }];

  const KARL = "Handy Karl Huber";
  const CREW3 = "Handy Kolonne 3";
  const question = say(karl, 3 * HOUR + 22 * MIN, "Ortgang gerissen, brauchen 12 Ziegel. Welche waren das, Frankfurter Pfanne oder Doppel-S?");
  const roof = [
    entry(sabine, 6 * DAY, { kind: "notice", notice: { code: "opened", value: null } }),
    entry(sabine, 6 * DAY - MIN, { kind: "notice", notice: { code: "member_in", value: "Kolonne 3" } }),
    say(sabine, 6 * DAY - 5 * MIN, "Frau Lindner meldet nasse Flecken unter der Dachschräge, Südseite. Bitte ansehen, Schlüssel liegt beim Nachbarn (Haus 14)."),
    say(karl, 5 * DAY + 4 * HOUR, "Mach ich Donnerstag früh."),
    entry(sabine, 5 * DAY + 3 * HOUR, { kind: "document", document: { name: "Angebot Lindenweg 12.pdf", type: "application/pdf", bytes: 214_300, here: true } }),
    entry(sabine, 5 * DAY + 2 * HOUR, { kind: "notice", notice: { code: "status", value: "order" } }),
    ...["roof", "roof", "beams", "roof", "wall", "roof", "roof", "beams"].map((scene, i) =>
      photo(karl, 4 * HOUR - i * MIN, scene, {
        caption: i === 0 ? "Ortgang Südseite" : i === 2 ? "Sparren trocken" : null,
        pending: i >= 6 ? original(KARL, 3_900_000, i === 6 ? 1_300_000 : 0) : [],
      }, i === 4 || i === 5),
    ),
    entry(karl, 3 * HOUR + 30 * MIN, { kind: "voice", voice: { duration_ms: 19_000, waveform: waveform(7), type: "audio/mp4", here: true } }),
    question,
    say(sabine, 3 * HOUR, "Frankfurter Pfanne, granit. Ich bestelle 15, dann ist Reserve da.", { reply_to: { id: question.id, author: karl.name, kind: "text", snippet: question.text ?? "" }, state: "office" }),
    say(mehmet, 95 * MIN, "Gerüst steht ab 13 Uhr, wir können dann gleich anfangen.", { clock: "doubt" }),
    entry(jonas, 90 * MIN, { retracted: { reason: "falscher Auftrag" } }),
    photo(mehmet, 70 * MIN, "wall", { caption: "Riss am Giebel, ist das neu? Bitte Frau Lindner fragen, bevor wir verputzen.", state: "office", pending: original(CREW3) }, true),
    entry(tim, 62 * MIN, { kind: "unknown" }),
    entry(jonas, 40 * MIN, { waiting: "key" }),
    entry(sabine, 30 * MIN, { kind: "text", text: "Ziegel kommen Montag 7:30 Uhr. Stellplatz vor dem Haus ist angemeldet.", state: "sent" }),
    say(jonas, 12 * MIN, "Passt. Wir räumen bis dahin den Dachboden frei.\nFrau Lindner will noch wissen, ob das Dachfenster dicht ist."),
  ];
  const cellar = [
    entry(petra, 2 * DAY, { kind: "notice", notice: { code: "opened", value: null } }),
    say(ali, 26 * HOUR, "Rohr im Keller tropft an der Muffe."),
    photo(ali, 26 * HOUR - 2 * MIN, "pipe", { caption: "Muffe undicht" }),
    say(sabine, 25 * HOUR, "Danke, Herr Petersen ist informiert.", { state: "office" }),
  ];

  /** @param {import("../src/lib/api.ts").ThreadKind} kind @param {string} title @param {Partial<MockThread>} more @returns {MockThread} */
  const thread = (kind, title, more) => ({
    id: newId(), kind, title, status: null, customer: null, address: null, entries: [], backlog: [], held: 0, quarantined: 0,
    members: [{ kind: "office", id: newId(), name: "Büro" }], opened_by: sabine.name, opened_ms: now - 6 * DAY, read: new Map(), ...more,
  });
  /** @param {string | undefined} id @param {"crew" | "person"} kind @param {string} name */
  const member = (kind, id, name) => ({ kind, id: id ?? "", name });
  const office = { kind: /** @type {const} */ ("office"), id: newId(), name: "Büro" };
  const threads = [
    thread("job", "Dachsanierung Lindenweg 12", {
      status: "order", customer: "Fam. Lindner", address: "Lindenweg 12, Elmshorn", entries: roof, held: 1,
      backlog: [
        { device: "c0", device_name: KARL, entries: 0, photos: 0, originals: 2, voices: 0, files: 0, gaps: 0, bytes: 7_800_000, since_ms: now - 4 * HOUR },
        { device: "c0", device_name: CREW3, entries: 0, photos: 0, originals: 1, voices: 0, files: 0, gaps: 0, bytes: 3_900_000, since_ms: now - 70 * MIN },
      ],
      members: [office, member("crew", c3, "Kolonne 3"), member("person", karl.id, karl.name)],
    }),
    thread("job", "Rohrbruch Keller Marktstraße 3", {
      status: "done", customer: "Herr Petersen", address: "Marktstraße 3, Uetersen", entries: cellar, members: [office, member("crew", c2, "Kolonne 2")],
    }),
    thread("job", "Fassade Grundschule am Deich, Bauabschnitt 2 (Nordseite)", {
      status: "quote", customer: "Stadt Glückstadt", address: "Am Deich 40, Glückstadt", quarantined: 2,
      entries: [say(rita, 28 * HOUR, "Aufmaß fertig, 184 m² Putz, 22 Fenster."), photo(rita, 27 * HOUR, "wall", {}), say(rita, 5 * HOUR, "Brauche die Farbkarte bis Mittwoch, geht das?")],
      members: [office, member("person", rita.id, rita.name)],
    }),
    thread("crew", "Kolonne 3", { entries: [say(jonas, 8 * HOUR, "Flex ist hin, brauchen morgen eine neue."), say(sabine, 7 * HOUR, "Liegt ab 6:30 Uhr im Lager, Regal 4.", { state: "office" })], members: [office, member("crew", c3, "Kolonne 3")] }),
    thread("job", "Dachfenster Hafenstraße 8", {
      status: "inquiry", customer: "Café Möwe", address: "Hafenstraße 8, Glückstadt",
      entries: [entry(karl, 9 * HOUR, { kind: "voice", voice: { duration_ms: 34_000, waveform: waveform(3), type: "audio/mp4", here: true } })], members: [office, member("person", karl.id, karl.name)],
    }),
    thread("job", "Carport Familie Öztürk", { status: "billed", customer: "Fam. Öztürk", address: "Birkenallee 21, Pinneberg", entries: [say(piotr, 3 * DAY, "Fertig, Abnahme unterschrieben."), entry(piotr, 3 * DAY - MIN, { kind: "document", document: { name: "Abnahme Carport.pdf", type: "application/pdf", bytes: 1_480_000, here: true } })], members: [office, member("crew", c1, "Kolonne 1")] }),
    thread("company", "Alle im Betrieb", { entries: [say(petra, 4 * DAY, "Freitag ab 15 Uhr Grillen auf dem Hof. Bitte sagt bis Mittwoch, wer kommt.")] }),
    thread("job", "Dachrinne Schulweg 5", { status: "paid", customer: "Frau Hansen", address: "Schulweg 5, Itzehoe", entries: [say(jana, 9 * DAY, "Rinne ist dran.")], members: [office, member("crew", c4, "Kolonne 4")] }),
  ];
  /** @type {import("../src/lib/api").Device[]} */
  const devices = [
    { id: newId(), name: "Büro-PC 1", kind: /** @type {const} */ ("office"), this_device: true, people: [sabine.name, petra.name], crew: null, last_contact_ms: now, app_version: "0.1.0", backlog: null, kept_back: 0, locked_seats: [], without_pin: [], ended: null, wiped: null },
    { id: newId(), name: CREW3, kind: /** @type {const} */ ("phone"), this_device: false, people: [mehmet.name, jonas.name], crew: "Kolonne 3", last_contact_ms: now - 12 * MIN, app_version: "0.1.0", backlog: { device: "c0", device_name: CREW3, entries: 0, photos: 0, originals: 1, voices: 0, files: 0, gaps: 0, bytes: 3_900_000, since_ms: now - 70 * MIN }, kept_back: 0, locked_seats: [{ seat: jonas.id, name: jonas.name, locked_ms: now - 9 * MIN, new_wanted: false, wanted: null, wanted_ms: null, used_ms: null, withdrawn_ms: null }], without_pin: [mehmet.name], ended: null, wiped: null },
    { id: newId(), name: KARL, kind: /** @type {const} */ ("phone"), this_device: false, people: [karl.name], crew: null, last_contact_ms: now - 3 * HOUR, app_version: "0.1.0", backlog: { device: "c0", device_name: KARL, entries: 0, photos: 0, originals: 2, voices: 0, files: 0, gaps: 0, bytes: 7_800_000, since_ms: now - 4 * HOUR }, kept_back: 0, locked_seats: [], without_pin: [], ended: null, wiped: null },
    { id: newId(), name: "Handy Kolonne 1", kind: /** @type {const} */ ("phone"), this_device: false, people: [piotr.name, tim.name], crew: "Kolonne 1", last_contact_ms: now - 3 * DAY, app_version: "0.1.0", backlog: null, kept_back: 0, locked_seats: [{ seat: tim.id, name: tim.name, locked_ms: null, new_wanted: true, wanted: newId(), wanted_ms: now - 20 * MIN, used_ms: now - 5 * MIN, withdrawn_ms: null }], without_pin: [], ended: null, wiped: null },
    { id: newId(), name: "Tablet Tresen", kind: /** @type {const} */ ("office"), this_device: false, people: [petra.name], crew: null, last_contact_ms: null, app_version: null, backlog: null, kept_back: 0, locked_seats: [], without_pin: [], ended: null, wiped: null },
    { id: newId(), name: "Handy Tim (alt)", kind: /** @type {const} */ ("phone"), this_device: false, people: [tim.name], crew: null, last_contact_ms: now - 20 * DAY, app_version: "0.1.0", backlog: null, kept_back: 2, locked_seats: [], without_pin: [], ended: { at_once: true }, wiped: { time_ms: now - 2 * DAY, lost: 2 } },
  ];
  return { people, crews, threads, devices, sabine, mehmet, jonas, karl, entry, photo, CREW3 };
}
