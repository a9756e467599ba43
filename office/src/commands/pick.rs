//! Finds what a person means by a part of a name or the beginning of an id. Never guesses: two
//! that fit are an error.

use kolonne_core::Kolonne;
use kolonne_core::capture::SealFor;
use kolonne_core::records::{
    Alarm, DeviceRecord, Entry, LockedSeat, Me, Person, SeatRecord, ThreadRow,
};
use kolonne_model::ids::{OpId, RingId, SeatId, ThreadId};

use crate::failure::{Failure, Outcome};
use crate::output::clean_line;

/// Fewest hex digits that count as the beginning of an id, before any name; and after all of them,
/// since a house number may look like it.
const MIN_ID_CHARS: usize = 6;
const MIN_SHORT_ID_CHARS: usize = 3;
/// Characters of an id in a list.
const SHORT_ID_CHARS: usize = 8;
/// Most that an ambiguous name lists.
const MAX_CANDIDATES: usize = 12;
/// Entries looked through for the beginning of an id.
const LOOK_BACK: u32 = 500;

/// The one that is meant: an id (or its beginning), a whole name, or a part of one name only.
fn unique<'a, T>(
    items: &'a [T],
    wanted: &str,
    id: impl Fn(&T) -> String,
    name: impl Fn(&T) -> &str,
    kind: &'static str,
) -> Outcome<&'a T> {
    unique_told_apart(items, wanted, id, &name, |item| name(item).to_owned(), kind)
}

/// The same; `label` tells several of one name apart.
fn unique_told_apart<'a, T>(
    items: &'a [T],
    wanted: &str,
    id: impl Fn(&T) -> String,
    name: impl Fn(&T) -> &str,
    label: impl Fn(&T) -> String,
    kind: &'static str,
) -> Outcome<&'a T> {
    let wanted = wanted.trim();
    let lower = wanted.to_lowercase();
    let begins = |item: &&T, fewest: usize| {
        wanted.len() >= fewest
            && wanted.bytes().all(|byte| byte.is_ascii_hexdigit())
            && id(item).starts_with(&lower)
    };
    let by_id = |item: &&T| begins(item, MIN_ID_CHARS);
    let by_short_id = |item: &&T| begins(item, MIN_SHORT_ID_CHARS);
    let whole = |item: &&T| name(item).to_lowercase() == lower;
    let part = |item: &&T| !lower.is_empty() && name(item).to_lowercase().contains(&lower);
    let ways: [&dyn Fn(&&T) -> bool; 4] = [&by_id, &whole, &part, &by_short_id];
    for fits in ways {
        let mut found = items.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(one), None) => return Ok(one),
            (Some(_), Some(_)) => {
                let several = items.iter().filter(fits);
                return Err(ambiguous(
                    wanted,
                    several.map(|item| (id(item), label(item))),
                ));
            }
            (None, _) => {}
        }
    }
    let unknown = Failure::new(&format!("not_found.{kind}"));
    Err(if wanted.is_empty() {
        unknown
    } else {
        unknown.about(wanted)
    })
}

/// The beginning of an id, as lists show it.
pub fn short(id: &impl ToString) -> String {
    id.to_string().chars().take(SHORT_ID_CHARS).collect()
}

/// Several fit: these, each with what tells it apart.
fn ambiguous(wanted: &str, several: impl Iterator<Item = (String, String)>) -> Failure {
    let lines: Vec<String> = several
        .take(MAX_CANDIDATES)
        .map(|(id, name)| format!("{}  {}", short(&id), clean_line(&name)))
        .collect();
    Failure {
        detail: Some(lines.join("\n  ")),
        ..Failure::new("ambiguous").about(wanted)
    }
}

/// Who acts: the one asked for, else the only one.
pub fn seat<'a>(me: &'a Me, wanted: Option<&str>) -> Outcome<&'a SeatRecord> {
    match (wanted, me.seats.as_slice()) {
        (Some(wanted), seats) => unique(
            seats,
            wanted,
            |seat| seat.seat.to_string(),
            |seat| &seat.name,
            "seat",
        ),
        (None, [only]) => Ok(only),
        (None, []) => Err(Failure::new("not_found.seat")),
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|seat| seat.name.as_str()).collect();
            Err(Failure::new("who").about(names.join(", ")))
        }
    }
}

