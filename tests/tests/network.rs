//! What goes over which network, and an app that the system stops and lets go on.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use kolonne_core::Network;
use kolonne_core::records::{Part, State};
use kolonne_model::ids::OpId;
use kolonne_tests::{JobId, World, files};

async fn a_photo(world: &World) -> (JobId, OpId) {
    let job = world.job("Dach", &["Anna Weber"]);
    world.everyone_syncs().await;
    (job, world.anna.photo(&job, &files::photo(1600, 1200, 5)))
}

#[tokio::test(flavor = "multi_thread")]
async fn originals_wait_for_wifi_and_abroad_pictures_do_too() {
    let world = World::new().await;
    let (job, photo) = a_photo(&world).await;
    let (anna, büro) = (&world.anna, &world.büro);
    let has = |part| büro.media(&photo, part).is_ok();

    anna.core().network_changed(Network::Roaming);
    anna.sync().await;
    büro.sync().await;
    assert!(has(Part::Thumb) && !has(Part::Picture) && !has(Part::Original));
    assert_eq!(anna.core().status().unwrap().outbox.photos, 1);

    anna.core().network_changed(Network::Metered);
    anna.sync().await;
    büro.sync().await;
    assert!(has(Part::Picture) && !has(Part::Original));
    let left = anna.core().status().unwrap().outbox;
    assert_eq!((left.photos, left.originals), (0, 1), "and says so");

    anna.core().network_changed(Network::Free);
    world.everyone_syncs().await;
    assert!(has(Part::Original));
    assert_eq!(anna.state(&job, &photo), State::Office);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_down_keeps_to_the_same_limits() {
    let world = World::new().await;
    let (_, photo) = a_photo(&world).await;
    let büro = &world.büro;
    world.anna.sync().await;
    let has = |part| büro.media(&photo, part).is_ok();
    for (network, picture, original) in [
        (Network::Roaming, false, false),
        (Network::Metered, true, false),
        (Network::Free, true, true),
    ] {
        büro.core().network_changed(network);
        büro.sync().await;
        assert!(has(Part::Thumb), "{network:?}");
        assert_eq!(
            (has(Part::Picture), has(Part::Original)),
            (picture, original),
            "{network:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_app_lets_go_of_everything_and_goes_on_where_it_was() {
    let world = World::new().await;
    let job = world.job("Dach", &["Anna Weber"]);
    world.everyone_syncs().await;
    let anna = &world.anna;
    let running = anna.core().start_sync();
    anna.core().suspend().unwrap();
    let text = anna.text(&job, "Im Hintergrund geschrieben");
    // Another device's whole exchange goes by meanwhile; the suspended one sends nothing.
    world.büro.sync().await;
    assert_eq!(anna.state(&job, &text), State::Saved);
    anna.core().resume();
    anna.until(|anna| anna.state(&job, &text) == State::Sent)
        .await;
    running.stop().await;
}
