// What the page asks of the program `kolonne` on this computer, and in which shape it answers. Field names mirror the
// Rust records (snake_case), ids are lowercase hex, times are integer ms since 1970, sizes are bytes. API.md beside this
// file lists the routes. Nothing here may promise more than the program knows.

export type Id = string;

export type Language = "de" | "en";
export type Surface = "office" | "phone";
export type Role = "crew" | "foreman" | "office" | "admin";

/** How far a thing has come; the four states of the product, in this order, plus the one that needs a person. */
export type State = "saved" | "sent" | "office" | "stuck";

/** "doubt": the writer's clock can't be right; the page says so beside the time. */
export type Clock = "ok" | "doubt";

export interface Seat {
  seat: Id;
  person: Id;
  name: string;
  role: Role;
  /** Who writes now. At most one seat is active. */
  active: boolean;
  /** Whether a PIN is before it. Without one it is open, but for a shared phone: there it is locked until it has one. */
  has_pin: boolean;
  /** The PIN is asked for, or for its first one, before anything is written. */
  locked: boolean;
  /** Wrong PINs until it locks; 0: the office has to open it. */
  tries_left: number;
  /** A new seat in its place was asked for, since the PIN is forgotten. */
  new_wanted: boolean;
  /** Who opens it when its PIN is lost; "kit": nobody else of the office may. */
  opened_by: "office" | "kit";
  /** Direct threads that aren't shown until the PIN is in. */
  direct_hidden: number;
  /** Who has a new device that reads direct threads again once this seat's PIN is in, by name. */
  awaited_by: string[];
}

/** "not_now": it takes nothing just now. "foreign": something else answers. "flight": the demo's switch is on. "unknown": not tried since the start. */
export type HubState = "reachable" | "unreachable" | "not_now" | "foreign" | "uncertified" | "unknown" | "flight";

export interface Outbox {
  ops: number;
  photos: number;
  originals: number;
  /** Voice notes, and documents and sealed attachments. */
  voices: number;
  files: number;
  bytes: number;
  /** Refused for good: needs a person. */
  stuck: number;
}

/** two_rosters: the hub showed this device two. foreign_roster: `person`'s device knows another than this one.
 * merge_needs_pin: two wait for `person`'s PIN here. ran_twice: `device` runs twice or was put back from a copy. */
export interface Alarm {
  kind: "two_rosters" | "foreign_roster" | "merge_needs_pin" | "ran_twice";
  since_ms: number;
  person: string | null;
  device: string | null;
  /** By this the office puts it away on this device; null: it stands until it is settled. */
  id: string | null;
}

export interface Status {
  hub: HubState;
  last_contact_ms: number | null;
  /** A hub that the office hasn't certified answers in the place of the company's own. */
  new_hub: { key: string; since_ms: number } | null;
  /** When everything the hub had was here last, the roster too. */
  roster_confirmed_ms: number | null;
  /** That is more than 72 hours ago: who was shut out or is new, this device may not know. */
  roster_stale: boolean;
  /** Empty as a rule. Shown until the office settled it. */
  alarms: Alarm[];
  outbox: Outbox;
}

export interface Me {
  surface: Surface;
  company: string;
  device: { id: Id; name: string };
  seats: Seat[];
  /** The company's language; null: the browser's. */
  language: Language | null;
  /** null outside the demo: then no switch is shown. */
  flight_mode: boolean | null;
  /** What the active seat may do; buttons that would be refused aren't shown. */
  rights: { jobs: boolean; members: boolean; devices: boolean };
  limits: { text_bytes: number; media_bytes: number; file_bytes: number; sealed_bytes: number };
  /** Minutes without use until this device's seats lock; 0: never. */
  auto_lock_min: number;
  /** Nobody has shown yet that they have the recovery kit on paper. */
  kit_unconfirmed: boolean;
  status: Status;
}

export type ThreadKind = "job" | "crew" | "company" | "direct";

/** Known statuses of a job; another value is a company's own word and is shown as it is. */
export type JobStatus = "inquiry" | "quote" | "order" | "done" | "billed" | "paid";
export const JOB_STATUSES: readonly JobStatus[] = ["inquiry", "quote", "order", "done", "billed", "paid"];

/** What is still on one other device. */
export interface Backlog {
  device: Id;
  device_name: string;
  entries: number;
  photos: number;
  originals: number;
  /** Voice notes, and documents and sealed attachments. */
  voices: number;
  files: number;
  /** Places where what came after is here and what was before isn't. */
  gaps: number;
  bytes: number;
  since_ms: number;
}

