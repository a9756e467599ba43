//! `kolonne job`: the list of jobs and their heads.

use kolonne_core::Kolonne;
use kolonne_core::capture::{JobChange, NewJob};
use kolonne_core::records::{Member, MemberKind, Thread, ThreadRow};
use kolonne_model::ids::ThreadId;
use serde_json::json;

use super::seat::show_hidden;
use super::{Context, pick, standing};
use crate::cli::JobCommand;
use crate::failure::Outcome;
use crate::output::{Output, clean_line, kind_word, size, status_word, time};

/// Runs one of them.
pub async fn run(context: &Context, command: JobCommand) -> Outcome {
    let out = context.output;
    match command {
        JobCommand::List { acting, query } => {
            let (kolonne, _, seat) = context.look(&acting)?;
            let rows = kolonne.threads(&seat.seat, query.trim())?;
            out.json(&json!({ "threads": rows }));
            if rows.is_empty() {
                out.hint(out.of("Noch kein Auftrag.", "No job yet."));
            }
            for row in &rows {
                show_row(out, row);
            }
            show_hidden(out, &seat);
            Ok(())
        }
        JobCommand::Open {
            acting,
            title,
            customer,
            address,
            status,
            members,
        } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            let members = pick::members(&kolonne, &members)?;
            let job = NewJob {
                title,
                customer,
                address,
                status,
                members,
                draft: None,
            };
            let id = kolonne.open_job(&seat.seat, &job)?;
            done(
                context,
                &kolonne,
                &id,
                out.of("Auftrag eröffnet", "Job opened"),
            )
            .await
        }
        JobCommand::Show { acting, job } => {
            let (kolonne, seat, row) = context.look_into(&acting, &job)?;
            let thread = kolonne.thread(&seat.seat, &row.id)?;
            out.json(&thread);
            show(out, &thread);
            Ok(())
        }
        JobCommand::Set { acting, job, head } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            let row = pick::job(&kolonne, &seat.seat, &job)?;
            let change = JobChange {
                title: head.title,
                status: head.status,
                customer: head.customer,
                address: head.address,
            };
            kolonne.set_job(&seat.seat, &row.id, &change)?;
            done(
                context,
                &kolonne,
                &row.id,
                out.of("Auftrag geändert", "Job changed"),
            )
            .await
        }
        JobCommand::Members {
            acting,
            job,
            add,
            remove,
        } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            let row = pick::job(&kolonne, &seat.seat, &job)?;
            let add = pick::members(&kolonne, &add)?;
            let remove = pick::members(&kolonne, &remove)?;
            if add.is_empty() && remove.is_empty() {
                let thread = kolonne.thread(&seat.seat, &row.id)?;
                out.json(&json!({ "members": thread.members }));
                for member in &thread.members {
                    out.line(&clean_line(&member_name(out, member)));
                }
                return Ok(());
            }
            let before = kolonne.thread(&seat.seat, &row.id)?.members;
            kolonne.change_members(&seat.seat, &row.id, &add, &remove)?;
            if kolonne.thread(&seat.seat, &row.id)?.members == before {
                out.json(&json!({ "id": row.id }));
                out.line(out.of("So ist es schon.", "It is like that already."));
                return Ok(());
            }
            done(
                context,
                &kolonne,
                &row.id,
                out.of("Mitglieder geändert", "Members changed"),
            )
            .await
        }
    }
}

async fn done(context: &Context, kolonne: &Kolonne, id: &ThreadId, said: &str) -> Outcome {
    context.hand_over(kolonne).await;
    context.output.json(&json!({ "id": id }));
    context.output.line(&format!("{said}: {id}"));
    Ok(())
}

/// The office has no name: each language calls it by its own word.
fn member_name(out: Output, member: &Member) -> String {
    match member.kind {
        MemberKind::Office => out.of("Büro", "office").to_owned(),
        MemberKind::Crew | MemberKind::Person => member.name.clone(),
    }
}

fn show_row(out: Output, row: &ThreadRow) {
    if out.is_json() {
        return;
    }
    let id: String = row.id.to_string().chars().take(8).collect();
    let mut parts = vec![format!("{id}  {}", clean_line(&row.title))];
    // Two jobs at one address are told apart by for whom they are.
    if let Some(customer) = &row.customer {
        parts.push(format!(", {}", clean_line(customer)));
    }
    if let Some(status) = &row.status {
        parts.push(format!(
            "  [{}]",
            clean_line(status_word(status, out.language))
        ));
    }
    if !row.member {
        parts.push(format!(
            "  {}",
            out.of("(nicht mehr dabei)", "(no longer in it)")
        ));
    }
    if row.quarantined > 0 {
        let said = out.of("zurückgehalten", "kept back");
        parts.push(format!("  {} {said}", row.quarantined));
    }
    if row.unread > 0 {
        parts.push(format!("  {} {}", row.unread, out.of("neu", "new")));
    }
    if let Some(last) = &row.last {
        let kind = kind_word(last.kind, out.language);
        let words = clean_line(&last.text);
        let said = match (kind, words.as_str()) {
            ("", words) => words.to_owned(),
            (kind, "") => kind.to_owned(),
            (kind, words) => format!("{kind} {words}"),
        };
        parts.push(format!(
            "\n          {}  {}: {}",
            time(last.time_ms, out.language),
            clean_line(&last.author),
            said,
        ));
    }
    for backlog in &row.backlog {
        parts.push(format!(
            "\n          {} {}: {}, {}",
            out.of("noch auf", "still on"),
            clean_line(&backlog.device_name),
            standing::missing_of(out, backlog),
            size(backlog.bytes, out.language),
        ));
    }
    out.line(&parts.concat());
}

fn show(out: Output, thread: &Thread) {
    show_row(out, &thread.row);
    let pairs = [
        (out.of("Kunde", "Customer"), thread.row.customer.clone()),
        (out.of("Adresse", "Address"), thread.row.address.clone()),
        (
            out.of("Eröffnet von", "Opened by"),
            Some(thread.opened_by.clone()),
        ),
        (
            out.of("Dabei", "Members"),
            Some(
                thread
                    .members
                    .iter()
                    .map(|member| member_name(out, member))
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
        ),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            out.line(&format!("  {name}: {}", clean_line(&value)));
        }
    }
}
