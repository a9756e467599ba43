//! The simulator: one seed drives a company and its hub through everything that can go wrong, on a
//! clock of its own. The devices run the engine of the app on the store of the app; only sockets,
//! timers, clocks and randomness are the simulation's.
//!
//! Files: `chance` what the seed says, `template` the companies it begins with, `hub` and `device`
//! the parties, `people` what they do, `faults` what happens to them, `liar` what a hub says that
//! isn't so, `oracle` what must hold.

mod chance;
mod device;
pub mod faults;
mod hub;
mod liar;
mod oracle;
mod people;
pub mod shrink;
mod slow;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kolonne_core::transport::{Reply, Request};
use kolonne_core::{AskId, Event};
use kolonne_model::hub::HubError;
use kolonne_model::ids::{OpId, PublicKey, ThreadId};
use tempfile::TempDir;
use tokio::sync::oneshot;

pub use chance::Chance;
use chance::randomness;
use device::{SimDevice, Stepped, Todo};
use faults::fault;
use hub::SimHub;
pub use slow::SlowLine;
pub use template::{Template, Templates};

use crate::files::copy_folder;

/// The streams that an act and its lies draw from.
pub type Drawn = (Chance, Chance);

/// What a seed may do to a company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How many things happen before the faults stop.
    pub acts: usize,
    /// Which of them are left out.
    pub without: BTreeSet<usize>,
    /// What a whole run drew from as each act began, so that the others stay as they are when some are
    /// left out.
    pub replayed: Arc<[Drawn]>,
    /// How many devices there are; none: as the seed says.
    pub devices: Option<usize>,
    /// The only kind of lie that the hub tells: it lies often then. None: any, as the seed says.
    pub lie: Option<usize>,
    /// Which kinds of faults may come: bits of [`faults::fault`], all by default.
    pub faults: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            acts: 40,
            without: BTreeSet::new(),
            replayed: Arc::default(),
            devices: None,
            lie: None,
            faults: u32::MAX,
        }
    }
}

impl Plan {
    /// How many devices a seed has: from 3 to 50, most of them few.
    pub fn devices_of(&self, seed: u64) -> usize {
        let mut chance = Chance::new(seed, "devices");
        let drawn = match chance.below(100) {
            0..65 => 3 + chance.below(3),
            65..95 => 6 + chance.below(7),
            _ => 13 + chance.below(38),
        };
        self.devices.unwrap_or(drawn)
    }
}

/// How a simulation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What everyone saw at the end, and all that happened.
    pub story: String,
    /// Exchanges of each device after the faults stopped until everyone had all.
    pub exchanges: usize,
    /// Captures that were acknowledged.
    pub captures: usize,
    /// Times a device died.
    pub deaths: usize,
    /// Lies that the hub told.
    pub lies: usize,
    /// How many devices there were.
    pub devices: usize,
}

/// Who waits for an answer.
enum Via {
    Engine(AskId),
    Act(oneshot::Sender<Result<Reply, HubError>>),
}

enum What {
    /// A request comes to the hub; its answer may be lost.
    AtHub {
        from: usize,
        life: u64,
        via: Option<Via>,
        to: PublicKey,
        request: Request,
        answer: Fate,
    },
    /// An answer comes back.
    Back {
        to: usize,
        life: u64,
        via: Via,
        answer: Result<Reply, HubError>,
    },
    /// An engine wanted to be called.
    Timer { device: usize, life: u64 },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Comes,
    IsLost,
}

/// Something a person was told is *gesichert*.
struct Captured {
    device: usize,
    thread: ThreadId,
    op: OpId,
    /// An older copy of the device was put back since, so that it may be gone with its phone.
    excused: bool,
}

/// One simulation.
pub struct Sim<'a> {
    template: &'a Template,
    _dir: TempDir,
    chance: Chance,
    began_ms: u64,
    now_ms: Arc<AtomicU64>,
    hub: SimHub,
    devices: Vec<SimDevice>,
    due: BTreeMap<(u64, u64), What>,
    planned: u64,
    /// Devices that wait for news from the hub.
    listening: Vec<(usize, u64, AskId, u64)>,
    captured: Vec<Captured>,
    jobs: Vec<ThreadId>,
    latency_ms: u64,
    loss_permille: u32,
    twice_permille: u32,
    one_by_one: bool,
    garbled_permille: u32,
    lies: Chance,
    told_lies: usize,
    begun: Vec<Drawn>,
    /// How often the hub begins a lie; most hubs are honest.
    lies_permille: u32,
    /// Devices whose words or files a hub signed for and threw away.
    betrayed: BTreeSet<usize>,
    story: String,
    deaths: usize,
}