/** What the hub refused, or what can't be sent. */
export interface Stuck {
  /** The op's or the file's name. */
  id: Id;
  /** null: nothing that a person wrote (a key, a mark), or not the active seat's to see. */
  kind: EntryKind | null;
  /** Which file of the entry; null: its words. */
  part: Part | null;
  entry: Id | null;
  thread: Id | null;
  title: string | null;
  /** Why, as a code. */
  why: string;
  /** Why: what happened, what is safe, what to do. */
  said: Problem;
  /** It is tried again by itself: what is in the way may pass. */
  tries_again: boolean;
  /** Files only: what is signed stays. */
  may_discard: boolean;
  /** Whether the active seat gets it as a file: what is sealed only if they are named. */
  may_export: boolean;
  since_ms: number | null;
  bytes: number;
}

/** contact: the hub hasn't answered since the last of it. new_hub: one answers that isn't certified. */
export interface Lack {
  what: "entries" | "photos" | "voices" | "files" | "originals" | "others" | "stuck" | "contact" | "new_hub";
  n: number;
}

/** Whether this device may be given away. at_office: an office device has all. at_hub: the hub signed for all. */
export interface HandBack {
  standing: "at_office" | "at_hub" | "not_yet";
  /** Empty if it may go. */
  lacks: Lack[];
  bytes: number;
  /** Entries of its people that no office device has seen whole. */
  unseen: number;
  /** The oldest entry of what is missing, else of what the office hasn't seen. */
  since_ms: number | null;
  last_contact_ms: number | null;
}

export interface LastLine {
  author: string;
  own: boolean;
  kind: EntryKind;
  /** Words of a text, caption of a photo, name of a document; "" if there are none. */
  text: string;
  time_ms: number;
  clock: Clock;
}

export interface ThreadRow {
  id: Id;
  kind: ThreadKind;
  title: string;
  status: JobStatus | string | null;
  customer: string | null;
  address: string | null;
  unread: number;
  last: LastLine | null;
  backlog: Backlog[];
  /** Ops that are here but can't be opened yet ("wird geladen"). */
  held: number;
  /** Entries and changes that are kept back ("zurückgehalten"). */
  quarantined: number;
  /** Whether the active seat is in it. Who was taken out reads what was said until then. */
  member: boolean;
  /** With a query: the words that matched, with some before and after. */
  hit: string | null;
}

/** Newest first. `next_cursor` is opaque. */
export interface ThreadPage {
  threads: ThreadRow[];
  next_cursor: string | null;
  unread_total: number;
}

export type MemberKind = "crew" | "person" | "office";

export interface MemberRef {
  kind: MemberKind;
  id: Id;
}

export interface Member extends MemberRef {
  name: string;
}

export interface Thread extends ThreadRow {
  members: Member[];
  opened_by: string;
  opened_ms: number;
  /** Of a direct thread on a new device: whose devices bring its key, by name, once their PIN is in. */
  key_comes_from: string[];
}

export type EntryKind = "text" | "photo" | "voice" | "document" | "sealed" | "video" | "notice" | "stub" | "unknown";

export interface Author {
  person: Id;
  name: string;
  role: Role;
}

export type Part = "thumb" | "picture" | "original" | "voice" | "document" | "sealed";

/** A part that isn't at the office yet. `device_name` null: it is still on this device. */
export interface PendingPart {
  part: Part;
  device_name: string | null;
  bytes: number;
  done_bytes: number;
}

export interface Photo {
  /** Of the picture as shown, orientation applied: the page reserves the place by it. */
  width: number;
  height: number;
  /** Base64 of the ≤ 300 bytes that came in the op. */
  preview: string | null;
  /** Whether the part is on this device and can be fetched. */
  thumb: boolean;
  picture: boolean;
  original: boolean;
  taken_ms: number | null;
  camera: string | null;
}

export interface Voice {
  duration_ms: number;
  /** 64 bars, 0 to 255. */
  waveform: number[];
  type: string;
  here: boolean;
}

/** Also a video: it is kept and handed on as a file. */
export interface Document {
  name: string;
  type: string;
  bytes: number;
  here: boolean;
}

/** For named people only; says nothing of what it is. */
export interface Sealed {
  people: { id: Id; name: string }[];
  office: boolean;
  /** Rounded up: nobody but them knows it better. */
  bytes: number;
  here: boolean;
  /** Whether the active seat's person is among them. */
  for_me: boolean;
}

