// Pictures and sound as blob: URLs, fetched once, kept while there is room, revoked when they go.
import type { Id, Part } from "./api";
import { api } from "./client";

const KEPT = 160;
const urls = new Map<string, Promise<string>>();
const users = new Map<string, number>();

function trim(): void {
  for (const [key, url] of urls) {
    if (urls.size <= KEPT) return;
    if (users.get(key)) continue;
    urls.delete(key);
    url.then(URL.revokeObjectURL, () => undefined);
  }
}

/** The URL, and what to call when it is no longer shown. */
export function hold(entry: Id, part: Part): { url: Promise<string>; release: () => void } {
  const key = `${entry}/${part}`;
  let url = urls.get(key);
  if (url) urls.delete(key);
  else {
    url = api.media(entry, part).then((blob) => URL.createObjectURL(blob));
    url.catch(() => urls.delete(key));
  }
  urls.set(key, url);
  users.set(key, (users.get(key) ?? 0) + 1);
  let held = true;
  return {
    url,
    release: () => {
      if (!held) return;
      held = false;
      const left = (users.get(key) ?? 1) - 1;
      if (left > 0) users.set(key, left);
      else users.delete(key);
      trim();
    },
  };
}

export async function download(entry: Id, part: Part, name: string): Promise<void> {
  save(await api.media(entry, part), name);
}

/** Hands the file to the browser's own "save". */
export function save(file: Blob, name: string): void {
  const url = URL.createObjectURL(file);
  const a = document.createElement("a");
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
