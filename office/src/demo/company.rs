//! The demo's company: founded and enrolled by the real protocol over loopback, or opened again.
//! The two phones' words are compared by the program here, since nobody sits before both.

use std::path::PathBuf;

use kolonne_core::transport::Trust;
use kolonne_core::{Budget, Config, Error, InviteState, Kolonne, NewCompany, NewInvite, SeatGrant};
use kolonne_model::ids::PublicKey;
use kolonne_model::roster::change::{DeviceKind, Role};
use tokio::sync::oneshot;
use tokio::time::{Duration, sleep};

use super::content::week::{Week, Who};
use super::past;
use crate::failure::{Failure, Outcome};

/// The PINs of the crew's phone, once the week is there; the start page and the terminal say them.
pub const PINS: [(Who, &str); 2] = [(Who::Mehmet, "3805"), (Who::Jonas, "6142")];
const POLL: Duration = Duration::from_millis(50);

type Words = [(&'static str, &'static str); 4];

/// The three devices.
#[derive(Clone)]
pub struct Company {
    pub office: Kolonne,
    pub anna: Kolonne,
    pub crew: Kolonne,
}

impl Company {
    /// Whose device it is.
    pub fn device(&self, who: Who) -> &Kolonne {
        match who {
            Who::Sabine => &self.office,
            Who::Anna => &self.anna,
            Who::Mehmet | Who::Jonas => &self.crew,
        }
    }

    /// All of them.
    pub fn devices(&self) -> [&Kolonne; 3] {
        [&self.office, &self.anna, &self.crew]
    }

    /// Lets the crew's people in again, if a start that was cut off had set their PINs.
    pub fn let_in(&self) -> Outcome {
        for seat in self.crew.me()?.seats.iter().filter(|seat| seat.has_pin) {
            if let Some((_, pin)) = PINS.iter().find(|(who, _)| who.name() == seat.name) {
                self.crew.unlock(&seat.seat, pin)?;
            }
        }
        Ok(())
    }

    /// Gives the crew's people their PINs; whoever has one already keeps it. Their seats stay open.
    pub fn set_pins(&self) -> Outcome {
        for seat in self.crew.me()?.seats {
            let pin = PINS.iter().find(|(who, _)| who.name() == seat.name);
            if let (Some((_, pin)), false) = (pin, seat.has_pin) {
                self.crew.set_pin(&seat.seat, None, Some(pin))?;
            }
        }
        Ok(())
    }

    /// Founds the company and enrols the phones.
    pub async fn found(
        trust: &Trust,
        dirs: [PathBuf; 3],
        hub_url: &str,
        hub_key: PublicKey,
        week: &Week,
    ) -> Outcome<Self> {
        let [office, anna, crew] = dirs.map(|dir| config(trust, dir));
        let new = NewCompany {
            company_name: week.company.to_owned(),
            person_name: Who::Sabine.name().to_owned(),
            device_name: "Büro".to_owned(),
            hub_url: hub_url.to_owned(),
            hub_key: Some(hub_key),
        };
        let office = Kolonne::found(office, new).await?.kolonne;
        let anna_phone = phone(Who::Anna.name(), &[Who::Anna], Role::Foreman);
        let crew_phone = phone(week.crew, &[Who::Mehmet, Who::Jonas], Role::Crew);
        // One after the other: both change the roster.
        let anna = enrol(&office, anna_phone, anna).await?;
        let crew = enrol(&office, crew_phone, crew).await?;
        Ok(Self { office, anna, crew })
    }
}

/// Those of the three that still are the company's: a phone may have been shut out meanwhile.
pub struct Standing {
    pub office: Kolonne,
    pub anna: Option<Kolonne>,
    pub crew: Option<Kolonne>,
}

impl Standing {
    /// Opens the devices of an earlier start.
    pub fn open(trust: &Trust, dirs: [PathBuf; 3]) -> Outcome<Self> {
        let [office, anna, crew] = dirs.map(|dir| match Kolonne::open(config(trust, dir)) {
            Ok(kolonne) => Ok(Some(kolonne)),
            Err(Error::AuthExpired) => Ok(None),
            Err(error) => Err(Failure::from(error)),
        });
        Ok(Self {
            office: office?.ok_or_else(|| Failure::new("demo_gone"))?,
            anna: anna?,
            crew: crew?,
        })
    }

    /// All that are here.
    pub fn devices(&self) -> impl Iterator<Item = &Kolonne> {
        let phones = [self.anna.as_ref(), self.crew.as_ref()];
        std::iter::once(&self.office).chain(phones.into_iter().flatten())
    }

    /// The company, if nobody is missing.
    pub fn whole(&self) -> Option<Company> {
        Some(Company {
            office: self.office.clone(),
            anna: self.anna.clone()?,
            crew: self.crew.clone()?,
        })
    }
}

impl From<Company> for Standing {
    fn from(Company { office, anna, crew }: Company) -> Self {
        Self {
            office,
            anna: Some(anna),
            crew: Some(crew),
        }
    }
}

fn config(trust: &Trust, dir: PathBuf) -> Config {
    Config {
        clock: past::clock(),
        trust: trust.clone(),
        ..Config::new(dir)
    }
}

fn phone(crew: &str, people: &[Who], role: Role) -> NewInvite {
    let seat = |who: &Who| SeatGrant {
        person: None,
        name: who.name().to_owned(),
        role,
    };
    NewInvite {
        kind: DeviceKind::Phone,
        device_name: format!("Handy {crew}"),
        crew: None,
        crew_name: Some(crew.to_owned()),
        seats: people.iter().map(seat).collect(),
    }
}

async fn enrol(office: &Kolonne, new: NewInvite, config: Config) -> Outcome<Kolonne> {
    let me = office.me()?;
    let seat = me
        .seats
        .first()
        .ok_or_else(|| Failure::new("not_found.seat"))?;
    let mut invitation = office.invite(&seat.seat, new).await?;
    let code = invitation.text();
    let (tell, told) = oneshot::channel::<Words>();
    let at_phone = async {
        let mut enrolment = Kolonne::enrol(config, &code).await?.without_pins();
        // Nobody waits for them any more only if the office has failed already.
        let _ = tell.send(enrolment.words().await?);
        Ok::<_, Failure>(enrolment.admitted().await?)
    };
    let at_office = async {
        let mut told = Some(told);
        loop {
            match invitation.step().await? {
                InviteState::Admitted => return Ok(()),
                InviteState::Expired => return Err(Failure::new("invite_expired")),
                InviteState::Waiting => {}
                InviteState::Words(words) => {
                    if let Some(told) = told.take() {
                        let same = told.await.is_ok_and(|there| there == words);
                        if !same {
                            return Err(Failure::new("demo_words"));
                        }
                        invitation.admit().await?;
                    }
                }
            }
            sleep(POLL).await;
        }
    };
    let (phone, ()) = tokio::try_join!(at_phone, at_office)?;
    phone.sync_once(Budget::unlimited()).await?;
    Ok(phone)
}
