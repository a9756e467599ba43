//! What happens to a company in a simulation, and how it ends: then everything works again.

use kolonne_core::Event;
use kolonne_core::transport::Reply;
use kolonne_model::hub::HubError;
use kolonne_model::ids::ThreadId;

use super::liar::Lie;
use super::{Plan, Sim};

/// Kinds of faults, as bits of [`Plan::faults`].
pub mod fault {
    /// A process is killed, or its power goes.
    pub const DEATH: u32 = 1;
    /// It dies in the middle of writing.
    pub const DEATH_AT_A_POINT: u32 = 1 << 1;
    /// Its disk is full for a while.
    pub const FULL_DISK: u32 = 1 << 2;
    /// It has no network for a while.
    pub const PARTITION: u32 = 1 << 3;
    /// Its clock jumps, up to ten years.
    pub const CLOCK: u32 = 1 << 4;
    /// The hub is restarted.
    pub const HUB_RESTART: u32 = 1 << 5;
    /// The hub is put back to an older copy.
    pub const HUB_PUT_BACK: u32 = 1 << 6;
    /// The hub is lost; an empty one stands in its place.
    pub const HUB_LOST: u32 = 1 << 7;
    /// An older copy of a device is put back.
    pub const DEVICE_PUT_BACK: u32 = 1 << 8;
    /// The system stops the app for a while, or the network changes.
    pub const SUSPEND: u32 = 1 << 9;
    /// The office ends rights, changes members, erases.
    pub const OFFICE: u32 = 1 << 10;
    /// Answers come back changed.
    pub const GARBLED: u32 = 1 << 11;
    /// The hub of half of the seeds says what isn't so.
    pub const LYING_HUB: u32 = 1 << 12;
    /// Requests and answers are lost.
    pub const LOSS: u32 = 1 << 13;
    /// Requests come twice.
    pub const TWICE: u32 = 1 << 14;
    /// Half of the seeds get what is new one by one.
    pub const SMALL_PAGES: u32 = 1 << 15;

    /// All of them by name.
    pub const ALL: [(u32, &str); 16] = [
        (DEATH, "deaths"),
        (DEATH_AT_A_POINT, "deaths while writing"),
        (FULL_DISK, "full disks"),
        (PARTITION, "partitions"),
        (CLOCK, "clocks"),
        (HUB_RESTART, "hub restarted"),
        (HUB_PUT_BACK, "hub put back"),
        (HUB_LOST, "hub lost"),
        (DEVICE_PUT_BACK, "devices put back"),
        (SUSPEND, "suspended"),
        (OFFICE, "the office decides"),
        (GARBLED, "changed answers"),
        (LYING_HUB, "lying hub"),
        (LOSS, "loss"),
        (TWICE, "doubled requests"),
        (SMALL_PAGES, "small pages"),
    ];
}

/// How many kinds of lies there are to draw from.
pub const LIES: usize = 17;
const TEN_YEARS_MS: i64 = 10 * 365 * 24 * 3600 * 1000;

