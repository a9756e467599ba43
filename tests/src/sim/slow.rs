//! One phone on a slow line that is cut again and again, on a virtual clock: packets of all requests
//! under way take turns, as on a real link. What had passed when the line was cut has passed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kolonne_core::transport::{Reply, Request};
use kolonne_core::{AskId, Event};
use kolonne_model::cbor;
use kolonne_model::hub::HubError;
use kolonne_model::ids::{PublicKey, ThreadId};
use tempfile::TempDir;

use super::chance::randomness;
use super::device::{SimDevice, Stepped, Todo};
use super::hub::SimHub;
use super::template::{Template, scratch};
use crate::Device;
use crate::files::copy_folder;

/// What a packet carries.
const PACKET_BYTES: u64 = 1024;
/// What HTTP and TLS add to a request and its answer.
const AROUND_BYTES: u64 = 300;

struct Transfer {
    id: AskId,
    to: PublicKey,
    request: Request,
    up_bytes: u64,
    sent_bytes: u64,
    down: Option<(Result<Reply, HubError>, u64)>,
}

/// A phone, its line and the hub.
pub struct SlowLine<'a> {
    template: &'a Template,
    _dir: TempDir,
    began_ms: u64,
    now_us: u64,
    clock_ms: Arc<AtomicU64>,
    hub: SimHub,
    phone: SimDevice,
    under_way: VecDeque<Transfer>,
    until: Option<Duration>,
    /// Bytes a second, each way together.
    rate_bytes_per_s: u64,
    /// Between two cuts.
    cut_every_ms: Option<u64>,
    next_cut_ms: u64,
    /// Everything that went over the line, both ways.
    pub line_bytes: u64,
}

impl<'a> SlowLine<'a> {
    /// The foreman's phone.
    pub fn new(template: &'a Template, rate_bytes_per_s: u64, cut_every_ms: Option<u64>) -> Self {
        let dir = scratch();
        let began_ms = template.now_ms + 60_000;
        let clock_ms = Arc::new(AtomicU64::new(began_ms));
        copy_folder(&template.dir.path().join("hub"), &dir.path().join("hub"));
        let hub = SimHub::new(dir.path().join("hub"), Arc::clone(&clock_ms), 1);
        let anna = template.devices.iter().find(|device| device.name == "Anna");
        let anna = anna.expect("the foreman").clone();
        let folder = dir.path().join(&anna.folder);
        copy_folder(&template.dir.path().join(&anna.folder), &folder);
        let mut phone = SimDevice::new(anna, folder, Arc::clone(&clock_ms), randomness(1, "slow"));
        phone.switch_on().unwrap();
        let mut line = Self {
            template,
            _dir: dir,
            began_ms,
            now_us: 0,
            clock_ms,
            hub,
            phone,
            under_way: VecDeque::new(),
            until: None,
            rate_bytes_per_s,
            cut_every_ms,
            next_cut_ms: cut_every_ms.unwrap_or(u64::MAX),
            line_bytes: 0,
        };
        line.step(Event::Time);
        line
    }

    /// What its owner sees and does.
    pub fn phone(&self) -> &Device {
        self.phone.device()
    }

    /// The job that everyone is in.
    pub fn job(&self) -> ThreadId {
        self.template.jobs[0]
    }

    /// Time that has gone by.
    pub fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    /// Something was written.
    pub fn nudge(&mut self) {
        self.step(Event::Nudged);
    }

    /// Its owner does something.
    pub fn does<T>(&mut self, work: impl FnOnce(&Device) -> T) -> T {
        let done = match self.phone.during(|phone| work(phone.device())) {
            Stepped::On(value) => value,
            Stepped::Died => panic!("nothing kills it here"),
        };
        self.nudge();
        done
    }

    /// The phone's process dies and starts again.
    pub fn die(&mut self) {
        self.phone.die();
        self.cut();
        self.under_way.clear();
        self.phone.switch_on().unwrap();
        self.step(Event::Time);
    }

    /// Goes on until this holds. How long it took.
    pub fn until(&mut self, patience_ms: u64, holds: impl Fn(&Device) -> bool) -> Duration {
        let since_ms = self.now_ms();
        while !holds(self.phone()) {
            assert!(self.now_ms() - since_ms < patience_ms, "it never comes");
            self.go_on();
        }
        Duration::from_millis(self.now_ms() - since_ms)
    }

    /// Goes on for a while.
    pub fn for_ms(&mut self, ms: u64) {
        let end_ms = self.now_ms() + ms;
        while self.now_ms() < end_ms {
            self.go_on();
        }
    }

