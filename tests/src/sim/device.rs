//! A device of a simulation: the real engine on a real store, whose clock, randomness, network and
//! deaths are the simulation's.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use kolonne_core::crypt::random::Randomness;
use kolonne_core::points::{self, Point, Verdict};
use kolonne_core::transport::{Carried, Carrier, Reply, Request, Trust};
use kolonne_core::{
    Action, AskId, Budget, Clock, Config, Engine, Error, Event, Kolonne, PinCost, on_this_thread,
};
use kolonne_model::hub::HubError;
use kolonne_model::ids::PublicKey;
use tokio::sync::oneshot;

use super::template::Enrolled;
use crate::Device;
use crate::files::copy_folder;

/// A device died here; not a bug.
struct Died;

/// What happens to the device that is at work on this thread.
#[derive(Default)]
struct Fate {
    /// It dies at the point that is so many away.
    dies_in: Option<u32>,
    disk_full: bool,
    /// Files that a power cut would take: written or named, but not synced.
    unsynced: BTreeSet<PathBuf>,
    unnamed: BTreeSet<PathBuf>,
}

thread_local! {
    static FATE: RefCell<Fate> = RefCell::default();
}

/// Watches all devices of this process, and keeps deaths out of the terminal.
pub fn watch_once() {
    static WATCHED: std::sync::Once = std::sync::Once::new();
    WATCHED.call_once(watch);
}

fn watch() {
    points::watch(|point| FATE.with_borrow_mut(|fate| fate.pass(point)));
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Died>() {
            before(info);
        }
    }));
}

impl Fate {
    fn pass(&mut self, point: Point<'_>) -> Verdict {
        match point {
            Point::FileWritten(path) => {
                self.unsynced.insert(path.to_owned());
            }
            Point::FileSynced(path) => {
                self.unsynced.remove(path);
            }
            Point::FileNamed { from, to } => {
                self.unnamed.insert(to.to_owned());
                // Its bytes are as they were, whatever it is called.
                if self.unsynced.remove(from) {
                    self.unsynced.insert(to.to_owned());
                }
            }
            Point::FolderSynced(folder) => {
                self.unnamed.retain(|path| path.parent() != Some(folder));
            }
            Point::Committing | Point::Committed => {}
        }
        if let Some(left) = &mut self.dies_in {
            if *left == 0 {
                self.dies_in = None;
                panic_any(Died);
            }
            *left -= 1;
        }
        let takes_room = matches!(point, Point::Committing | Point::FileWritten(_));
        if self.disk_full && takes_room {
            Verdict::DiskFull
        } else {
            Verdict::GoOn
        }
    }
}

/// A request of an act that waits for the hub.
pub struct Asked {
    /// To which hub.
    pub to: PublicKey,
    /// What.
    pub request: Request,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Reply, HubError>>,
}

#[derive(Default)]
struct ActLine(Mutex<Vec<Asked>>);

