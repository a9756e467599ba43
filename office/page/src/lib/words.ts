// Times, sizes and counts as people say them. Pure: "now" and the language are arguments.
import type { Backlog, Entry, Id, JobStatus, Lack, Language, LastLine, PendingPart, Person, Problem, RosterEvent, RosterWhat, Status, Stuck } from "./api";
import { count, known, text } from "./texts";

const DAY_MS = 86_400_000;

function midnight(ms: number): number {
  const d = new Date(ms);
  return new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();
}

/** Whole calendar days from `ms` to `now`; survives the hour that summer time takes or gives. */
function daysAgo(ms: number, now: number): number {
  return Math.round((midnight(now) - midnight(ms)) / DAY_MS);
}

export function sameDay(a: number, b: number): boolean {
  return midnight(a) === midnight(b);
}

const pad = (n: number): string => String(n).padStart(2, "0");

/** "14:02" */
export function clockTime(ms: number): string {
  const d = new Date(ms);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}`;
}

function shortDate(language: Language, ms: number, now: number): string {
  const d = new Date(ms);
  const otherYear = d.getFullYear() !== new Date(now).getFullYear();
  if (language === "de") return `${d.getDate()}.${d.getMonth() + 1}.${otherYear ? d.getFullYear() : ""}`;
  const month = d.toLocaleDateString("en-GB", { month: "short" });
  return `${d.getDate()} ${month}${otherYear ? ` ${d.getFullYear()}` : ""}`;
}

function weekday(language: Language, ms: number, length: "short" | "long"): string {
  const word = new Date(ms).toLocaleDateString(language === "de" ? "de-DE" : "en-GB", { weekday: length });
  return word.replace(".", "");
}

/** "2026-11-25", as files are named by. */
export function dayName(ms: number): string {
  const d = new Date(ms);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
}

/** "heute 14:02", "Di 14:02", "12.3. 14:02" */
export function when(language: Language, ms: number, now: number): string {
  const days = daysAgo(ms, now);
  if (days === 0) return `${text(language, "today")} ${clockTime(ms)}`;
  if (days > 0 && days < 7) return `${weekday(language, ms, "short")} ${clockTime(ms)}`;
  return `${shortDate(language, ms, now)} ${clockTime(ms)}`;
}

/** For the list: "14:02" today, "gestern", "Di" this week, then "12.3." */
export function whenShort(language: Language, ms: number, now: number): string {
  const days = daysAgo(ms, now);
  if (days === 0) return clockTime(ms);
  if (days === 1) return text(language, "yesterday");
  if (days > 0 && days < 7) return weekday(language, ms, "short");
  return shortDate(language, ms, now);
}

/** The line between two days: "heute", "gestern", "Dienstag, 12.3." */
export function dayLine(language: Language, ms: number, now: number): string {
  const days = daysAgo(ms, now);
  if (days === 0) return text(language, "today");
  if (days === 1) return text(language, "yesterday");
  return `${weekday(language, ms, "long")}, ${shortDate(language, ms, now)}`;
}

/** "1,2 MB"; below 100 kB "0,1 MB" would lie, so kB. */
export function size(language: Language, bytes: number): string {
  if (bytes < 100_000) return `${Math.max(bytes > 0 ? 1 : 0, Math.round(bytes / 1000))} kB`;
  const mb = bytes / 1_000_000;
  return `${mb.toLocaleString(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 })} MB`;
}

/** "0:07", "12:30" */
export function duration(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  return `${Math.floor(s / 60)}:${pad(s % 60)}`;
}

export function statusWord(language: Language, status: JobStatus | string): string {
  return known(language, `status_${status}`) ?? status;
}

/** The first of these that there is any of: what people miss most. */
function things(language: Language, n: Pick<Backlog, "photos" | "originals" | "voices" | "files" | "entries">): string {
  for (const one of ["photos", "voices", "files", "originals"] as const) {
    if (n[one] > 0) return count(language, one, n[one]);
  }
  return count(language, "entries", n.entries);
}

const MISSING = ["photos", "originals", "voices", "files"] as const;
const missingOf = (b: Backlog) => MISSING.reduce((all, kind) => all + b[kind], 0);

/** "1 Foto, 2 Originale, 1 Lücke im Verlauf": all that isn't here of a device. */
export function missingWords(language: Language, b: Backlog): string {
  const words = MISSING.filter((kind) => b[kind] > 0).map((kind) => count(language, kind, b[kind]));
  if (b.gaps > 0) words.push(count(language, "gaps", b.gaps));
  return words.join(", ") || count(language, "entries", b.entries);
}

/** Since when something is missing; null: nobody knows (a hole whose other side isn't here). */
export function since(b: Backlog): number | null {
  return b.since_ms <= Number.MAX_SAFE_INTEGER ? b.since_ms : null;
}

/** "5 min", "2 h", "3 Tagen": after "seit". */
export function age(language: Language, ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  const hours = Math.floor(minutes / 60);
  if (hours < 1) return `${Math.max(1, minutes)}\u00a0min`;
  return hours < 48 ? `${hours}\u00a0h` : text(language, "age_days", { n: Math.floor(hours / 24) });
}

/** "2 Originale fehlen seit 2 h", "1 Lücke im Verlauf seit 5 min" */
export function missingSince(language: Language, b: Backlog, now: number): string {
  const what = missingWords(language, b);
  const from = since(b);
  const values = { what, age: from === null ? "" : age(language, now - from) };
  // A hole isn't missing; it is there.
  if (b.gaps > 0) return from === null ? what : text(language, "gap_since", values);
  return count(language, from === null ? "missing" : "missing_since", missingOf(b) || b.entries, values);
}

/** "Handy Kolonne 3: 2 Originale fehlen seit 2 h" */
export function backlogWords(language: Language, b: Backlog, now: number): string {
  return `${b.device_name}: ${missingSince(language, b, now)}`;
}

/** "noch 3 Fotos auf diesem Handy"; null when all is out. */
export function outboxWords(language: Language, status: Status, phone: boolean): string | null {
  const { photos, originals, voices, files, ops } = status.outbox;
  if (photos + originals + voices + files + ops === 0) return null;
  const what = things(language, { photos, originals, voices, files, entries: ops });
  return text(language, phone ? "still_on_this_phone" : "still_on_this_computer", { what });
}

/** "Original noch hier", "Bild noch auf Handy Kolonne 3 (1,1 von 2,4 MB)" */
export function pendingWords(language: Language, part: PendingPart): string {
  const name = text(language, `part_${part.part}`);
  const base =
    part.device_name === null
      ? text(language, "part_still_here", { part: name })
      : text(language, "part_still_on", { part: name, device: part.device_name });
  if (part.done_bytes <= 0 || part.bytes <= 0) return base;
  return `${base} (${text(language, "bytes_of", { done: size(language, part.done_bytes), all: size(language, part.bytes) })})`;
}

/** Thumb and picture are one "Bild" to people: where both wait in one place, the picture stands for both. */
function seenParts(pending: readonly PendingPart[]): PendingPart[] {
  const larger = (p: PendingPart) => pending.some((q) => q.part === "picture" && q.device_name === p.device_name);
  return pending.filter((p) => p.part !== "thumb" || !larger(p));
}

/** All that is missing of an entry, each thing once. */
export function entryPendingWords(language: Language, pending: readonly PendingPart[]): string[] {
  return seenParts(pending).map((p) => pendingWords(language, p));
}

/** "Bild im Büro" under a photo whose original waits, else "im Büro". */
export function stateWords(language: Language, entry: Pick<Entry, "state" | "kind" | "pending">): string {
  const word = text(language, `state_${entry.state}`);
  const onlyPicture = entry.kind === "photo" && entry.state === "office" && entry.pending.length > 0;
  return onlyPicture ? text(language, "picture_state", { state: word }) : word;
}

/** "3 Bilder im Büro · 2 Originale noch auf Handy Kolonne 3", for photos shown together. */
export function groupPendingWords(language: Language, photos: readonly Pick<Entry, "pending">[]): string[] {
  const places = new Map<string, number>();
  for (const part of photos.flatMap((p) => seenParts(p.pending))) {
    const key = `${part.part === "original" ? "originals" : "pictures"}|${part.device_name ?? ""}`;
    places.set(key, (places.get(key) ?? 0) + 1);
  }
  return [...places].map(([key, n]) => {
    const [kind, device] = key.split("|") as ["originals" | "pictures", string];
    const part = count(language, kind, n);
    return device ? text(language, "part_still_on", { part, device }) : text(language, "part_still_here", { part });
  });
}

/** What a list says of an entry without its picture. */
export function lineWords(language: Language, line: Pick<LastLine, "kind" | "text">): string {
  if (line.kind === "text" || line.kind === "notice") return line.text;
  const kind = text(language, `kind_${line.kind}`);
  return line.text ? `${kind}: ${line.text}` : kind;
}

/** "Jonas (Kolonne → Vorarbeiter)": of whom, and from which role to which. */
function rosterSubject(language: Language, { subject, roles }: RosterWhat): string {
  const name = subject ?? "?";
  if (!roles) return name;
  const [before, after] = [roles.before, roles.after].map((role) => role && text(language, `role_${role}`));
  return `${name} (${before ? `${before} → ${after}` : after})`;
}

/** Which words: an end says how. */
function rosterKey({ code, at_once }: RosterWhat): string {
  if (code !== "ended" || at_once === undefined) return `roster_${code}`;
  return at_once ? "roster_ended_now" : "roster_ended_peace";
}

/** "hat Handy Kolonne 3, Jonas Huber aufgenommen", after the name of who did it. */
export function rosterWords(language: Language, event: Pick<RosterEvent, "what">): string {
  if (event.what.length === 0) return text(language, "roster_keys");
  const said = new Map<string, string[]>();
  for (const what of event.what) {
    const words = known(language, rosterKey(what)) ?? text(language, "roster_newer");
    said.set(words, [...(said.get(words) ?? []), rosterSubject(language, what)]);
  }
  return [...said].map(([words, names]) => words.replace("{name}", () => names.join(", "))).join("; ");
}

/** What hangs fast of one entry; all that nobody wrote by hand is one group. */
export interface StuckGroup {
  key: Id;
  all: Stuck[];
  first: Stuck;
  bytes: number;
  /** Each reason once. */
  whys: Problem[];
  mayExport: boolean;
  mayDiscard: boolean;
}

/** In the order in which they came. */
export function stuckGroups(stuck: readonly Stuck[]): StuckGroup[] {
  const groups = new Map<Id, StuckGroup>();
  for (const one of stuck) {
    const key = one.entry ?? "";
    const group = groups.get(key) ?? { key, all: [], first: one, bytes: 0, whys: [], mayExport: false, mayDiscard: false };
    groups.set(key, group);
    group.all.push(one);
    group.bytes += one.bytes;
    if (!group.whys.some((said) => said.message_de === one.said.message_de)) group.whys.push(one.said);
    group.mayExport = one.may_export;
    group.mayDiscard ||= one.may_discard;
  }
  return [...groups.values()];
}

/** "Foto (Bild, Original)", "Text", "2 Schlüssel und Vermerke" */
export function stuckWords(language: Language, { all, first }: StuckGroup): string {
  if (first.kind === null) return count(language, "others", all.length);
  const kind = known(language, `kind_${first.kind}`) ?? text(language, "kind_text");
  const parts = new Set(all.flatMap(({ part }) => (part === "thumb" || part === "picture" || part === "original" ? [text(language, `part_${part}`)] : [])));
  return parts.size > 0 ? `${kind} (${[...parts].join(", ")})` : kind;
}

/** What its author changed about an entry and the others don't see (yet). */
export function changeWords(language: Language, change: NonNullable<Entry["change_kept_back"]>): string {
  const until = text(language, `change_let_in_${change.let_in_by}`);
  if (change.text === null) return text(language, "change_kept_back_gone", { until });
  return text(language, "change_kept_back", { text: change.text, until });
}

/** "3 Fotos", "1 davon hängt fest", or a whole sentence. */
export function lackWords(language: Language, { what, n }: Lack): string {
  if (what === "contact" || what === "new_hub") return text(language, `hand_back_${what}`);
  return what === "stuck" ? count(language, "hand_back_stuck", n) : count(language, what, n);
}

/** Typed names that the company knows already, with who bears them and isn't chosen anyway. */
export function namesakes(typed: readonly string[], people: readonly Person[], chosen: readonly string[]): { name: string; known: Person[] }[] {
  const same = (a: string, b: string) => a.trim().toLowerCase() === b.trim().toLowerCase();
  return typed
    .map((name) => ({ name, known: people.filter((p) => same(p.name, name) && !chosen.includes(p.id)) }))
    .filter(({ known }) => known.length > 0);
}
