// The open thread: its head and the entries loaded so far. It asks again when the program says that something changed,
// and never drops what it shows while an answer is on its way.
import type { Entry, Id, Problem, Thread } from "./api";
import { api, problemOf } from "./client";

const PAGE = 60;
const MOST = 500;

export class OpenThread {
  head = $state.raw<Thread | null>(null);
  entries = $state.raw<Entry[]>([]);
  before = $state<Id | null>(null);
  /** Where "new" stood when the thread was opened; it stays there while it is read. */
  unreadFrom = $state<Id | null>(null);
  held = $state(0);
  quarantined = $state(0);
  problem = $state.raw<Problem | null>(null);
  loaded = $state(false);
  #busy = false;
  #again = false;
  #read: Id | null = null;

  constructor(readonly id: Id) {}

  async load(): Promise<void> {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    try {
      const limit = Math.min(MOST, Math.max(PAGE, this.entries.length));
      const [head, page] = await Promise.all([api.thread(this.id), api.entries(this.id, null, limit)]);
      this.head = head;
      const first = page.entries[0];
      const keep = first ? this.entries.findIndex((e) => e.id === first.id) : -1;
      this.entries = keep > 0 ? [...this.entries.slice(0, keep), ...page.entries] : page.entries;
      if (keep <= 0) this.before = page.before;
      if (!this.loaded) this.unreadFrom = page.unread_from;
      this.held = page.held;
      this.quarantined = page.quarantined;
      this.problem = null;
      this.loaded = true;
    } catch (e) {
      this.problem = problemOf(e);
    } finally {
      this.#busy = false;
    }
    if (this.#again) {
      this.#again = false;
      await this.load();
    }
  }

  async earlier(): Promise<boolean> {
    if (this.before === null || this.#busy) return false;
    this.#busy = true;
    try {
      const page = await api.entries(this.id, this.before, PAGE);
      this.before = page.before;
      this.entries = [...page.entries, ...this.entries];
      return page.entries.length > 0;
    } catch (e) {
      this.problem = problemOf(e);
      return false;
    } finally {
      this.#busy = false;
    }
  }

  /** Loads backwards until the entry is here. */
  async reach(entry: Id): Promise<boolean> {
    while (!this.entries.some((e) => e.id === entry)) if (!(await this.earlier())) return false;
    return true;
  }

  async markRead(): Promise<void> {
    const last = this.entries.at(-1);
    if (!last || this.#read === last.id || (this.head?.unread ?? 0) === 0) return;
    this.#read = last.id;
    // A lost mark is asked again at the next entry; nobody needs to be told.
    await api.read(this.id, last.id).catch(() => (this.#read = null));
  }
}