impl Carrier for ActLine {
    fn carry(&self, to: PublicKey, request: Request) -> Carried<'_> {
        let (answer, back) = oneshot::channel();
        let mut new = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        new.push(Asked {
            to,
            request,
            answer,
        });
        Box::pin(async { back.await.unwrap_or(Err(HubError::Unreachable)) })
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Something a person does that waits for the hub.
pub type Act = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

/// What a step of a device left for the simulation to do.
#[derive(Default)]
pub struct Todo {
    /// Requests of the engine.
    pub asks: Vec<(AskId, PublicKey, Request)>,
    /// Those that nobody waits for any more.
    pub cancelled: Vec<AskId>,
    /// Requests of acts.
    pub acts: Vec<Asked>,
    /// When the engine wants to go on.
    pub until: Option<Duration>,
    /// How an engine that syncs once ended.
    pub done: Option<Result<(), Error>>,
}

/// One device.
pub struct SimDevice {
    /// What it was enrolled as.
    pub enrolled: Enrolled,
    /// Its folder.
    pub dir: PathBuf,
    /// What its clock is off.
    pub clock_off_ms: Arc<AtomicI64>,
    /// Which life it is in: answers to an earlier one come to nobody.
    pub life: u64,
    /// Its rights ended, and it has left.
    pub is_gone: bool,
    /// Whether its network is there.
    pub is_online: bool,
    /// At which point from now on it dies.
    pub dies_in: Option<u32>,
    /// Nothing can be written.
    pub disk_full: bool,
    now_ms: Arc<AtomicU64>,
    random: Randomness,
    device: Option<Device>,
    engine: Option<Engine>,
    acts: Vec<Act>,
    line: Arc<ActLine>,
    woken: Arc<Woken>,
    unsynced: BTreeSet<PathBuf>,
    unnamed: BTreeSet<PathBuf>,
    backups: Vec<PathBuf>,
}

/// What a device's step brought.
pub enum Stepped<T> {
    /// It went on.
    On(T),
    /// It died.
    Died,
}

impl SimDevice {
    /// A device in its folder, switched off.
    pub fn new(
        enrolled: Enrolled,
        dir: PathBuf,
        now_ms: Arc<AtomicU64>,
        random: Randomness,
    ) -> Self {
        Self {
            enrolled,
            dir,
            clock_off_ms: Arc::default(),
            life: 0,
            is_gone: false,
            is_online: true,
            dies_in: None,
            disk_full: false,
            now_ms,
            random,
            device: None,
            engine: None,
            acts: Vec::new(),
            line: Arc::default(),
            woken: Arc::default(),
            unsynced: BTreeSet::new(),
            unnamed: BTreeSet::new(),
            backups: Vec::new(),
        }
    }

    /// Whether it runs.
    pub fn is_on(&self) -> bool {
        self.device.is_some()
    }

    /// Whether something that a person does still waits for the hub.
    pub fn is_acting(&self) -> bool {
        !self.acts.is_empty()
    }

    /// What its people see and do.
    pub fn device(&self) -> &Device {
        self.device.as_ref().expect("it is on")
    }