/// Runs a seed.
///
/// # Errors
/// What happened, and what didn't hold.
pub fn run(templates: &Templates, seed: u64, plan: &Plan) -> Result<Ended, Failed> {
    device::watch_once();
    let devices = plan.devices_of(seed);
    let mut sim = Sim::new(templates.with_devices(devices), seed, devices, plan);
    let played = catch_unwind(AssertUnwindSafe(|| sim.play(plan)));
    let why = match played {
        Ok(Ok(exchanges)) => {
            return Ok(Ended {
                exchanges,
                captures: sim.captured.len(),
                deaths: sim.deaths,
                lies: sim.told_lies,
                devices,
                story: sim.story,
            });
        }
        Ok(Err(why)) => why,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("PANIC: {}", text.unwrap_or("of another kind"))
        }
    };
    Err(Failed {
        why,
        begun: sim.begun.into(),
        story: sim.story,
    })
}

/// A simulation that didn't end as it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What didn't hold.
    pub why: String,
    /// What happened.
    pub story: String,
    /// What its acts drew from.
    pub begun: Arc<[Drawn]>,
}

impl Failed {
    /// What kind of failure it is: its first word.
    pub fn kind(&self) -> &str {
        self.why.split([' ', ':']).next().unwrap_or_default()
    }
}

impl<'a> Sim<'a> {
    fn new(template: &'a Template, seed: u64, devices: usize, plan: &Plan) -> Self {
        let dir = template::scratch();
        let mut chance = Chance::new(seed, "simulation");
        let began_ms = template.now_ms + 60_000;
        let now_ms = Arc::new(AtomicU64::new(began_ms));
        copy_folder(&template.dir.path().join("hub"), &dir.path().join("hub"));
        let hub = SimHub::new(dir.path().join("hub"), Arc::clone(&now_ms), seed);
        let devices = template.devices.iter().take(devices).map(|enrolled| {
            let folder = dir.path().join(&enrolled.folder);
            copy_folder(&template.dir.path().join(&enrolled.folder), &folder);
            let random = randomness(seed, &enrolled.name);
            SimDevice::new(enrolled.clone(), folder, Arc::clone(&now_ms), random)
        });
        let devices = devices.collect();
        let (latency_ms, loss) = (10 + chance.draw() % 1_500, chance.below(4) as u32);
        // Its own stream: the rest of a seed stays as it was without lies.
        let mut lies = Chance::new(seed, "lies");
        let mut pages = Chance::new(seed, "pages");
        let comes = |fault: u32| plan.faults & fault != 0;
        let is_liar = lies.permille(500) && comes(fault::LYING_HUB);
        let lies_permille = match plan.lie {
            Some(_) => 500,
            None if is_liar => 150,
            None => 0,
        };
        let mut sim = Self {
            template,
            _dir: dir,
            began_ms,
            now_ms,
            hub,
            devices,
            due: BTreeMap::new(),
            planned: 0,
            listening: Vec::new(),
            captured: Vec::new(),
            jobs: template.jobs.clone(),
            latency_ms,
            loss_permille: if comes(fault::LOSS) { loss * 60 } else { 0 },
            twice_permille: if comes(fault::TWICE) { 50 } else { 0 },
            one_by_one: comes(fault::SMALL_PAGES) && pages.permille(500),
            garbled_permille: if comes(fault::GARBLED) { 10 } else { 0 },
            lies,
            told_lies: 0,
            begun: Vec::new(),
            lies_permille,
            betrayed: BTreeSet::new(),
            story: String::new(),
            chance,
            deaths: 0,
        };
        for device in 0..sim.devices.len() {
            sim.devices[device].switch_on().unwrap();
            sim.step(device, Event::Time);
        }
        sim
    }

    /// Everything that happens. Exchanges after the faults stopped.
    fn play(&mut self, plan: &Plan) -> Result<usize, String> {
        for act in 0..plan.acts {
            if let Some((chance, lies)) = plan.replayed.get(act) {
                (self.chance, self.lies) = (chance.clone(), lies.clone());
            }
            self.begun.push((self.chance.clone(), self.lies.clone()));
            if plan.without.contains(&act) {
                continue;
            }
            self.something_happens(plan)?;
            let pause_ms = match self.chance.below(10) {
                0..5 => self.chance.draw() % 2_000,
                5..8 => self.chance.draw() % 30_000,
                8 => self.chance.draw() % 600_000,
                _ => 0,
            };
            self.run_for(pause_ms);
        }
        self.heal()?;
        let exchanges = self.converge()?;
        self.check()?;
        Ok(exchanges)
    }