    /// One packet, or the time until something happens.
    fn go_on(&mut self) {
        if self.now_ms() >= self.next_cut_ms {
            self.next_cut_ms = self.now_ms() + self.cut_every_ms.unwrap_or(u64::MAX);
            return self.cut();
        }
        let Some(mut transfer) = self.under_way.pop_front() else {
            // A wake stream may lie open; nothing moves until the engine wants to.
            let due_ms = self.until.map_or(1_000, |until| {
                u64::try_from(until.as_millis())
                    .unwrap()
                    .saturating_sub(self.now_ms())
            });
            self.pass_ms(due_ms.clamp(1, 1_000));
            return self.step(Event::Time);
        };
        self.line_bytes += PACKET_BYTES;
        self.now_us += PACKET_BYTES * 1_000_000 / self.rate_bytes_per_s;
        self.tick();
        if transfer.down.is_none() {
            transfer.sent_bytes += PACKET_BYTES;
            if transfer.sent_bytes >= transfer.up_bytes {
                self.line_bytes -= transfer.sent_bytes - transfer.up_bytes;
                self.arrive(transfer);
            } else {
                self.under_way.push_back(transfer);
            }
            return;
        }
        if let Some((answer, left)) = transfer.down.take() {
            self.line_bytes -= PACKET_BYTES.saturating_sub(left);
            let left = left.saturating_sub(PACKET_BYTES);
            if left == 0 {
                self.step(Event::Answer(transfer.id, answer));
            } else {
                transfer.down = Some((answer, left));
                self.under_way.push_back(transfer);
            }
        }
        if self
            .until
            .is_some_and(|until| until <= Duration::from_millis(self.now_ms()))
        {
            self.step(Event::Time);
        }
    }

    fn arrive(&mut self, mut transfer: Transfer) {
        let enrolled = self.phone.enrolled.clone();
        let request = transfer.request.clone();
        let company = self.template.company;
        // News never come here: the line is measured, not the stream.
        if let Some(answer) = self.hub.serve(company, &enrolled, transfer.to, &request) {
            let down_bytes = AROUND_BYTES + answer.as_ref().map_or(0, reply_bytes);
            transfer.down = Some((answer, down_bytes));
            self.under_way.push_back(transfer);
        }
    }

    fn pass_ms(&mut self, ms: u64) {
        self.now_us += ms * 1000;
        self.tick();
    }

    fn tick(&mut self) {
        self.clock_ms
            .store(self.began_ms + self.now_ms(), Ordering::Relaxed);
    }

    /// The line is cut: what is under way breaks off.
    fn cut(&mut self) {
        let broken: Vec<Transfer> = self.under_way.drain(..).collect();
        for transfer in broken {
            let passed = transfer.sent_bytes.saturating_sub(AROUND_BYTES);
            if let Request::AppendUpload {
                name,
                offset_bytes,
                mut bytes,
            } = transfer.request
                && transfer.down.is_none()
                && passed > 0
            {
                bytes.truncate(usize::try_from(passed).unwrap());
                let prefix = Request::AppendUpload {
                    name,
                    offset_bytes,
                    bytes,
                };
                let enrolled = self.phone.enrolled.clone();
                drop(
                    self.hub
                        .serve(self.template.company, &enrolled, transfer.to, &prefix),
                );
            }
            if self.phone.is_on() {
                self.step(Event::Answer(transfer.id, Err(HubError::Unreachable)));
            }
        }
    }

    fn step(&mut self, event: Event) {
        let now = Duration::from_millis(self.now_ms());
        match self.phone.step(event, now) {
            Stepped::On(todo) => self.follow(todo),
            Stepped::Died => panic!("nothing kills it here"),
        }
    }

    fn follow(&mut self, todo: Todo) {
        self.under_way
            .retain(|transfer| !todo.cancelled.contains(&transfer.id));
        for (id, to, request) in todo.asks {
            let up_bytes = AROUND_BYTES + request_bytes(&request);
            self.under_way.push_back(Transfer {
                id,
                to,
                request,
                up_bytes,
                sent_bytes: 0,
                down: None,
            });
        }
        self.until = todo.until;
    }
}

fn request_bytes(request: &Request) -> u64 {
    let bytes = match request {
        Request::Push(push) => cbor::encode(push).len(),
        Request::AppendUpload { bytes, .. } => bytes.len(),
        Request::Found(founding) => cbor::encode(founding).len(),
        Request::AppendRoster(append) => cbor::encode(append).len(),
        Request::Fetch(fetch) => cbor::encode(fetch).len(),
        _ => 100,
    };
    bytes as u64
}

fn reply_bytes(reply: &Reply) -> u64 {
    let bytes = match reply {
        Reply::Push(answer) => cbor::encode(answer).len(),
        Reply::Pull(answer) => cbor::encode(answer).len(),
        Reply::Fetch(answer) => cbor::encode(answer).len(),
        Reply::Heads(answer) => cbor::encode(answer).len(),
        Reply::Roster(answer) => cbor::encode(answer).len(),
        Reply::Bytes(bytes) => bytes.len(),
        _ => 100,
    };
    bytes as u64
}