/// A thread by a part of its title.
pub fn job(kolonne: &Kolonne, seat: &SeatId, wanted: &str) -> Outcome<ThreadRow> {
    let threads = kolonne.threads(seat, "")?;
    let label = |row: &ThreadRow| {
        let told = [
            Some(&row.title),
            row.customer.as_ref(),
            row.address.as_ref(),
        ];
        let told: Vec<&str> = told.into_iter().flatten().map(String::as_str).collect();
        told.join(", ")
    };
    unique_told_apart(
        &threads,
        wanted,
        |row| row.id.to_string(),
        |row| &row.title,
        label,
        "thread",
    )
    .cloned()
}

/// A device by a part of its name; one that has ended counts only where no other fits, and is told.
pub fn device(kolonne: &Kolonne, wanted: &str) -> Outcome<DeviceRecord> {
    let (live, ended): (Vec<_>, Vec<_>) = kolonne
        .devices()?
        .into_iter()
        .partition(|device| device.ended.is_none());
    let find = |devices: &[DeviceRecord]| {
        unique(
            devices,
            wanted,
            |device| device.id.to_string(),
            |device| &device.name,
            "device",
        )
        .cloned()
    };
    let found = find(&live);
    let unknown = found
        .as_ref()
        .is_err_and(|failure| failure.code == "not_found.device");
    let is_ended = match find(&ended) {
        Ok(_) => true,
        Err(failure) => failure.code == "ambiguous",
    };
    if unknown && is_ended {
        return Err(Failure::new("invalid.subject.ended").about(wanted));
    }
    found
}

/// A device by a part of its name, whether it has ended or not.
pub fn any_device(kolonne: &Kolonne, wanted: &str) -> Outcome<DeviceRecord> {
    let devices = kolonne.devices()?;
    let id = |device: &DeviceRecord| device.id.to_string();
    unique(&devices, wanted, id, |device| &device.name, "device").cloned()
}

/// A person by a part of their name.
pub fn person(kolonne: &Kolonne, wanted: &str) -> Outcome<Person> {
    let (people, _) = kolonne.people()?;
    let found = unique(
        &people,
        wanted,
        |person| person.id.to_string(),
        |person| &person.name,
        "person",
    );
    found.cloned()
}

/// People by parts of their names, to write to them.
pub fn people(kolonne: &Kolonne, wanted: &[String]) -> Outcome<Vec<RingId>> {
    let found = wanted.iter().map(|name| {
        let person = person(kolonne, name)?;
        if person.seats == 0 {
            return Err(Failure::new("not_found.person.no_device").about(clean_line(&person.name)));
        }
        Ok(person.id)
    });
    found.collect()
}

/// A seat that waits for the office, by a part of its person's name.
pub fn locked_seat<'a>(seats: &'a [LockedSeat], wanted: &str) -> Outcome<&'a LockedSeat> {
    unique(
        seats,
        wanted,
        |seat| seat.seat.to_string(),
        |seat| &seat.name,
        "locked_seat",
    )
}

/// An alarm that can be put away, by whom or what it is about.
pub fn alarm<'a>(alarms: &'a [Alarm], wanted: &str) -> Outcome<&'a Alarm> {
    let about = |alarm: &'a Alarm| {
        let name = alarm.device.as_deref().or(alarm.person.as_deref());
        name.unwrap_or_default()
    };
    let standing: Vec<&Alarm> = alarms.iter().filter(|alarm| alarm.id.is_some()).collect();
    let id = |alarm: &&'a Alarm| alarm.id.clone().unwrap_or_default();
    unique(&standing, wanted, id, |alarm| about(alarm), "alarm").copied()
}

/// A crew by a part of its name.
pub fn crew(kolonne: &Kolonne, wanted: &str) -> Outcome<RingId> {
    let (_, crews) = kolonne.people()?;
    let found = unique(
        &crews,
        wanted,
        |crew| crew.id.to_string(),
        |crew| &crew.name,
        "crew",
    );
    found.map(|crew| crew.id)
}