    fn now(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    fn since(&self) -> Duration {
        Duration::from_millis(self.now() - self.began_ms)
    }

    fn tell(&mut self, device: Option<usize>, what: &str) {
        let name = device.map_or("-", |at| self.devices[at].enrolled.name.as_str());
        let at_ms = self.now() - self.began_ms;
        writeln!(self.story, "{at_ms:>9} {name}: {what}").unwrap();
    }

    fn plan(&mut self, at_ms: u64, what: What) {
        self.planned += 1;
        self.due.insert((at_ms, self.planned), what);
    }

    /// How long one way takes now.
    fn way_ms(&mut self) -> u64 {
        self.latency_ms / 2 + self.chance.draw() % (self.latency_ms + 1)
    }

    /// Lets time go by.
    fn run_for(&mut self, ms: u64) {
        let end_ms = self.now() + ms;
        while let Some(entry) = self.due.first_entry() {
            let (at_ms, _) = *entry.key();
            if at_ms > end_ms {
                break;
            }
            let what = entry.remove();
            self.now_ms.fetch_max(at_ms, Ordering::Relaxed);
            self.happen(what);
        }
        self.now_ms.fetch_max(end_ms, Ordering::Relaxed);
    }

    fn happen(&mut self, what: What) {
        match what {
            What::AtHub {
                from,
                life,
                via,
                to,
                request,
                answer,
            } => {
                let listens = match &request {
                    Request::Wake { after_hub_seq } => Some(*after_hub_seq),
                    _ => None,
                };
                let enrolled = self.devices[from].enrolled.clone();
                let company = self.template.company;
                let served = self.hub.serve(company, &enrolled, to, &request);
                match (served, via, listens) {
                    (None, Some(Via::Engine(id)), Some(after)) => {
                        self.listening.push((from, life, id, after));
                    }
                    (Some(served), Some(via), _) => {
                        let served = match answer {
                            Fate::Comes => self.garbled(served),
                            Fate::IsLost => Err(HubError::Unreachable),
                        };
                        let way_ms = match answer {
                            Fate::Comes => self.way_ms(),
                            Fate::IsLost => 30_000,
                        };
                        let back = What::Back {
                            to: from,
                            life,
                            via,
                            answer: served,
                        };
                        self.plan(self.now() + way_ms, back);
                    }
                    _ => {}
                }
                self.wake_listeners();
            }
            What::Back {
                to,
                life,
                via,
                answer,
            } => {
                if self.devices[to].life != life || !self.devices[to].is_on() {
                    return;
                }
                match &answer {
                    Ok(Reply::Push(push))
                        if !push.outcomes.is_empty() || push.receipts.is_empty() =>
                    {
                        let receipts = push.receipts.len();
                        let (outcomes, refused) = (&push.outcomes, push.payloads_refused.len());
                        let told = format!("{receipts} receipts, {outcomes:?}, {refused} refused");
                        self.tell(Some(to), &told);
                    }
                    Err(error) => self.tell(Some(to), &format!("{error:?}")),
                    Ok(_) => {}
                }
                // What comes back to a phone without network doesn't.
                let answer = if self.devices[to].is_online {
                    answer
                } else {
                    Err(HubError::Unreachable)
                };
                match via {
                    Via::Engine(id) => self.step(to, Event::Answer(id, answer)),
                    Via::Act(sender) => {
                        drop(sender.send(answer));
                        self.step(to, Event::Time);
                    }
                }
            }
            What::Timer { device, life } => {
                if self.devices[device].life == life && self.devices[device].is_on() {
                    self.step(device, Event::Time);
                }
            }
        }
    }

    /// Devices that the hub has news for hear of it.
    fn wake_listeners(&mut self) {
        let listening = std::mem::take(&mut self.listening);
        for (device, life, id, after) in listening {
            let enrolled = &self.devices[device].enrolled;
            match self.hub.news(self.template.company, enrolled, after) {
                Ok(None) => self.listening.push((device, life, id, after)),
                news => {
                    let answer = news.map(|news| news.expect("there is some"));
                    let at_ms = self.now() + self.way_ms();
                    let back = What::Back {
                        to: device,
                        life,
                        via: Via::Engine(id),
                        answer,
                    };
                    self.plan(at_ms, back);
                }
            }
        }
    }

    /// Steps a device, and sends what it asks for on its way.
    fn step(&mut self, at: usize, event: Event) {
        let now = self.since();
        match self.devices[at].step(event, now) {
            Stepped::On(todo) => self.follow(at, todo),
            Stepped::Died => self.died(at),
        }
    }

    fn died(&mut self, at: usize) {
        self.deaths += 1;
        self.tell(Some(at), "dies while it writes");
        if self.chance.permille(500) {
            self.devices[at].lose_power();
        }
    }

    fn follow(&mut self, at: usize, todo: Todo) {
        let life = self.devices[at].life;
        self.listening
            .retain(|(device, _, id, _)| *device != at || !todo.cancelled.contains(id));
        for (id, to, request) in todo.asks {
            self.send(at, life, Via::Engine(id), to, request);
        }
        for asked in todo.acts {
            self.send(at, life, Via::Act(asked.answer), asked.to, asked.request);
        }
        if let Some(until) = todo.until {
            let at_ms = self.began_ms + u64::try_from(until.as_millis()).unwrap();
            self.plan(at_ms.max(self.now() + 1), What::Timer { device: at, life });
        }
        match todo.done {
            Some(Err(kolonne_core::Error::AuthExpired)) => {
                self.tell(Some(at), "leaves");
                self.devices[at].is_gone = true;
                self.devices[at].die();
            }
            Some(result) => {
                self.tell(
                    Some(at),
                    &format!("synced: {:?}", result.map_err(|e| e.code())),
                );
                self.devices[at].synced();
            }
            None => {}
        }
    }

    fn send(&mut self, from: usize, life: u64, via: Via, to: PublicKey, mut request: Request) {
        self.tell(Some(from), kind(&request));
        if self.one_by_one {
            // `age` greases its headers by chance: at any other limit, how much an answer holds is too.
            match &mut request {
                Request::Pull(pull) => pull.limit_bytes = 1,
                Request::Fetch(fetch) => fetch.limit_bytes = 1,
                _ => {}
            }
        }
        if !self.devices[from].is_online || self.chance.permille(self.loss_permille) {
            let (answer, wait_ms) = (Err(HubError::Unreachable), self.way_ms());
            let back = What::Back {
                to: from,
                life,
                via,
                answer,
            };
            return self.plan(self.now() + wait_ms, back);
        }
        let answer = if self.chance.permille(self.loss_permille) {
            Fate::IsLost
        } else {
            Fate::Comes
        };
        if self.chance.permille(self.twice_permille) {
            // A network that sends it again, later.
            let again = What::AtHub {
                from,
                life,
                via: None,
                to,
                request: request.clone(),
                answer: Fate::IsLost,
            };
            let way_ms = self.way_ms() * 3;
            self.plan(self.now() + way_ms, again);
        }
        let way_ms = self.way_ms();
        let there = What::AtHub {
            from,
            life,
            via: Some(via),
            to,
            request,
            answer,
        };
        self.plan(self.now() + way_ms, there);
    }
}

/// What requests are called in the story.
const REQUESTS: [&str; 16] = [
    "hello?",
    "found",
    "mail",
    "push",
    "pull",
    "fetch",
    "heads",
    "last ops",
    "append to the roster",
    "roster",
    "create an upload",
    "how far is the upload?",
    "upload",
    "download",
    "prove",
    "listen",
];

/// What a request is called in the story.
fn kind(request: &Request) -> &'static str {
    match request {
        Request::Hello => "hello?",
        Request::Found(_) => "found",
        Request::PutMail(_) | Request::Mail(_) | Request::OpenMailbox(_) => "mail",
        Request::Push(_) => "push",
        Request::Pull(_) => "pull",
        Request::Fetch(_) => "fetch",
        Request::Heads(_) => "heads",
        Request::LastOps(_) => "last ops",
        Request::AppendRoster(_) => "append to the roster",
        Request::Roster(_) => "roster",
        Request::CreateUpload(_) => "create an upload",
        Request::Upload(_) => "how far is the upload?",
        Request::AppendUpload { .. } => "upload",
        Request::Download { .. } => "download",
        Request::Prove(_) => "prove",
        Request::Wake { .. } => "listen",
    }
}
