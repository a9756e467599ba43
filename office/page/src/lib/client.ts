// One way to the program on this computer: the token on every request, and every failure as a Problem in whole sentences.
import type {
  Backup,
  Changed,
  Created,
  Devices,
  EndHow,
  EntryPage,
  Erased,
  EraseReason,
  Erasure,
  HandBack,
  Id,
  Invite,
  KeptBack,
  Me,
  MemberChange,
  NewFile,
  NewHub,
  NewInvite,
  NewJob,
  NewSealed,
  NewText,
  Part,
  People,
  Problem,
  Role,
  RosterEvent,
  Stuck,
  Thread,
  ThreadChange,
  ThreadPage,
} from "./api";
import { text, type TextKey } from "./texts";
import { size } from "./words";

const TOKEN_KEY = "kolonne.token";

/** Takes the token out of the address, so that it stays out of history and screenshots. */
export function takeToken(): boolean {
  const found = /^#t=([\w-]+)$/.exec(location.hash);
  if (found?.[1]) {
    sessionStorage.setItem(TOKEN_KEY, found[1]);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(TOKEN_KEY) !== null;
}

const bearer = (): string => `Bearer ${sessionStorage.getItem(TOKEN_KEY) ?? ""}`;

export class Failure extends Error {
  constructor(readonly problem: Problem) {
    super(problem.code);
  }
}

function own(code: "program_gone" | "bad_answer"): Failure {
  const key: TextKey = `problem_${code}`;
  return new Failure({ code, message_de: text("de", key), message_en: text("en", key) });
}

/** Known before a byte is read. */
export function tooLarge(limit_bytes: number): Problem {
  const words = (language: "de" | "en") => text(language, "problem_too_large", { limit: size(language, limit_bytes) });
  return { code: "too_big", message_de: words("de"), message_en: words("en") };
}

export function problemOf(error: unknown): Problem {
  return error instanceof Failure ? error.problem : own("bad_answer").problem;
}

function failureFrom(body: string): Failure {
  try {
    const problem = (JSON.parse(body) as { error?: Problem }).error;
    if (problem?.code && problem.message_de && problem.message_en) return new Failure(problem);
  } catch {
    // Not our JSON: said below.
  }
  return own("bad_answer");
}

async function ask(method: string, path: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      ...init,
      method,
      headers: { ...init.headers, Authorization: bearer() },
      cache: "no-store",
      credentials: "omit",
    });
  } catch (e) {
    if (init.signal?.aborted) throw e;
    throw own("program_gone");
  }
  if (!answer.ok) throw failureFrom(await answer.text());
  return answer;
}

async function json<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  return (await (await ask(method, path, init)).json()) as T;
}

/** A file with the name that it came with. */
async function named(method: string, path: string): Promise<{ blob: Blob; name: string }> {
  const answer = await ask(method, path);
  const name = /filename\*=UTF-8''([^;]+)/.exec(answer.headers.get("content-disposition") ?? "");
  return { blob: await answer.blob(), name: decodeURIComponent(name?.[1] ?? "") };
}

function query(values: Record<string, string | number | null | undefined>): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(values)) if (v !== null && v !== undefined && v !== "") q.set(k, String(v));
  return q.size ? `?${q}` : "";
}