/// Crews and people by their names.
pub fn members(kolonne: &Kolonne, wanted: &[String]) -> Outcome<Vec<RingId>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let (people, crews) = kolonne.people()?;
    let crews = crews.into_iter().map(|crew| (crew.id, crew.name));
    let known: Vec<(RingId, String)> = crews
        .chain(people.into_iter().map(|person| (person.id, person.name)))
        .collect();
    let find = |name: &String| {
        unique(
            &known,
            name,
            |known| known.0.to_string(),
            |known| &known.1,
            "person",
        )
        .map(|known| known.0)
    };
    wanted.iter().map(find).collect()
}

/// What an entry is recognised by when read.
fn words(entry: &Entry) -> &str {
    entry
        .text
        .as_deref()
        .or(entry.caption.as_deref())
        .unwrap_or_default()
}

/// An entry by its id, the beginning of it, or some of its words.
pub fn entry(kolonne: &Kolonne, seat: &SeatId, thread: &ThreadId, wanted: &str) -> Outcome<OpId> {
    if let Ok(id) = wanted.parse() {
        return Ok(id);
    }
    let page = kolonne.entries(seat, thread, None, LOOK_BACK)?;
    unique(
        &page.entries,
        wanted,
        |entry| entry.id.to_string(),
        words,
        "entry",
    )
    .map(|entry| entry.id)
}

/// An entry of a job, or of any.
pub fn entry_of(
    kolonne: &Kolonne,
    seat: &SeatId,
    in_job: Option<&str>,
    wanted: &str,
) -> Outcome<OpId> {
    if let Some(wanted_job) = in_job {
        let row = job(kolonne, seat, wanted_job)?;
        return entry(kolonne, seat, &row.id, wanted);
    }
    let mut found = None;
    for row in kolonne.threads(seat, "")? {
        match entry(kolonne, seat, &row.id, wanted) {
            Ok(id) if found.is_none_or(|known| known == id) => found = Some(id),
            Err(failure) if failure.code == "not_found.entry" => {}
            Ok(_) => return Err(Failure::new("ambiguous").about(wanted)),
            Err(failure) => return Err(failure),
        }
    }
    found.ok_or_else(|| Failure::new("not_found.entry").about(wanted))
}

/// For whom something is sealed: people by their names, and the office.
pub fn seal_for(kolonne: &Kolonne, wanted: &[String]) -> Outcome<SealFor> {
    let is_office = |name: &&String| matches!(name.to_lowercase().as_str(), "office" | "büro");
    let people = wanted.iter().filter(|name| !is_office(name));
    Ok(SealFor {
        people: people
            .map(|name| person(kolonne, name).map(|person| person.id))
            .collect::<Outcome<_>>()?,
        office: wanted.iter().any(|name| is_office(&name)),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const JOBS: [(&str, &str); 3] = [
        ("aabbcc11", "Lindenweg 14: Dach"),
        ("aabbcc22", "Lindenweg 14"),
        ("ddeeff33", "Kirchplatz 2"),
    ];

    fn find(wanted: &str) -> Result<&'static str, String> {
        unique(&JOBS, wanted, |job| job.0.to_owned(), |job| job.1, "thread")
            .map(|job| job.0)
            .map_err(|failure| failure.code)
    }

    #[test]
    fn a_part_that_fits_one_is_enough() {
        assert_eq!(find("kirch"), Ok("ddeeff33"));
        assert_eq!(find("Dach"), Ok("aabbcc11"));
        assert_eq!(find("ddeeff"), Ok("ddeeff33"));
    }

    #[test]
    fn a_whole_name_wins_over_a_part() {
        assert_eq!(find("lindenweg 14"), Ok("aabbcc22"));
    }

    #[test]
    fn two_that_fit_and_none_are_told_apart() {
        assert_eq!(find("lindenweg"), Err("ambiguous".into()));
        assert_eq!(find("aabbcc"), Err("ambiguous".into()));
        assert_eq!(find("Hafen"), Err("not_found.thread".into()));
        assert_eq!(find(""), Err("not_found.thread".into()));
    }
}
