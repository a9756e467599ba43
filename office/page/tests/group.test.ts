import { expect, it } from "vitest";
import type { Entry } from "../src/lib/api";
import { items } from "../src/lib/group";

const MIN = 60_000;
const START = new Date(2026, 10, 24, 9, 0).getTime();
let n = 0;

const entry = (minute: number, more: Partial<Entry> = {}): Entry => ({
  id: String(++n), author: { person: "karl", name: "Karl", role: "foreman" }, own: false, kind: "text", text: "x", caption: null,
  reply_to: null, edited: false, retracted: null, time_ms: START + minute * MIN, clock: "ok", state: "office", kept_back: null, change_kept_back: null, stuck: null,
  pending: [], waiting: null, photo: null, voice: null, document: null, sealed: null, erased: null, notice: null, ...more,
});
const photo = (minute: number, more: Partial<Entry> = {}) =>
  entry(minute, {
    kind: "photo",
    photo: { width: 4, height: 3, preview: null, thumb: true, picture: true, original: false, taken_ms: null, camera: null },
    ...more,
  });
const shape = (entries: Entry[], unread: string | null = null) =>
  items(entries, unread).map((i) => (i.is === "photos" ? `photos ${i.entries.length}` : i.is));

it("puts photos of one go together", () => {
  expect(shape([photo(0), photo(1), photo(2), entry(3)])).toEqual(["day", "photos 3", "entry"]);
});
it("keeps apart what is another go, author, state, a reply, retracted or stuck", () => {
  expect(shape([photo(0), photo(11)])).toEqual(["day", "entry", "entry"]);
  expect(shape([photo(0), photo(1, { author: { person: "mia", name: "Mia", role: "crew" } })])).toEqual(["day", "entry", "entry"]);
  expect(shape([photo(0), photo(1, { state: "saved" })])).toEqual(["day", "entry", "entry"]);
  expect(shape([photo(0), photo(1, { reply_to: { id: "1", author: "a", kind: "text", snippet: "" } })])).toEqual(["day", "entry", "entry"]);
  expect(shape([photo(0), photo(1, { retracted: { reason: null }, photo: null })])).toEqual(["day", "entry", "entry"]);
  expect(shape([photo(0, { state: "stuck" }), photo(1, { state: "stuck" })])).toEqual(["day", "entry", "entry"]);
});
it("draws a line at a new day and where the unread begins", () => {
  const second = photo(1);
  expect(shape([photo(0), second], second.id)).toEqual(["day", "entry", "new", "entry"]);
  expect(shape([entry(0), entry(24 * 60)])).toEqual(["day", "entry", "day", "entry"]);
});
it("has keys that hold when a photo joins", () => {
  const [a, b] = [photo(0), photo(1)];
  expect(items([a], null).at(-1)?.key).toBe(items([a, b], null).at(-1)?.key);
});
it("stands nothing for nothing", () => {
  expect(items([], null)).toEqual([]);
});