    /// The same, if it is on.
    pub fn if_on(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    fn config(&self) -> Config {
        let (now_ms, off_ms) = (Arc::clone(&self.now_ms), Arc::clone(&self.clock_off_ms));
        let clock: Clock = Arc::new(move || {
            now_ms
                .load(Ordering::Relaxed)
                .saturating_add_signed(off_ms.load(Ordering::Relaxed))
        });
        let carrier: Arc<dyn Carrier> = Arc::clone(&self.line) as _;
        Config {
            dir: self.dir.clone(),
            clock,
            trust: Trust::System,
            pin_cost: PinCost {
                memory_kib: 8,
                passes: 1,
                lanes: 1,
            },
            carrier: Some(carrier),
        }
    }

    /// Does something with this device's fate and randomness.
    pub fn during<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Stepped<T> {
        FATE.with_borrow_mut(|fate| {
            fate.dies_in = self.dies_in;
            fate.disk_full = self.disk_full;
            fate.unsynced = std::mem::take(&mut self.unsynced);
            fate.unnamed = std::mem::take(&mut self.unnamed);
        });
        let random = self.random.clone();
        let result = catch_unwind(AssertUnwindSafe(|| {
            random.during(|| on_this_thread(|| work(self)))
        }));
        FATE.with_borrow_mut(|fate| {
            self.dies_in = fate.dies_in.take();
            fate.disk_full = false;
            self.unsynced = std::mem::take(&mut fate.unsynced);
            self.unnamed = std::mem::take(&mut fate.unnamed);
        });
        match result {
            Ok(value) => Stepped::On(value),
            Err(payload) if is_death(&*payload) => {
                self.die();
                Stepped::Died
            }
            Err(payload) => resume_unwind(payload),
        }
    }

    /// The process ends: what isn't on the disk is gone.
    pub fn die(&mut self) {
        self.life += 1;
        self.acts.clear();
        self.engine = None;
        self.device = None;
        self.dies_in = None;
        self.line
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The power goes: files that weren't synced are gone or empty.
    pub fn lose_power(&mut self) {
        self.die();
        for path in std::mem::take(&mut self.unsynced) {
            if path.exists() {
                std::fs::write(&path, b"").unwrap();
            }
        }
        for path in std::mem::take(&mut self.unnamed) {
            // Its name is gone; a file without a name is nobody's.
            drop(std::fs::remove_file(&path));
        }
    }

    /// It starts.
    ///
    /// # Errors
    /// What opening says; `AuthExpired` when it has left.
    pub fn switch_on(&mut self) -> Result<(), Error> {
        assert!(self.device.is_none(), "it is on");
        let opened = self.during(|this| {
            let kolonne = Kolonne::open(this.config())?;
            Ok::<_, Error>(Device::new(
                this.dir.clone(),
                Arc::clone(&this.clock_off_ms),
                kolonne,
            ))
        });
        match opened {
            Stepped::On(Ok(device)) => {
                let waker = Waker::from(Arc::clone(&self.woken));
                self.engine = Some(device.core().engine(waker));
                self.device = Some(device);
                Ok(())
            }
            Stepped::On(Err(Error::AuthExpired | Error::NotFound { kind: "company" })) => {
                self.is_gone = true;
                Ok(())
            }
            Stepped::On(Err(error)) => Err(error),
            // Dying while it starts: it starts again.
            Stepped::Died => self.switch_on(),
        }
    }

    /// Another engine: one that syncs once, or one that goes on.
    pub fn sync_once(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        self.life += 1;
        self.engine = Some(self.device().core().engine_once(waker, Budget::unlimited()));
    }

    /// Whether an engine that syncs once still does.
    pub fn is_syncing(&self) -> bool {
        self.engine.is_some()
    }

    /// It has.
    pub fn synced(&mut self) {
        self.engine = None;
    }

    /// Somebody does something that waits for the hub.
    pub fn act(&mut self, act: Act) {
        self.acts.push(act);
    }

    /// An event; what follows.
    pub fn step(&mut self, event: Event, now: Duration) -> Stepped<Todo> {
        let random = self.random.clone();
        self.during(|this| {
            let mut todo = Todo::default();
            let mut event = Some(event);
            while let Some(next) = event.take() {
                if let Some(engine) = &mut this.engine {
                    for action in engine.step(next, now, &random) {
                        match action {
                            Action::Ask { id, to, request } => todo.asks.push((id, to, request)),
                            Action::Cancel(id) => todo.cancelled.push(id),
                            Action::Until(until) => todo.until = until,
                            Action::Done(result) => todo.done = Some(result.map(drop)),
                        }
                    }
                }
                this.poll_acts();
                if this.woken.0.swap(false, Ordering::AcqRel) {
                    event = Some(Event::Time);
                }
            }
            let mut new = this.line.0.lock().unwrap_or_else(PoisonError::into_inner);
            todo.acts = std::mem::take(&mut new);
            drop(new);
            todo
        })
    }

    fn poll_acts(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut context = Context::from_waker(&waker);
        self.acts
            .retain_mut(|act| match act.as_mut().poll(&mut context) {
                // A person sees the error and tries again another day.
                Poll::Ready(result) => {
                    if let Err(error) = &result {
                        // What a hub says that makes no sense is none of this device's.
                        let bug = match error {
                            Error::Internal { code } => !code.starts_with("hub_"),
                            error => matches!(error, Error::Corrupt),
                        };
                        assert!(!bug, "an act failed: {error:?}");
                    }
                    false
                }
                Poll::Pending => true,
            });
    }

    /// A copy of its folder is made while it is off.
    pub fn back_up(&mut self) {
        let to = self
            .dir
            .with_extension(format!("backup-{}", self.backups.len()));
        copy_folder(&self.dir, &to);
        self.backups.push(to);
    }

    /// How many copies there are.
    pub fn backups(&self) -> usize {
        self.backups.len()
    }

    /// An older copy is put back, with or without the marker of its place.
    pub fn put_back(&mut self, which: usize, with_marker: bool) {
        let from = self.backups[which].clone();
        std::fs::remove_dir_all(&self.dir).unwrap();
        copy_folder(&from, &self.dir);
        if !with_marker {
            drop(std::fs::remove_file(self.dir.join("place")));
        }
        self.unsynced.clear();
        self.unnamed.clear();
    }
}

fn is_death(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Died>()
}
