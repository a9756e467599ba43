//! What a sync costs on the wire, HTTP heads included. TLS and TCP are not in it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use kolonne_tests::World;
use kolonne_tests::wire::Passed;

/// As long as a person's short message: 80 bytes.
const TEXT: &str =
    "Ortgang gerissen, brauchen 12 Ziegel, Lattung ist trocken, bitte morgen liefern.";

struct Cost {
    requests: usize,
    up_bytes: usize,
    down_bytes: usize,
    bodies_bytes: usize,
}

fn print(title: &str, passed: &[Passed]) -> Cost {
    println!("\n{title}");
    println!("  {:<22} {:>12} {:>12}", "", "request", "answer");
    let mut cost = Cost {
        requests: 0,
        up_bytes: 0,
        down_bytes: 0,
        bodies_bytes: 0,
    };
    for one in passed {
        let (up, down) = (one.request_bytes, one.answer_bytes);
        let pair = |(head, body): (usize, usize)| format!("{head} + {body}");
        println!("  {:<22} {:>12} {:>12}", one.what, pair(up), pair(down));
        cost.requests += 1;
        cost.up_bytes += up.0 + up.1;
        cost.down_bytes += down.0 + down.1;
        cost.bodies_bytes += up.1 + down.1;
    }
    println!(
        "  {} requests, {} bytes up, {} bytes down, {} of both in bodies",
        cost.requests, cost.up_bytes, cost.down_bytes, cost.bodies_bytes
    );
    cost
}

fn only(passed: &[Passed], path: &str) -> Vec<Passed> {
    let what = |one: &&Passed| one.what.ends_with(path);
    passed.iter().filter(what).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_costs_little() {
    assert_eq!(TEXT.len(), 80);
    let world = World::new().await;
    let (anna, kolonne_3) = (&world.anna, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    // The strand is known to the hub, and everyone is logged in.
    world.everyone_syncs().await;
    anna.text(&job, "Moin");
    world.everyone_syncs().await;
    world.wire.take_passed();

    anna.sync().await;
    let idle = world.wire.take_passed();
    let idle_cost = print("A sync when there is nothing new", &idle);
    assert!(idle_cost.requests <= 2 && idle_cost.up_bytes + idle_cost.down_bytes < 2_000);

    anna.text(&job, TEXT);
    anna.sync().await;
    let sent = world.wire.take_passed();
    print("A sync that sends a text of 80 bytes", &sent);
    let push = only(&sent, "/v1/push");
    let push_cost = print("of it, the push (handle known)", &push);
    assert_eq!(push_cost.requests, 1);
    let body = push[0].request_bytes.1;
    println!(
        "  the push's body: {body} bytes for a text of {}",
        TEXT.len()
    );
    assert!(body <= 220 && push_cost.up_bytes + push_cost.down_bytes < 1_500);

    kolonne_3.sync().await;
    let taken = world.wire.take_passed();
    let pull_cost = print("A sync of another phone that gets this text", &taken);
    assert!(pull_cost.requests <= 3 && pull_cost.up_bytes + pull_cost.down_bytes < 3_000);

    for number in 0..100 {
        anna.text(&job, &format!("{number:03}{}", &TEXT[3..]));
    }
    anna.sync().await;
    let bulk = world.wire.take_passed();
    let bulk_cost = print("A sync that sends 100 of them", &bulk);
    let (up, down) = (bulk_cost.up_bytes / 100, bulk_cost.down_bytes / 100);
    println!("  each {up} bytes up; {down} down, since the next pull gives back what was pushed");
    assert!(up < 150 && down < 150);
}
