import { describe, expect, it } from "vitest";
import type { PendingPart, Person, Stuck } from "../src/lib/api";
import { browserLanguage, known, text } from "../src/lib/texts";
import type { Status } from "../src/lib/api";
import { backlogWords, dayLine, duration, entryPendingWords, groupPendingWords, lackWords, lineWords, missingSince, namesakes, outboxWords, pendingWords, rosterWords, size, stateWords, statusWord, stuckGroups, stuckWords, when, whenShort } from "../src/lib/words";

const at = (month: number, day: number, hour: number, minute = 0, year = 2026) => new Date(year, month - 1, day, hour, minute).getTime();
const NOW = at(11, 24, 15, 20); // a Tuesday

describe("times", () => {
  it("says today, weekday, date, and the year only when it is another", () => {
    expect(when("de", at(11, 24, 14, 2), NOW)).toBe("heute 14:02");
    expect(when("en", at(11, 24, 0, 0), NOW)).toBe("today 00:00");
    expect(when("de", at(11, 23, 23, 59), NOW)).toBe("Mo 23:59");
    expect(when("de", at(11, 18, 14, 2), NOW)).toBe("Mi 14:02");
    expect(when("de", at(11, 17, 14, 2), NOW)).toBe("17.11. 14:02");
    expect(when("de", at(3, 12, 14, 2), NOW)).toBe("12.3. 14:02");
    expect(when("en", at(3, 12, 14, 2), NOW)).toBe("12 Mar 14:02");
    expect(when("de", at(12, 31, 14, 2, 2025), NOW)).toBe("31.12.2025 14:02");
  });
  it("shows a time ahead of this clock with its date, never as a weekday past", () => {
    expect(when("de", at(11, 26, 8, 0), NOW)).toBe("26.11. 08:00");
  });
  it("counts days over a change to summer time", () => {
    expect(when("de", at(3, 28, 12, 0), at(3, 29, 12, 0))).toBe("Sa 12:00");
  });
  it("is shorter in the list and longer between days", () => {
    expect(whenShort("de", at(11, 24, 9, 5), NOW)).toBe("09:05");
    expect(whenShort("de", at(11, 23, 9, 5), NOW)).toBe("gestern");
    expect(whenShort("de", at(11, 20, 9, 5), NOW)).toBe("Fr");
    expect(dayLine("de", at(11, 23, 9), NOW)).toBe("gestern");
    expect(dayLine("de", at(11, 19, 9), NOW)).toBe("Donnerstag, 19.11.");
    expect(dayLine("en", at(11, 19, 9), NOW)).toBe("Thursday, 19 Nov");
  });
  it("says how long a voice note is", () => {
    expect([0, 7_400, 65_000, 750_000].map(duration)).toEqual(["0:00", "0:07", "1:05", "12:30"]);
  });
});

describe("sizes", () => {
  it("has one digit and a unit, and no 0 for something", () => {
    expect(size("de", 3_940_000)).toBe("3,9 MB");
    expect(size("en", 3_940_000)).toBe("3.9 MB");
    expect(size("de", 120)).toBe("1 kB");
    expect(size("de", 0)).toBe("0 kB");
  });
});