export interface Quote {
  id: Id;
  author: string;
  kind: EntryKind;
  snippet: string;
}

export type NoticeCode = "opened" | "title" | "status" | "address" | "customer" | "member_in" | "member_out";

/** Who can let in what is kept back. */
export type LetInBy = "nobody" | "office" | "office_untold" | "members";

export interface Entry {
  id: Id;
  author: Author;
  /** Written by the active seat: may be captioned and retracted. */
  own: boolean;
  kind: EntryKind;
  text: string | null;
  caption: string | null;
  reply_to: Quote | null;
  edited: boolean;
  /** Then everything that was said is gone; only the stub stays. */
  retracted: { reason: string | null } | null;
  time_ms: number;
  clock: Clock;
  /** Of the words, the picture, the voice note, the document: all parts but the original. */
  state: State;
  /** Nobody but its author, on this device, sees it until it is let in by these. */
  kept_back: LetInBy | null;
  /** What its author changed about an entry that others see as it was; without a text he took it back, or its words. */
  change_kept_back: { text: string | null; let_in_by: LetInBy } | null;
  /** Why it is stuck: what happened, what is safe, what to do. */
  stuck: Problem | null;
  pending: PendingPart[];
  /** "key": the words are here, sealed, and their key isn't yet. */
  waiting: "key" | null;
  photo: Photo | null;
  voice: Voice | null;
  document: Document | null;
  sealed: Sealed | null;
  /** Of a stub; null: its content merely isn't here yet. */
  erased: Erasure | null;
  notice: { code: NoticeCode | string; value: string | null } | null;
}

/** Oldest first. `before`: id to ask for the ones before; null at the beginning of the thread. */
export interface EntryPage {
  entries: Entry[];
  before: Id | null;
  /** The first entry that this seat hasn't read. */
  unread_from: Id | null;
  held: number;
  quarantined: number;
}

export interface Person {
  id: Id;
  name: string;
  role: Role;
  crew: Id | null;
  /** Seats that still speak; 0: waits for a new device. */
  seats: number;
}

export interface Crew {
  id: Id;
  name: string;
  people: Id[];
}

export interface People {
  people: Person[];
  crews: Crew[];
  /** Whose access ended. */
  ended: { id: Id; name: string }[];
}

export interface Device {
  id: Id;
  name: string;
  kind: "phone" | "office";
  this_device: boolean;
  /** Who writes on it. */
  people: string[];
  crew: string | null;
  last_contact_ms: number | null;
  app_version: string | null;
  /** null: nothing is known to wait there. */
  backlog: Backlog | null;
  /** Entries and changes of it that are kept back, as far as somebody here may see them. */
  kept_back: number;
  /** Seats on it that wait for the office. */
  locked_seats: LockedSeat[];
  /** Of a phone that several people share: who has no PIN there. */
  without_pin: string[];
  /** Its rights ended. */
  ended: { at_once: boolean } | null;
  /** What it said when it emptied itself, null until it was heard of; stays if an undo took its end back. */
  wiped: { time_ms: number; lost: number } | null;
}

export interface LockedSeat {
  seat: Id;
  name: string;
  /** Since when five wrong PINs locked it; null: they didn't. */
  locked_ms: number | null;
  /** The PIN is forgotten: a new seat was asked for. */
  new_wanted: boolean;
  /** The seat that was asked for. */
  wanted: Id | null;
  /** When that was, by its device's clock. */
  wanted_ms: number | null;
  /** The newest entry that the old seat wrote since: somebody has its PIN. */
  used_ms: number | null;
  /** A new seat was asked for, and the right PIN withdrew that; when. */
  withdrawn_ms: number | null;
}

/** One thing that a roster op did. */
export interface RosterWhat {
  code: string;
  subject: string | null;
  /** Of `role`: `before` null: not known here. */
  roles?: { before: Role | null; after: Role };
  /** Of `ended`: shut out at once, not in peace. */
  at_once?: boolean;
}

/** What one entry of the roster did; `what` empty: new keys only. `by` null: the recovery kit. */
export interface RosterEvent {
  place: number;
  time_ms: number;
  by: string | null;
  standing: "holds" | "undone" | "void";
  what: RosterWhat[];
  /** Of a merge: what it brought along from the other branch. */
  carried: Pick<RosterEvent, "time_ms" | "by" | "what">[];
}

export type KeptBackWhy = "foreign_roster" | "not_certified" | "ended" | "cut" | "not_member" | "right";

