// Times, sizes and counts as people say them. Pure: "now" and the language are arguments.
import type { Backlog, Entry, JobStatus, Language, LastLine, PendingPart, Person, RosterEvent, Status } from "./api";
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

/** "noch 3 Fotos auf Handy Kolonne 3" */
export function backlogWords(language: Language, b: Backlog): string {
  return text(language, "still_on", { what: things(language, b), device: b.device_name });
}

/** "noch 3 Fotos", where the device is named beside it. */
export function leftWords(language: Language, b: Backlog): string {
  return text(language, "still_there", { what: things(language, b) });
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

/** "hat Handy Kolonne 3, Jonas Huber aufgenommen", after the name of who did it. */
export function rosterWords(language: Language, event: Pick<RosterEvent, "what">): string {
  if (event.what.length === 0) return text(language, "roster_keys");
  const said = new Map<string, string[]>();
  for (const { code, subject } of event.what) {
    const words = known(language, `roster_${code}`) ?? text(language, "roster_newer");
    said.set(words, [...(said.get(words) ?? []), subject ?? "?"]);
  }
  return [...said].map(([words, names]) => words.replace("{name}", () => names.join(", "))).join("; ");
}

/** Typed names that the company knows already, with who bears them and isn't chosen anyway. */
export function namesakes(typed: readonly string[], people: readonly Person[], chosen: readonly string[]): { name: string; known: Person[] }[] {
  const same = (a: string, b: string) => a.trim().toLowerCase() === b.trim().toLowerCase();
  return typed
    .map((name) => ({ name, known: people.filter((p) => same(p.name, name) && !chosen.includes(p.id)) }))
    .filter(({ known }) => known.length > 0);
}
