// Files on their way from this page into the program. Each waits here until the program says that it is on disk; what
// failed stays, with its reason, until somebody tries again or drops it.
import type { Id, Me, NewFile, Problem, Seat } from "./api";
import { api, draftId, problemOf, tooLarge } from "./client";

export interface Outgoing {
  draft_id: Id;
  thread: Id;
  /** Who wrote it, by name. */
  author: string;
  file: File;
  entry: NewFile;
  done_bytes: number;
  problem: Problem | null;
}

export function kindOf(file: Pick<File, "type" | "name">): NewFile["kind"] {
  if (/^image\/(jpeg|png|webp|heic|heif|gif|avif)$/.test(file.type) || /\.(jpe?g|hei[cf])$/i.test(file.name)) return "photo";
  if (file.type.startsWith("audio/")) return "voice";
  return file.type.startsWith("video/") ? "video" : "document";
}

/** Photos and voice notes have a smaller limit than other files. */
function tooLargeFor(kind: NewFile["kind"], bytes: number, limits: Pick<Me["limits"], "media_bytes" | "file_bytes"> | null): Problem | null {
  if (!limits) return null;
  const limit_bytes = kind === "photo" || kind === "voice" ? limits.media_bytes : limits.file_bytes;
  return bytes > limit_bytes ? tooLarge(limit_bytes) : null;
}

class Queue {
  list = $state<Outgoing[]>([]);
  #running = false;

  /** Resolves when all of these are on disk or have failed with their reason on the screen. */
  async add(
    thread: Id,
    seat: Pick<Seat, "seat" | "name">,
    files: readonly File[],
    caption: string,
    replyTo: Id | null,
    limits: Pick<Me["limits"], "media_bytes" | "file_bytes"> | null,
  ): Promise<void> {
    for (const file of files) {
      const draft_id = draftId();
      const entry: NewFile = { kind: kindOf(file), name: file.name, caption, reply_to: replyTo, seat: seat.seat, draft_id };
      this.list.push({ draft_id, thread, author: seat.name, file, entry, done_bytes: 0, problem: tooLargeFor(entry.kind, file.size, limits) });
    }
    await this.run();
  }

  async run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (let next = this.#next(); next; next = this.#next()) {
      const item = next;
      try {
        await api.file(item.thread, item.entry, item.file, (n) => (item.done_bytes = n));
        this.drop(item.draft_id);
      } catch (e) {
        item.problem = problemOf(e);
      }
    }
    this.#running = false;
  }

  #next(): Outgoing | undefined {
    return this.list.find((o) => o.problem === null);
  }

  again(id: Id): void {
    const item = this.list.find((o) => o.draft_id === id);
    if (item) item.problem = null;
    void this.run();
  }

  /** What can't be shown as a photo or voice note can still be handed on. */
  asFile(id: Id): void {
    const item = this.list.find((o) => o.draft_id === id);
    if (item) item.entry = { ...item.entry, kind: "document" };
    this.again(id);
  }

  drop(id: Id): void {
    this.list = this.list.filter((o) => o.draft_id !== id);
  }
}

export const outgoing = new Queue();
