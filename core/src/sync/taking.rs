//! What follows, in one transaction, from a page that came or a roster that grew: ops are taken,
//! judged by the roster that holds, and folded.

use std::collections::BTreeSet;

use kolonne_model::hub::Part;
use kolonne_model::ids::ThreadId;
use kolonne_model::roster::Roster;
use rusqlite::Transaction;

use super::lineage;
use crate::error::Error;
use crate::folding::unfolded::{self, Rest};
use crate::inbox::{self, Taken};
use crate::kolonne::Inner;
use crate::records::Changed;
use crate::{folding, keys, new_hub, seats};

impl Inner {
    /// What follows, in the same transaction, when another roster holds than before: everything is
    /// judged by it. All threads.
    pub(crate) fn judge_by(
        &self,
        tx: &Transaction<'_>,
        before: &Roster,
        roster: &Roster,
    ) -> Result<BTreeSet<ThreadId>, Error> {
        another_hub(tx, before, roster)?;
        keys::open_rings(tx, roster)?;
        let threads = folding::all_threads(tx, roster)?.into_iter().collect();
        self.judge_threads(tx, roster, &threads)?;
        Ok(threads)
    }

    fn judge_threads(
        &self,
        tx: &Transaction<'_>,
        roster: &Roster,
        threads: &BTreeSet<ThreadId>,
    ) -> Result<(), Error> {
        for thread in threads {
            folding::refold(tx, roster, &self.device, thread)?;
        }
        self.open_as_people(tx, roster, threads.iter().copied())
            .map(drop)
    }

    /// What follows once a chain that [`Inner::judge_by`] judged by lies on the disk.
    pub(crate) fn went_on(&self, chain: Roster) -> Result<(), Error> {
        self.keep_roster(chain);
        self.forget_other_hub()
    }

    /// Takes a page in one transaction and folds what it touched, but for what is to be folded with
    /// the rest that comes.
    pub(crate) fn take_page(
        &self,
        page: &[u8],
        parts: &[Part],
        rest: Rest,
    ) -> Result<Taken, Error> {
        let (taken, folded, roster) = self.store.write(|tx| {
            let before = self.roster(tx)?;
            let mut chain = (*self.chain(tx)?).clone();
            let taken = inbox::take(tx, &mut chain, page, parts, self.now_ms())?;
            let both = self.beside_other(tx, &chain)?;
            let roster = both.as_ref().unwrap_or(&chain);
            let folded = if taken.roster_grew {
                self.judge_by(tx, &before, roster)?
            } else {
                let due = unfolded::due(tx, &taken, rest)?;
                self.judge_threads(tx, roster, &due)?;
                due
            };
            seats::take_shares(tx)?;
            Ok((taken, folded, chain))
        })?;
        if taken.roster_grew {
            self.went_on(roster)?;
            self.tell(Changed::People);
            self.tell(Changed::Devices);
        }
        self.tell_folded(&folded);
        Ok(taken)
    }

    /// Folds what waited for more, which perhaps never came.
    pub(crate) fn fold_rest(&self) -> Result<(), Error> {
        if self.store.read(|db| unfolded::all(db))?.is_empty() {
            return Ok(());
        }
        let folded = self.store.write(|tx| {
            let roster = self.roster(tx)?;
            let rest = unfolded::all(tx)?;
            self.judge_threads(tx, &roster, &rest)?;
            seats::take_shares(tx)?;
            Ok(rest)
        })?;
        self.tell_folded(&folded);
        Ok(())
    }

    fn tell_folded(&self, threads: &BTreeSet<ThreadId>) {
        for thread in threads {
            self.tell(Changed::Thread(*thread));
        }
        if !threads.is_empty() {
            self.tell(Changed::Threads);
            self.tell(Changed::People);
            self.tell(Changed::Me);
        }
    }
}

/// The roster certified another hub: receipts of the one before say nothing any more.
fn another_hub(tx: &Transaction<'_>, before: &Roster, now: &Roster) -> Result<(), Error> {
    if before.hub_key().is_some() && before.hub_key() != now.hub_key() {
        lineage::begin_again(tx)?;
        new_hub::forget(tx)?;
    }
    Ok(())
}
