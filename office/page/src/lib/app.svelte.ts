// What the whole page shares: who is here, the language, the address, and the stream of changes.
import type { Changed, Id, Language, Me, Problem } from "./api";
import { api, problemOf, readEvents, takeToken } from "./client";
import { browserLanguage, count, text, type CountKey, type TextKey, type Values } from "./texts";

const LANGUAGE_KEY = "kolonne.language";

export type Route = { at: "threads" } | { at: "thread"; id: Id } | { at: "devices" };

export function routeOf(hash: string): Route {
  const thread = /^#\/thread\/([0-9a-f]+)$/.exec(hash);
  if (thread?.[1]) return { at: "thread", id: thread[1] };
  return hash === "#/devices" ? { at: "devices" } : { at: "threads" };
}

type Listener = (touches: (key: string) => boolean) => void;

class App {
  me = $state.raw<Me | null>(null);
  gate = $state<"starting" | "no_token" | "ended" | "ready">("starting");
  /** Why nothing new comes in; null while the stream runs. */
  gone = $state.raw<Problem | null>(null);
  route = $state.raw<Route>({ at: "threads" });
  chosen = $state<Language | null>(null);
  now = $state(Date.now());
  /** The entry of the open thread that somebody asked to erase: the question outlives its menu. */
  erasing = $state<Id | null>(null);
  /** Somebody looks at what hangs fast. */
  stuck = $state(false);
  #listeners = new Set<Listener>();

  language = $derived<Language>(this.chosen ?? this.me?.language ?? browserLanguage(navigator.languages));
  phone = $derived(this.me?.surface === "phone");
  seat = $derived(this.me?.seats.find((s) => s.active) ?? null);

  async start(): Promise<void> {
    const stored = localStorage.getItem(LANGUAGE_KEY);
    if (stored === "de" || stored === "en") this.chosen = stored;
    if (!takeToken()) {
      this.gate = "no_token";
      return;
    }
    this.route = routeOf(location.hash);
    addEventListener("hashchange", () => {
      // The program was started again and its new address opened in this tab: begin anew with that token.
      if (location.hash.startsWith("#t=") && takeToken()) location.reload();
      this.route = routeOf(location.hash);
    });
    setInterval(() => (this.now = Date.now()), 20_000);
    this.onChange((touches) => touches("me") && void this.loadMe());
    await this.#listen();
  }

  async loadMe(): Promise<void> {
    try {
      this.me = await api.me();
      this.gate = "ready";
    } catch (e) {
      this.#failed(problemOf(e));
    }
  }

  #failed(problem: Problem): void {
    if (problem.code === "token") this.gate = "no_token";
    // Shut out: what was on the screen goes too.
    else if (problem.code === "not_allowed") [this.gate, this.gone, this.me] = ["ended", problem, null];
    else this.gone = problem;
  }

  /** Reads the stream for ever; after a break it waits 1, 2, 4, 8 s and starts with "everything". */
  async #listen(): Promise<void> {
    for (let wait = 1000; ; wait = Math.min(wait * 2, 8000)) {
      try {
        await readEvents(new AbortController().signal, (c) => {
          this.gone = null;
          wait = 500;
          this.#changed(c);
        });
      } catch (e) {
        this.#failed(problemOf(e));
        if (this.gate === "no_token" || this.gate === "ended") return;
      }
      await new Promise((done) => setTimeout(done, wait));
    }
  }

  #changed({ keys }: Changed): void {
    const all = keys.includes("everything");
    for (const listener of this.#listeners) listener((key) => all || keys.includes(key));
  }

  /** Returns the way to stop; made for $effect. */
  onChange(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #told_used_ms = 0;
  /** Somebody works here: the seat's time until it locks begins anew. Told at most twice a minute. */
  used(): void {
    const seat = this.seat;
    if (!seat?.has_pin || seat.locked || Date.now() - this.#told_used_ms < 30_000) return;
    this.#told_used_ms = Date.now();
    api.used(seat.seat).catch(() => void this.loadMe());
  }

  say(language: Language): void {
    this.chosen = language;
    localStorage.setItem(LANGUAGE_KEY, language);
  }
}

export const app = new App();

export const t = (key: TextKey, values?: Values): string => text(app.language, key, values);
export const tn = (key: CountKey, n: number, values?: Values): string => count(app.language, key, n, values);
export const message = (p: Problem): string => (app.language === "de" ? p.message_de : p.message_en);
