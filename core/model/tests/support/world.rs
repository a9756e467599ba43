//! A random week: five devices that know different things write into one thread.
//!
//! The same seed gives the same ops. Some are honest, some late, some forked, some hostile.

use kolonne_model::body::{Read, ReadMark, Retract, Say, Seen, SeenHead, Set, field};
use kolonne_model::control::{
    Admit, Complaint, Control, Erase, EraseReason, Span, WrappedAgain, Wrong,
};
use kolonne_model::ids::{Hash32, OpId, OpName, RingId, StrandHead};
use kolonne_model::judge::ThreadOps;
use kolonne_model::key::{HistorySecret, ThreadKey};
use kolonne_model::op::{MAX_LAMPORT_STEP, Unknown};
use kolonne_model::roster::change::{
    Adopt, Change, CutOfThread, End, EndMode, Move, Role, RoleChange, Subject, cut_list,
};
use kolonne_model::roster::part_hash;
use kolonne_model::strand::VerifiedOp;

use super::{
    Dice, Job, Pen, cut_at, key_made, members_in, members_out, next_generation, page_of, public,
    say_text, seat_id, secret, store, without_payload,
};

/// What a device knows and writes with.
struct Writer {
    person: usize,
    pen: Pen,
    /// An earlier state of the pen, as a clone or a restore would have it.
    old: Option<Pen>,
    known: Vec<usize>,
}

/// All that was ever written.
pub struct World {
    pub job: Job,
    pub ops: Vec<VerifiedOp>,
    pub parts: Vec<Vec<u8>>,
    pub secrets: Vec<HistorySecret>,
}

impl World {
    pub fn new(seed: u64, count: usize) -> Self {
        let job = Job::new();
        let ops = job.ops.clone();
        let mut world = Self {
            job,
            ops,
            parts: vec![],
            secrets: vec![secret(1)],
        };
        world.write(&mut Dice(seed), count);
        // The newest keys stay in an envelope: what is under them is held.
        for secret in world.secrets.iter().rev().skip(1) {
            let (company, thread) = (world.job.company.clone(), world.job.thread);
            world.job.keyring.hold(&company, &thread, secret);
        }
        let ops = world.ops.clone();
        world.job.keyring.open(&ops);
        world
    }

    fn write(&mut self, dice: &mut Dice, count: usize) {
        let mut writers: Vec<Writer> = (0..6)
            .map(|person| Writer {
                person,
                pen: self.job.pen(person, 500 + person as u64),
                old: None,
                known: (0..self.ops.len()).collect(),
            })
            .collect();
        let mut pcs: Vec<Pen> = self.job.company.devices[..2]
            .iter()
            .map(|device| Pen::new(&device.key, self.job.thread, store(700)))
            .collect();
        while self.ops.len() < count {
            let who = dice.below(writers.len());
            let writer = &mut writers[who];
            if dice.one_in(4) {
                // A contact: some or all of what there is, and the clock that comes with it.
                let all = dice.one_in(2);
                let known: Vec<usize> = (0..self.ops.len())
                    .filter(|_| all || dice.one_in(2))
                    .collect();
                let highest = known
                    .iter()
                    .map(|at| self.ops[*at].context().lamport)
                    .filter(|lamport| *lamport < 1 << 31)
                    .max();
                writer.pen.lamport = writer.pen.lamport.max(highest.unwrap_or(0));
                if !known.is_empty() {
                    writer.known = known;
                }
                writer.pen.roster = dice.one_in(2).then(|| self.job.company.roster.head());
            }
            if dice.one_in(60) {
                writer.old = Some(writer.pen.clone());
            }
            if dice.one_in(60)
                && let Some(old) = writer.old.take()
            {
                writer.pen = old;
            }
            if dice.one_in(80) {
                writer.pen = self.job.pen(writer.person, dice.roll());
                writer.pen.lamport = dice.roll() % 3000;
            }
            self.act(dice, writer, &mut pcs);
        }
    }

    fn any(&self, dice: &mut Dice, writer: &Writer) -> VerifiedOp {
        let at = writer.known[dice.below(writer.known.len())];
        self.ops[at].clone()
    }

    fn key(&self, dice: &mut Dice) -> ThreadKey {
        let newest = self.secrets.len() - 1;
        let at = if dice.one_in(3) {
            dice.below(self.secrets.len())
        } else {
            newest
        };
        self.secrets[at].thread_key()
    }