export function draftId(): Id {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

/** XHR because fetch has no progress of what goes out; a 200 MB file deserves one. */
function sendFile(path: string, file: Blob, progress: (done: number) => void): Promise<Created> {
  return new Promise((resolve, reject) => {
    const x = new XMLHttpRequest();
    x.open("POST", path);
    x.setRequestHeader("Authorization", bearer());
    x.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    x.upload.onprogress = (e) => progress(e.loaded);
    x.onerror = () => reject(own("program_gone"));
    x.onload = () => {
      if (x.status >= 400) return reject(failureFrom(x.responseText));
      try {
        return resolve(JSON.parse(x.responseText) as Created);
      } catch {
        return reject(own("bad_answer"));
      }
    };
    x.send(file);
  });
}

export const api = {
  me: () => json<Me>("GET", "/api/me"),
  seat: (seat: Id, pin: string | null = null) => json<Me>("POST", "/api/seat", { seat, pin }),
  setPin: (seat: Id, old: string | null, pin: string) => json<Me>("POST", "/api/seat/pin", { seat, old, new: pin }),
  /** Whether it may be chosen; nothing is set by it. */
  checkPin: (pin: string) => json<object>("POST", "/api/pin/check", { pin }),
  /** Asks the office for a new seat under this PIN. */
  forgotten: (seat: Id, pin: string) => json<Me>("POST", "/api/seat/forgotten", { seat, pin }),
  used: (seat: Id) => json<object>("POST", "/api/seat/used", { seat }),
  lock: () => json<Me>("POST", "/api/lock", {}),
  flight: (on: boolean) => json<Me>("POST", "/api/flight", { on }),
  sync: () => json<object>("POST", "/api/sync", {}),
  threads: (words: string, cursor: string | null) => json<ThreadPage>("GET", `/api/threads${query({ query: words, cursor })}`),
  newJob: (job: NewJob) => json<Created>("POST", "/api/jobs", job),
  thread: (id: Id) => json<Thread>("GET", `/api/threads/${id}`),
  change: (id: Id, change: ThreadChange) => json<object>("PATCH", `/api/threads/${id}`, change),
  members: (id: Id, change: MemberChange) => json<object>("POST", `/api/threads/${id}/members`, change),
  entries: (id: Id, before: Id | null, limit: number) =>
    json<EntryPage>("GET", `/api/threads/${id}/entries${query({ before, limit })}`),
  say: (id: Id, entry: NewText) => json<Created>("POST", `/api/threads/${id}/entries`, entry),
  file: (id: Id, entry: NewFile, file: Blob, progress: (done: number) => void) =>
    sendFile(`/api/threads/${id}/files${query({ ...entry })}`, file, progress),
  seal: (id: Id, entry: NewSealed, file: Blob) =>
    sendFile(`/api/threads/${id}/sealed${query({ ...entry })}`, file, () => undefined),
  /** Never cached, never among the kept pictures. */
  sealed: (entry: Id) => named("GET", `/media/${entry}/sealed`),
  caption: (entry: Id, words: string) => json<object>("POST", `/api/entries/${entry}/caption`, { text: words }),
  retract: (entry: Id, reason: string) => json<object>("POST", `/api/entries/${entry}/retract`, { reason }),
  read: (id: Id, upTo: Id) => json<object>("POST", `/api/threads/${id}/read`, { up_to: upTo }),
  media: async (entry: Id, part: Part, signal?: AbortSignal) =>
    (await ask("GET", `/media/${entry}/${part}`, signal ? { signal } : {})).blob(),
  erase: (thread: Id, entries: Id[], reason: EraseReason) =>
    json<Erased>("POST", `/api/threads/${thread}/erase`, { entries, reason }),
  erasures: async () => (await json<{ erasures: Erasure[] }>("GET", "/api/erasures")).erasures,
  direct: (people: Id[]) => json<Created>("POST", "/api/direct", { people }),
  unlockSeat: (seat: Id) => json<object>("POST", `/api/seats/${seat}/unlock`, {}),
  renewSeat: (seat: Id, wanted: Id) => json<object>("POST", `/api/seats/${seat}/renew`, { wanted }),
  checkKit: (kit: string) => json<object>("POST", "/api/kit/check", { kit }),
  backup: () => json<Backup>("GET", "/api/backup"),
  beginBackup: () => json<Backup>("POST", "/api/backup", {}),
  backupFile: async () => (await ask("GET", "/api/backup/file")).blob(),
  hub: () => json<{ hub_url: string; new_hub: NewHub | null }>("GET", "/api/hub"),
  certifyHub: (key: string) => json<object>("POST", "/api/hub/certify", { key }),
  stuck: async () => (await json<{ stuck: Stuck[] }>("GET", "/api/stuck")).stuck,
  retryStuck: (id: Id) => json<object>("POST", `/api/stuck/${id}/retry`, {}),
  stuckFile: (id: Id) => named("GET", `/api/stuck/${id}/file`),
  discardStuck: (id: Id, reason: string) => json<object>("POST", `/api/stuck/${id}/discard`, { reason }),
  putAwayAlarm: (id: string) => json<object>("POST", "/api/alarms/put-away", { id }),
  handBack: () => json<HandBack>("GET", "/api/hand-back"),
  people: () => json<People>("GET", "/api/people"),
  devices: () => json<Devices>("GET", "/api/devices"),
  endDevice: (id: Id, how: EndHow) => json<object>("POST", `/api/devices/${id}/end`, { how }),
  endPerson: (id: Id, how: EndHow) => json<object>("POST", `/api/people/${id}/end`, { how }),
  setRole: (id: Id, role: Role) => json<object>("POST", `/api/people/${id}/role`, { role }),
  roster: async () => (await json<{ roster: RosterEvent[] }>("GET", "/api/roster")).roster,
  autoLock: async () => (await json<{ minutes: number | null }>("GET", "/api/auto-lock")).minutes,
  setAutoLock: (minutes: number) => json<object>("POST", "/api/auto-lock", { minutes }),
  keptBack: async (id: Id) => (await json<{ kept_back: KeptBack[] }>("GET", `/api/threads/${id}/kept-back`)).kept_back,
  letIn: (id: Id, seat: Id) => json<object>("POST", `/api/threads/${id}/admit`, { seat }),
  invite: (invite: NewInvite) => json<Invite>("POST", "/api/invites", invite),
  inviteState: (id: Id) => json<Invite>("GET", `/api/invites/${id}`),
  admit: (id: Id) => json<Invite>("POST", `/api/invites/${id}/admit`, {}),
  dropInvite: (id: Id) => json<object>("DELETE", `/api/invites/${id}`),
};

/** The bytes of one event stream until it ends; a fetch, since EventSource can't carry the token. */
export async function readEvents(signal: AbortSignal, changed: (c: Changed) => void): Promise<void> {
  const answer = await ask("GET", "/api/events", { signal, headers: { Accept: "text/event-stream" } });
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) return;
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.startsWith("data:")) changed(JSON.parse(line.slice(5)) as Changed);
  }
}