/** What is kept back of a seat in a thread. */
export interface KeptBack {
  thread: Id;
  seat: Id;
  person: string | null;
  device: string | null;
  device_id: Id | null;
  why: KeptBackWhy;
  /** In direct threads nobody of the office has to be: their people let in each other's. */
  let_in_by: LetInBy;
  entries: number;
  /** What they are, as far as it can be read here. */
  texts: number;
  photos: number;
  voices: number;
  files: number;
  /** Changes of entries: other words, taken back. */
  changes: number;
  ops: number;
  first_ms: number;
  last_ms: number;
}

/** peace: given back. now: lost, stolen, in a quarrel. */
export type EndHow = "peace" | "now";

export interface Devices {
  devices: Device[];
}

/** crew_phone: shared by a crew. person_phone: a foreman's own. office: another PC of the office. */
export type InviteKind = "crew_phone" | "person_phone" | "office";

/** waiting: no phone yet. words: compare, then admit. pending: admitted here, waits for the hub. */
export type InviteState = "waiting" | "words" | "pending" | "admitted" | "expired" | "refused";

export interface Invite {
  id: Id;
  /** What the QR says, to type or paste. */
  text: string;
  /** Rows of the QR, "1" is dark, without the quiet zone. */
  qr: string[];
  expires_ms: number;
  state: InviteState;
  /** The four words, as soon as the phone has answered. */
  words: string[] | null;
  /** The same in English, and their numbers in the list: for a device that shows the other language. */
  words_en: string[] | null;
  word_numbers: number[] | null;
}

export type EraseReason = "personal_data" | "mistake" | "expired";

/** Hidden everywhere at once; destroyed when its day has come, by `needs_second` only after a second person's word. */
export interface Erasure {
  entry: Id;
  thread: Id;
  reason: EraseReason;
  /** By name. */
  by: string[];
  time_ms: number;
  needs_second: boolean;
  destroyed: boolean;
  /** When this device destroys it. */
  gone_ms: number | null;
}

/** What erasing did. */
export interface Erased {
  entries: number;
  need_second: number;
  days: number;
}

export interface NewHub {
  /** As `kolonne hub` prints it. */
  key_groups: string;
  since_ms: number;
}

/** The backup of this device, before it is fetched. */
export type Backup =
  | { state: "none" }
  | { state: "writing"; done_bytes: number; total_bytes: number }
  | { state: "ready"; bytes: number; files: number; damaged: number }
  | { state: "failed"; problem: Problem };

// Requests

export interface NewJob {
  title: string;
  customer: string;
  address: string;
  members: MemberRef[];
  draft_id: Id;
}

export interface ThreadChange {
  title?: string;
  status?: string;
  customer?: string;
  address?: string;
}

export interface MemberChange {
  add: MemberRef[];
  remove: MemberRef[];
}

export interface NewText {
  text: string;
  reply_to: Id | null;
  /** Who writes, as the page showed it when it was written: a switch meanwhile changes nothing. */
  seat: Id;
  /** Made by the page; the same one twice is one entry. */
  draft_id: Id;
}

/** Query of the raw body upload; the body is the file, its Content-Type the file's. */
export interface NewFile {
  kind: "photo" | "voice" | "document" | "video";
  name: string;
  caption: string;
  reply_to: Id | null;
  seat: Id;
  draft_id: Id;
}

/** Query of a sealed upload; `for`: ids of people and the word `office`, with commas. */
export interface NewSealed {
  for: string;
  name: string;
  reply_to: Id | null;
  seat: Id;
  draft_id: Id;
}

export interface NewInvite {
  kind: InviteKind;
  /** Of the device: "Handy Kolonne 3". */
  name: string;
  role: Role;
  crew: Id | null;
  /** A crew that isn't there yet; then `crew` is null. */
  crew_name: string | null;
  /** Who gets a seat on it; names of new people are added to the roster. */
  people: { person: Id | null; name: string }[];
}

// Answers beside data

/** code: stable; the messages are whole sentences: what happened, what is safe, what to do. */
export interface Problem {
  code: string;
  message_de: string;
  message_en: string;
  /** Which field of the request, for `invalid`. */
  field?: string | null;
  /** Of a recovery kit: the first group that has a typo. */
  wrong_group?: number | null;
}

export interface Created {
  id: Id;
}

/** Keys: "me", "threads", "thread:<id>", "people", "devices", "invite:<id>", "backup", or "everything". */
export interface Changed {
  keys: string[];
  version: number;
}