    fn act(&mut self, dice: &mut Dice, writer: &mut Writer, pcs: &mut [Pen]) {
        let company = self.job.company.clone();
        let key = self.key(dice);
        let target = self.any(dice, writer);
        let pen = &mut writer.pen;
        let op = match dice.below(100) {
            0..40 => pen.text(&company, &key, "Text"),
            40..50 => pen.data(&company, &key, say_text("Antwort", Some(target.id()))),
            50..58 => pen.data(&company, &key, edit(dice, Some(target.id()), &self.ops)),
            58..68 => pen.data(&company, &key, edit(dice, None, &self.ops)),
            68..71 => {
                let retract = Retract {
                    target: target.id(),
                    reason: None,
                };
                pen.data(&company, &key, Say::Retract(retract))
            }
            71..75 => {
                let marks = vec![ReadMark {
                    seat: target.context().seat,
                    store: target.context().store,
                    seq: target.context().seq,
                }];
                pen.data(&company, &key, Say::Read(Read { marks }))
            }
            75..78 => {
                let pc = &mut pcs[dice.below(2)];
                pc.lamport = pc.lamport.max(target.context().lamport % (1 << 31));
                let heads = vec![SeenHead {
                    seat: target.context().seat,
                    store: target.context().store,
                    head: target.head(),
                }];
                let seen = Say::Seen(Seen {
                    heads,
                    blobs: vec![],
                });
                pc.data(&company, &key, seen)
            }
            78..80 => {
                if dice.one_in(3) {
                    pen.unknown = Unknown::MustBeUnderstood;
                }
                let op = pen.data(&company, &key, Say::Unknown(4000));
                pen.unknown = Unknown::MayBePassedOver;
                op
            }
            80 => {
                let honest = pen.lamport;
                pen.lamport += MAX_LAMPORT_STEP + dice.roll() % 1000;
                let op = pen.text(&company, &key, "Sprung");
                pen.lamport = honest;
                op
            }
            81 => pen.data_bytes(&company, &key, &[0xff]),
            82 => pen.control_bytes(&company, &[0x82, 0x01]),
            83..86 => {
                let change = self.member_change(dice, &target);
                pen.control(&company, &change)
            }
            86..88 => {
                let secret = secret(1000 + self.ops.len() as u64);
                let control = kolonne_model::judge::control_state(
                    &ThreadOps::new(self.job.thread, &self.ops),
                    &company.roster,
                );
                let op = pen.control(
                    &company,
                    &key_made(&company, &pen.thread, &control, &secret),
                );
                self.secrets.push(secret);
                op
            }
            88..90 => {
                let ops = vec![target.id(), self.ops[dice.below(self.ops.len())].id()];
                let erase = Erase {
                    ops,
                    reason: EraseReason::Mistake,
                    blobs: None,
                    days: None,
                };
                pen.control(&company, &Control::Erase(erase))
            }
            90..92 => {
                let through = vec![cut_at(&target)];
                pen.control(&company, &Control::Admit(Admit { through }))
            }
            92 if dice.one_in(2) => pen.control(
                &company,
                &Control::WrappedAgain(WrappedAgain {
                    key_op: target.id(),
                    ring: company.crews[dice.below(3)],
                    generation: 1,
                    file: Hash32([5; 32]),
                }),
            ),
            92 => pen.control(
                &company,
                &Control::Complaint(Complaint {
                    key_op: target.id(),
                    ring: company.crews[dice.below(3)],
                    wrong: Wrong::DoesNotOpen,
                }),
            ),
            93 | 94 => {
                match dice.below(12) {
                    0 => self.root_undoes(dice),
                    1 => self.branches_merge(dice, pen),
                    _ => self.roster_change(dice, &target),
                }
                return;
            }
            95 => {
                let links = company.roster.links();
                let link = links[dice.below(links.len())];
                pen.roster = Some((link.position, link.digest));
                pen.text(&company, &key, "alter Stand")
            }
            _ => {
                let op = pen.text(&company, &key, "ohne Inhalt");
                without_payload(&op)
            }
        };
        self.ops.push(op);
        writer.known.push(self.ops.len() - 1);
    }

    fn member_change(&self, dice: &mut Dice, target: &VerifiedOp) -> Control {
        let company = &self.job.company;
        let rings: [RingId; 4] = [
            company.crews[1],
            company.crews[2],
            company.people[4].ring,
            company.office,
        ];
        let ring = rings[dice.below(4)];
        let ops = ThreadOps::new(self.job.thread, &self.ops);
        let control = kolonne_model::judge::control_state(&ops, &company.roster);
        let mut names: Vec<OpName> = control
            .member_writes
            .get(&ring)
            .cloned()
            .unwrap_or_default();
        if dice.one_in(3) {
            names.pop();
        }
        let context = target.context();
        if dice.one_in(2) {
            members_out(ring, vec![cut_at(target)], names)
        } else {
            let span = Span {
                seat: context.seat,
                store: context.store,
                from: context.seq,
                to: context.seq.saturating_add(3),
            };
            members_in(ring, vec![span], names)
        }
    }

