//! What an 80-byte text costs on the wire, from the encoder; HTTP and TLS not counted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use kolonne_model::body::{Body, Say};
use kolonne_model::op::Op;
use kolonne_model::page::{self, SegmentToSend, StrandName};
use kolonne_model::strand::{self, VerifiedOp};
use support::{Job, Known, public, say_text};

/// A page with these ops as one segment, and that it reads back.
fn bytes_of(
    job: &Job,
    name: StrandName,
    before: Option<&VerifiedOp>,
    ops: &[VerifiedOp],
    key: &ed25519_dalek::SigningKey,
) -> usize {
    let plain: Vec<Op> = ops.iter().map(|op| op.op().clone()).collect();
    let mut page = vec![];
    page::write_segment(
        &mut page,
        &SegmentToSend {
            name,
            receivers_base: before.map(VerifiedOp::context),
            ops: &plain,
            links: 0,
            signature: ops.last().unwrap().signature().unwrap(),
        },
    );
    let mut known = Known::of(before);
    known.handles.insert(300, ops[0].strand());
    let segment = page::read(&page).unwrap().remove(0);
    let received = segment.resolve(&job.company.id, &known).unwrap();
    let verified = strand::verify(received, &public(key), 1).unwrap();
    assert_eq!(verified.ops.len(), ops.len());
    page.len()
}

#[test]
fn a_text_stays_small_alone_and_in_bulk() {
    let job = Job::new();
    let text = format!(
        "{:.<80}",
        "Rinne hinten links ist dicht, ab morgen wird dort versetzt"
    );
    assert_eq!(text.len(), 80);
    let mut pen = job.pen(3, 3);
    let mut ops = vec![];
    for at in 0..101u64 {
        // Minutes apart, with others' ops between: as on a site.
        pen.lamport += at * 7 % 90;
        ops.push(pen.data(&job.company, &job.key, say_text(&text, None)));
    }
    let body = Body {
        offset_s: Some(-3),
        say: Say::Text(kolonne_model::body::Text {
            text: text.clone(),
            reply_to: None,
        }),
    };
    let handle = StrandName::Handle(300);
    let full = StrandName::Full(ops[0].strand());
    let alone = bytes_of(&job, handle, Some(&ops[0]), &ops[1..2], &pen.key);
    let alone_full = bytes_of(&job, full, None, &ops[1..2], &pen.key);
    println!("80-byte text: body {} bytes", body.to_bytes().len());
    println!("                        bytes/op");
    println!("alone, handle and base  {alone:>8}");
    println!("alone, full values      {alone_full:>8}");
    assert!(alone <= 200, "{alone}");
    for count in [32, 100] {
        let known = bytes_of(&job, handle, Some(&ops[0]), &ops[1..=count], &pen.key);
        let full = bytes_of(&job, full, None, &ops[1..=count], &pen.key);
        #[allow(clippy::cast_precision_loss)]
        let per = |bytes: usize| bytes as f64 / count as f64;
        println!("segment of {count:>3}, known   {:>8.1}", per(known));
        println!("segment of {count:>3}, full    {:>8.1}", per(full));
        assert!(per(known) <= 130.0 && per(full) <= 130.0);
    }
}
