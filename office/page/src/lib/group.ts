// From entries to what stands under each other: day lines, the "new" line, and photos of one go side by side.
import type { Entry, Id } from "./api";
import { sameDay } from "./words";

export type Item =
  | { is: "day"; key: string; time_ms: number }
  | { is: "new"; key: string }
  | { is: "entry"; key: string; entry: Entry; follows: boolean }
  | { is: "photos"; key: string; entries: Entry[]; follows: boolean };

/** Photos further apart are two goes. */
const TOGETHER_MS = 10 * 60_000;

function isPlainPhoto(e: Entry): boolean {
  return e.kind === "photo" && e.photo !== null && e.retracted === null && e.waiting === null && e.state !== "stuck" && e.kept_back === null && e.change_kept_back === null;
}

function joins(last: Entry, next: Entry): boolean {
  return (
    isPlainPhoto(last) &&
    isPlainPhoto(next) &&
    next.reply_to === null &&
    last.author.person === next.author.person &&
    last.own === next.own &&
    last.state === next.state &&
    Math.abs(next.time_ms - last.time_ms) <= TOGETHER_MS
  );
}

export function items(entries: readonly Entry[], unreadFrom: Id | null): Item[] {
  const out: Item[] = [];
  let last: Entry | null = null;
  for (const entry of entries) {
    let cut = false;
    if (last === null || !sameDay(last.time_ms, entry.time_ms)) {
      out.push({ is: "day", key: `day-${entry.id}`, time_ms: entry.time_ms });
      cut = true;
    }
    if (entry.id === unreadFrom) {
      out.push({ is: "new", key: "new" });
      cut = true;
    }
    const before = out.at(-1);
    const follows: boolean =
      !cut && last !== null && last.kind !== "notice" && last.author.person === entry.author.person;
    if (!cut && last && joins(last, entry) && before) {
      if (before.is === "photos") before.entries.push(entry);
      else if (before.is === "entry")
        out[out.length - 1] = { is: "photos", key: before.key, entries: [before.entry, entry], follows: before.follows };
    } else {
      out.push({ is: "entry", key: entry.id, entry, follows });
    }
    last = entry;
  }
  return out;
}