    fn roster_change(&mut self, dice: &mut Dice, target: &VerifiedOp) {
        let chief = self.job.company.people[0].key.clone();
        let company = &mut self.job.company;
        let change = match dice.below(8) {
            0..3 => Change::Role(RoleChange {
                seat: company.people[2 + dice.below(4)].seat(),
                role: [Role::Crew, Role::Foreman, Role::Office][dice.below(3)],
            }),
            3..5 => Change::Move(Move {
                device: company.devices[2 + dice.below(3)].id,
                crew: Some(company.crews[dice.below(3)]),
            }),
            5 => {
                let ring = company.crews[dice.below(3)];
                next_generation(&company.roster, ring, dice.roll())
            }
            _ if self.parts.len() < 3 && self.ops.len() > 500 => {
                let list = cut_list(&[StrandHead {
                    strand: target.strand(),
                    head: target.head(),
                }]);
                let list_hash = part_hash(&list);
                self.parts.push(list);
                Change::End(End {
                    subject: Subject::Seat(company.people[3 + dice.below(3)].seat()),
                    mode: [EndMode::Soft, EndMode::Hard][dice.below(2)],
                    cuts: vec![CutOfThread {
                        thread: self.job.thread,
                        list: list_hash,
                    }],
                    more: None,
                })
            }
            _ => return,
        };
        company.change(&chief, vec![change]);
        for part in &self.parts {
            company.roster.add_part(part);
        }
    }

    /// The root goes back a few places, and takes some of what it undid up again.
    fn root_undoes(&mut self, dice: &mut Dice) {
        let company = &mut self.job.company;
        let links = company.roster.links();
        let places = links.len().saturating_sub(6).clamp(1, 6);
        let to = links[links.len() - 1 - dice.below(places)];
        let ops = company.roster_ops.iter().rev().take(3);
        let adopt = Change::Adopt(Adopt {
            ops: ops.map(VerifiedOp::id).filter(|_| dice.one_in(2)).collect(),
            branch: None,
        });
        let at = company.roster.links().len() as u64;
        let root = company.root.clone();
        let named = (to.position, to.digest);
        let drafted = company
            .roster
            .draft_on(named, &public(&root), at + 1, at, vec![adopt]);
        if let Ok((context, body)) = drafted {
            let op = company.sign_roster_op(&root, context, &body);
            company.append(op);
        }
        for part in &self.parts {
            company.roster.add_part(part);
        }
    }

    /// Someone wrote by a branch of the roster that is merged a moment later.
    fn branches_merge(&mut self, dice: &mut Dice, pen: &mut Pen) {
        let company = &mut self.job.company;
        let shared = company.roster_ops.len();
        let mut other = company.clone();
        let (chief, office) = (company.people[0].key.clone(), company.people[1].key.clone());
        for (company, by) in [(&mut *company, &chief), (&mut other, &office)] {
            for _ in 0..=dice.below(2) {
                let ring = company.crews[dice.below(3)];
                let moved = Change::Move(Move {
                    device: company.devices[2 + dice.below(3)].id,
                    crew: Some(company.crews[dice.below(3)]),
                });
                let next = next_generation(&company.roster, ring, dice.roll());
                company.change(by, vec![moved, next]);
            }
        }
        pen.roster = Some(other.roster.head());
        let branch: Vec<&VerifiedOp> = other.roster_ops[shared..].iter().collect();
        let adopt = Change::Adopt(Adopt {
            ops: branch.iter().map(|op| op.id()).collect(),
            branch: Some(page_of(&branch).into()),
        });
        company.change(&chief, vec![adopt]);
        for part in &self.parts {
            company.roster.add_part(part);
        }
    }

    pub fn seats(&self) -> Vec<kolonne_model::ids::SeatId> {
        self.job
            .company
            .people
            .iter()
            .map(|p| seat_id(&p.key))
            .collect()
    }
}

fn edit(dice: &mut Dice, subject: Option<OpId>, ops: &[VerifiedOp]) -> Say {
    let names = (0..dice.below(3))
        .map(|_| ops[dice.below(ops.len())].id().short())
        .collect();
    Say::Set(Set {
        field: if subject.is_some() {
            field::ENTRY_TEXT
        } else {
            [field::TITLE, field::STATUS, field::LABEL][dice.below(3)]
        },
        subject: subject.map(|id| id.0.to_vec().into()),
        value: (!dice.one_in(5)).then(|| format!("Wert {}", dice.below(100))),
        names,
    })
}