describe("what hangs fast", () => {
  const said = { code: "stuck", message_de: "Fehlt.", message_en: "Missing." };
  const stuck = (more: Partial<Stuck>): Stuck => ({ id: "1", kind: "photo", part: null, entry: "e0", thread: "t", title: "Dach", why: "missing", said, tries_again: false, may_discard: false, may_export: true, since_ms: 0, bytes: 0, ...more });

  it("is one thing for each entry, its reason said once, and keys by themselves", () => {
    const all = [stuck({ id: "1", part: "thumb", bytes: 2, may_discard: true }), stuck({ id: "2", part: "picture", bytes: 3 }), stuck({ id: "3", part: "original", bytes: 5 }), stuck({ id: "4", kind: "text", entry: "e1" }), stuck({ id: "5", kind: null, entry: null, may_export: false })];
    const groups = stuckGroups(all);
    expect(groups.map((g) => stuckWords("de", g))).toEqual(["Foto (Bild, Original)", "Text", "1 Schlüssel oder Vermerk"]);
    expect(groups.map((g) => [g.bytes, g.whys.length, g.mayExport, g.mayDiscard])).toEqual([[10, 1, true, true], [0, 1, true, false], [0, 1, false, false]]);
    // Only who it is for opens what is sealed.
    expect(stuckGroups([stuck({ kind: "sealed", part: "sealed", may_discard: true, may_export: false })])[0]?.mayExport).toBe(false);
  });
  it("keeps a device from being given away, in words", () => {
    expect([{ what: "originals", n: 2 } as const, { what: "others", n: 1 } as const, { what: "stuck", n: 3 } as const].map((lack) => lackWords("de", lack))).toEqual(["2 Originale", "1 Schlüssel oder Vermerk", "3 davon hängen fest"]);
    expect(lackWords("en", { what: "contact", n: 1 })).toMatch(/hasn't answered/);
  });
});

describe("what waits where", () => {
  const original = (device_name: string | null, done_bytes = 0): PendingPart => ({ part: "original", device_name, bytes: 3_900_000, done_bytes });
  const backlog = { device: "c0", device_name: "Handy Kolonne 3", entries: 5, photos: 3, originals: 4, voices: 0, files: 0, gaps: 0, bytes: 1, since_ms: 0 };

  it("says all that is missing from a device, and since when", () => {
    const hours = (h: number) => backlog.since_ms + h * 3_600_000;
    expect(backlogWords("de", backlog, hours(2))).toBe("Handy Kolonne 3: 3 Fotos, 4 Originale fehlen seit 2\u00a0h");
    expect(backlogWords("de", { ...backlog, photos: 0, originals: 1 }, hours(0.1))).toBe("Handy Kolonne 3: 1 Original fehlt seit 6\u00a0min");
    expect(missingSince("en", { ...backlog, photos: 1, originals: 0, voices: 2, files: 1 }, hours(72))).toBe("1 photo, 2 voice notes, 1 file missing for 3 days");
    // A hole whose other side isn't here has no time, and no number says one.
    const hole = { ...backlog, photos: 0, originals: 0, gaps: 1, since_ms: 18_446_744_073_709_552_000 };
    expect(missingSince("de", hole, hours(1))).toBe("1 Lücke im Verlauf");
  });
  it("says nothing when nothing waits", () => {
    const status: Status = { hub: "flight", last_contact_ms: null, new_hub: null, roster_confirmed_ms: null, roster_stale: false, alarms: [], outbox: { ops: 3, photos: 3, originals: 3, voices: 0, files: 0, bytes: 9, stuck: 0 } };
    expect(outboxWords("de", status, true)).toBe("noch 3 Fotos auf diesem Handy");
    const nothing = { ops: 0, photos: 0, originals: 0, voices: 0, files: 0, bytes: 0, stuck: 0 };
    expect(outboxWords("de", { ...status, outbox: nothing }, true)).toBeNull();
    // A recording or a file whose words are at the hub is still here.
    expect(outboxWords("de", { ...status, outbox: { ...nothing, voices: 1 } }, true)).toBe("noch 1 Sprachnotiz auf diesem Handy");
    expect(outboxWords("en", { ...status, outbox: { ...nothing, files: 2 } }, false)).toBe("2 files still on this PC");
  });
  it("names the part and its place, and bytes only once some have gone", () => {
    expect(pendingWords("de", original(null))).toBe("Original noch hier");
    expect(pendingWords("de", original("Handy Karl", 1_300_000))).toBe("Original noch auf Handy Karl (1,3 MB von 3,9 MB)");
  });
  it("says each thing once: a photo that hasn't left at all is one picture and its original", () => {
    const part = (name: "thumb" | "picture"): PendingPart => ({ ...original(null), part: name });
    const all = [part("thumb"), part("picture"), original(null)];
    expect(entryPendingWords("de", all)).toEqual(["Bild noch hier", "Original noch hier"]);
    expect(entryPendingWords("de", [part("thumb")])).toEqual(["Bild noch hier"]);
    expect(groupPendingWords("de", [{ pending: all }, { pending: all }])).toEqual(["2 Bilder noch hier", "2 Originale noch hier"]);
  });
  it("sums up photos that are shown together", () => {
    const photos = [{ pending: [original("Handy Karl")] }, { pending: [original("Handy Karl")] }, { pending: [original(null)] }];
    expect(groupPendingWords("de", photos)).toEqual(["2 Originale noch auf Handy Karl", "1 Original noch hier"]);
  });
});

describe("states", () => {
  it("are the same four words everywhere", () => {
    const word = (state: "saved" | "sent" | "office" | "stuck") => stateWords("de", { state, kind: "text", pending: [] });
    expect([word("saved"), word("sent"), word("office"), word("stuck")]).toEqual(["gesichert", "übertragen", "im Büro", "hängt fest"]);
  });
  it("promise only the picture while the original waits", () => {
    const pending: PendingPart[] = [{ part: "original", device_name: null, bytes: 1, done_bytes: 0 }];
    expect(stateWords("de", { state: "office", kind: "photo", pending })).toBe("Bild im Büro");
    expect(stateWords("de", { state: "saved", kind: "photo", pending })).toBe("gesichert");
  });
});

describe("tables", () => {
  it("know statuses and show a company's own as it is", () => {
    expect(statusWord("de", "billed")).toBe("abgerechnet");
    expect(statusWord("de", "Gewährleistung")).toBe("Gewährleistung");
  });
  it("don't mistake what objects inherit for a word", () => {
    expect(known("de", "constructor")).toBeNull();
    expect(known("de", "__proto__")).toBeNull();
  });
  it("leave content as it is, braces and all", () => {
    expect(text("de", "retracted_because", { reason: "{reason} $& {name}" })).toBe("Zurückgezogen: {reason} $& {name}");
  });
  it("name a kind before its words", () => {
    expect(lineWords("de", { kind: "photo", text: "Ortgang" })).toBe("Foto: Ortgang");
    expect(lineWords("de", { kind: "voice", text: "" })).toBe("Sprachnotiz");
  });
  it("follow the browser, German when it speaks neither", () => {
    expect(browserLanguage(["en-GB", "de"])).toBe("en");
    expect(browserLanguage(["pl", "de-AT", "en"])).toBe("de");
    expect(browserLanguage(["tr"])).toBe("de");
  });
});

describe("people", () => {
  it("are one to ask about when a typed name is theirs", () => {
    const person = (id: string, name: string): Person => ({ id, name, role: "crew", crew: null, seats: 1 });
    const people = [person("1", "Jonas Huber"), person("2", "jonas huber"), person("3", "Ali")];
    expect(namesakes(["Jonas huber", "Neue"], people, []).map((one) => one.known.map((p) => p.id))).toEqual([["1", "2"]]);
    expect(namesakes(["Jonas Huber"], people, ["1", "2"])).toEqual([]);
  });
  it("and rights have a history in plain sentences", () => {
    const what = [{ code: "device", subject: "Handy 3" }, { code: "person", subject: "Jonas {name} $&" }, { code: "kit", subject: null }];
    expect(rosterWords("de", { what })).toBe("hat Handy 3, Jonas {name} $& aufgenommen; hat den Notfallbogen ersetzt");
    const role = (before: "crew" | null) => [{ code: "role", subject: "Jonas", roles: { before, after: "foreman" as const } }];
    expect(rosterWords("de", { what: role("crew") })).toBe("hat Jonas (Kolonne → Vorarbeiter) eine andere Rolle gegeben");
    expect(rosterWords("en", { what: role(null) })).toBe("gave Jonas (Foreman) another role");
    const ended = (at_once: boolean) => [{ code: "ended", subject: "Handy 3", at_once }];
    expect(rosterWords("de", { what: [...ended(true), ...ended(false)] })).toBe("hat Handy 3 ab sofort gesperrt; hat Handy 3 in Ruhe den Zugang beendet");
    expect(rosterWords("en", { what: [] })).toBe("renewed keys");
    expect(rosterWords("de", { what: [{ code: "of_tomorrow", subject: null }] })).toContain("neuere Version");
  });
});