impl Sim<'_> {
    /// One thing more.
    pub(super) fn something_happens(&mut self, plan: &Plan) -> Result<(), String> {
        self.some_come_back()?;
        if self.lies.permille(self.lies_permille) {
            self.the_hub_lies(plan.lie);
        }
        let may = |fault: u32| plan.faults & fault != 0;
        match self.chance.below(100) {
            0..60 => self.somebody_writes(),
            60..68 if may(fault::OFFICE) => self.the_office_decides(),
            68..72 if may(fault::DEATH) => self.a_death(),
            72..76 if may(fault::DEATH_AT_A_POINT) => {
                let at = self.chance.below(self.devices.len());
                self.devices[at].dies_in = Some(self.chance.below(12) as u32);
                self.tell(Some(at), "will die at a point");
            }
            76..79 if may(fault::FULL_DISK) => {
                let at = self.chance.below(self.devices.len());
                self.devices[at].disk_full = !self.devices[at].disk_full;
                self.tell(Some(at), "its disk is full, or no longer");
            }
            79..84 if may(fault::PARTITION) => {
                let at = self.chance.below(self.devices.len());
                self.devices[at].is_online = !self.devices[at].is_online;
                self.tell(Some(at), "loses its network, or has it again");
            }
            84..87 if may(fault::CLOCK) => {
                let at = self.chance.below(self.devices.len());
                let off_ms = self.chance.draw().cast_signed() % TEN_YEARS_MS;
                let clock = &self.devices[at].clock_off_ms;
                clock.store(off_ms, std::sync::atomic::Ordering::Relaxed);
                self.tell(Some(at), "its clock jumps");
            }
            87..89 if may(fault::HUB_RESTART) => {
                self.tell(None, "the hub is restarted");
                self.hub.restart();
                self.drop_listeners();
            }
            89..91 if may(fault::HUB_PUT_BACK) => {
                self.tell(None, "a copy of the hub is made");
                self.hub.copy();
                self.drop_listeners();
            }
            91 if may(fault::HUB_PUT_BACK) => {
                let which = self.chance.below(16);
                if self.hub.put_back(which) {
                    self.tell(None, "an older copy of the hub is put back");
                    self.drop_listeners();
                }
            }
            92 if may(fault::HUB_LOST) && self.chance.permille(250) => {
                self.tell(None, "the hub is lost");
                self.hub.lose();
                self.drop_listeners();
            }
            93..96 if may(fault::DEVICE_PUT_BACK) => self.a_copy_of_a_device()?,
            96..100 if may(fault::SUSPEND) => {
                let at = self.chance.below(self.devices.len());
                if self.devices[at].is_on() {
                    let event = match self.chance.below(3) {
                        0 => Event::Suspended,
                        1 => Event::Resumed,
                        _ => Event::NetworkChanged,
                    };
                    self.tell(Some(at), &format!("{event:?}"));
                    self.step(at, event);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn a_death(&mut self) {
        let at = self.chance.below(self.devices.len());
        if !self.devices[at].is_on() {
            return;
        }
        self.deaths += 1;
        if self.chance.permille(500) {
            self.tell(Some(at), "is killed");
            self.devices[at].die();
        } else {
            self.tell(Some(at), "loses its power");
            self.devices[at].lose_power();
        }
    }

    /// A copy is made, or an older one is put back.
    fn a_copy_of_a_device(&mut self) -> Result<(), String> {
        let at = self.chance.below(self.devices.len());
        if self.devices[at].is_gone {
            return Ok(());
        }
        self.devices[at].die();
        if self.devices[at].backups() == 0 || self.chance.permille(500) {
            self.tell(Some(at), "is copied");
            self.devices[at].back_up();
            return self.switch_on(at);
        }
        let which = self.chance.below(self.devices[at].backups());
        let with_marker = self.chance.permille(500);
        self.tell(Some(at), "an older copy of it is put back");
        self.devices[at].put_back(which, with_marker);
        for captured in &mut self.captured {
            // Whatever had not left it is gone with it.
            captured.excused |= captured.device == at;
        }
        self.switch_on(at)
    }

    pub(super) fn switch_on(&mut self, at: usize) -> Result<(), String> {
        match self.devices[at].switch_on() {
            Ok(()) => {
                self.step(at, Event::Time);
                Ok(())
            }
            Err(error) => Err(format!(
                "{} doesn't open: {error:?}",
                self.devices[at].enrolled.name
            )),
        }
    }

    fn some_come_back(&mut self) -> Result<(), String> {
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            if !device.is_on() && !device.is_gone && self.chance.permille(300) {
                self.tell(Some(at), "starts");
                self.switch_on(at)?;
            }
        }
        Ok(())
    }

    /// The hub begins to lie, to one device or to all, for a while.
    fn the_hub_lies(&mut self, kind: Option<usize>) {
        let at = self.lies.below(self.devices.len());
        let to = self.lies.permille(700).then_some(at);
        let device = self.devices[at].if_on();
        let thread = self.lies.of(&self.jobs).copied().unwrap_or(ThreadId::ZERO);
        let seat = device.and_then(|device| Some(device.core().me().ok()?.seats.first()?.seat));
        let lie = match kind.unwrap_or(self.lies.below(LIES)) {
            0 | 1 => Lie::HidesAThread(thread),
            2 => match seat {
                // What this device's people wrote isn't there for the others.
                Some(seat) => Lie::HidesAStrand(thread, seat),
                None => Lie::HidesAThread(thread),
            },
            3 => Lie::OlderRoster(1 + self.lies.below(4) as u32),
            4 => Lie::MoreHeads,
            5 => Lie::FewerHeads,
            6 => Lie::ShortCut,
            7 | 8 => Lie::SignsForOpsItThrowsAway,
            9 => Lie::OtherReceipts,
            10 => Lie::SignsForBlobsItThrowsAway,
            11 => Lie::WrongSums,
            12 => Lie::SameCursor,
            13 => Lie::PagesTwice,
            14 => Lie::Refuses,
            15 => Lie::OtherErrors,
            _ => match self.lies.below(2) {
                0 => Lie::OtherBlobs,
                _ => Lie::TimeAndNews,
            },
        };
        let to = if matches!(lie, Lie::HidesAStrand(..)) {
            None
        } else {
            to
        };
        let for_ms = 1_000 + self.lies.draw() % 400_000;
        let name = to.map_or("everyone", |_| &self.devices[at].enrolled.name);
        let told = format!("the hub lies to {name} for {for_ms} ms: {}", lie.name());
        self.tell(None, &told);
        self.told_lies += 1;
        if lie.makes_believe() {
            let betrayed = |it: &usize| to.is_none() || *it == at;
            self.betrayed
                .extend((0..self.devices.len()).filter(betrayed));
        }
        let to = to.map(|_| self.devices[at].enrolled.id);
        let until_ms = self.now() + for_ms;
        self.hub.liar.tell(lie, to, until_ms);
    }

    /// Streams end with the hub.
    fn drop_listeners(&mut self) {
        for (device, life, id, _) in std::mem::take(&mut self.listening) {
            let at_ms = self.now() + self.way_ms();
            let back = super::What::Back {
                to: device,
                life,
                via: super::Via::Engine(id),
                answer: Err(HubError::Unreachable),
            };
            self.plan(at_ms, back);
        }
    }

    /// An answer on its way back, perhaps changed: proven things are proven all the same.
    pub(super) fn garbled(&mut self, answer: Result<Reply, HubError>) -> Result<Reply, HubError> {
        if !self.chance.permille(self.garbled_permille) {
            return answer;
        }
        let flip = |bytes: &mut [u8], chance: &mut super::Chance| {
            if !bytes.is_empty() {
                let at = chance.below(bytes.len());
                bytes[at] ^= 1 << chance.below(8);
            }
        };
        match answer {
            Ok(Reply::Pull(mut pull)) => {
                match self.chance.below(3) {
                    0 => flip(&mut pull.page, &mut self.chance),
                    1 => flip(&mut pull.sum, &mut self.chance),
                    _ => pull.parts.clear(),
                }
                Ok(Reply::Pull(pull))
            }
            Ok(Reply::Push(mut push)) => {
                for receipt in &mut push.receipts {
                    receipt.hub_seq ^= 1;
                }
                Ok(Reply::Push(push))
            }
            Ok(Reply::Heads(mut heads)) => {
                heads.heads.pop();
                Ok(Reply::Heads(heads))
            }
            Ok(Reply::Bytes(mut bytes)) => {
                flip(&mut bytes, &mut self.chance);
                Ok(Reply::Bytes(bytes))
            }
            // A captive portal.
            Ok(_) => Err(HubError::NotTheHub),
            Err(error) => Err(error),
        }
    }

    /// The faults stop: networks are there, disks have room, everyone is switched on.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        self.tell(None, "the faults stop");
        (
            self.loss_permille,
            self.twice_permille,
            self.garbled_permille,
        ) = (0, 0, 0);
        self.hub.liar.repent();
        for at in 0..self.devices.len() {
            self.devices[at].is_online = true;
            self.devices[at].disk_full = false;
            self.devices[at].dies_in = None;
            if !self.devices[at].is_on() && !self.devices[at].is_gone {
                self.switch_on(at)?;
            }
            if self.devices[at].is_on() {
                self.try_again_what_is_stuck(at)?;
                self.step(at, Event::Resumed);
            }
        }
        self.run_for(120_000);
        self.certify_the_hub()
    }

    /// What a lying hub refused hangs fast, explained; its people try again.
    fn try_again_what_is_stuck(&mut self, at: usize) -> Result<(), String> {
        let device = self.devices[at].device();
        let error = |error: kolonne_core::Error| format!("stuck: {error:?}");
        let Some(seat) = device
            .core()
            .me()
            .ok()
            .and_then(|me| Some(me.seats.first()?.seat))
        else {
            return Ok(());
        };
        let stuck = device.core().stuck(&seat).map_err(error)?;
        for one in stuck {
            device.core().retry_stuck(&one.id).map_err(error)?;
        }
        Ok(())
    }

    /// An admin reads the new hub's key off its screen.
    fn certify_the_hub(&mut self) -> Result<(), String> {
        let key = self.hub.key();
        for _ in 0..10 {
            let Some(at) = (0..self.devices.len()).find(|at| self.devices[*at].is_on()) else {
                return Err("no office is left".to_owned());
            };
            let core = self.devices[at].device().core().clone();
            let status = core
                .status()
                .map_err(|error| format!("status: {error:?}"))?;
            if status.new_hub.is_none() {
                return Ok(());
            }
            let seat = self.devices[at].device().seat();
            self.tell(Some(at), "certifies the new hub");
            self.acts(at, async move { core.certify_hub(&seat, &key).await });
            self.run_for(120_000);
        }
        Err("the new hub isn't certified".to_owned())
    }
}
