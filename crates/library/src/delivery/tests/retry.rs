//! Retries in the background and their times.

use super::*;
use crate::delivery::Reason;

fn one() -> World {
    Setup::routing("Mada").with_retry().build()
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_doubt_never_gives_its_allowance_back() {
    for (first, told, allowance) in
        [(RETRY, "later, row 0", Some(Vec::new())), (DOUBT, "later, row 0, maybe sent", None)]
    {
        let world = one().and(Mada, [error(first)]).and(Mada, vec![error(RETRY); 3]);
        assert_eq!(world.requests().await, told);
        for retry in 0..3 {
            let plan = world.takes_plan().expect("a plan");
            assert_eq!(plan.allowance, allowance, "retry {retry} after {first:?}");
            let job = world.planned(plan);
            if retry == 2 {
                assert_eq!(world.deliver(&job).await.allowance, allowance);
            } else {
                world.run(job).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_last_retry_it_is_unsendable() {
    let world = one().and(Mada, vec![error(RETRY); 4]);
    world.requests().await;
    assert_eq!(world.follows_up().await, "later, row 0");
    assert_eq!(world.follows_up().await, "later, row 0");
    assert_eq!(world.follows_up().await, "Gateway");
    assert_eq!((world.takes_plan(), world.sent().len()), (None, 4));
    let row = world.rows().remove(0);
    assert_eq!((row.status, row.retries, row.max_retries_reached), (SendStatus::Unsendable, 3, true));
}

#[tokio::test(start_paused = true)]
async fn a_code_that_expires_before_the_retry_fails_at_once() {
    let world = one().and(Mada, [error(RETRY).asking_to_wait(secs(600))]);
    let expires = START.plus(secs(60));
    let failed = world.requests_with(|job| job.permitted.permit.verification.expires = expires).await;
    assert_eq!(failed, "Gateway");
    assert_eq!((world.elapsed_ms(), world.takes_plan()), (0, None));
    assert_eq!(world.rows()[0].status, SendStatus::Unsendable);
}

#[tokio::test(start_paused = true)]
async fn a_retry_asks_every_gateway_again_and_repeats_its_row() {
    let world = Setup::routing(BOTH).with_retry().build();
    let world = world.and(Mada, [error(ErrorClass::Refused), error(RETRY)]);
    let world = world.and(Http, [error(RETRY), accepted("H2")]);
    assert_eq!(world.requests().await, "later, row 0");
    assert_eq!(world.follows_up().await, "H2");
    let rows: Vec<_> = world.rows().into_iter().map(|row| (row.gateway, row.status, row.retries)).collect();
    let failed = SendStatus::GatewayError;
    assert_eq!(rows, [(Mada, failed, 1), (Http, SendStatus::Sent, 1)]);
}

#[tokio::test(start_paused = true)]
async fn when_every_circuit_is_open_it_is_planned_for_when_one_may_be_tried() {
    let setup = Setup::routing("Mada").with_retry().with_breaker(1);
    let world = setup.build().and(Mada, [down(RETRY), accepted("M2"), accepted("M3")]);
    assert_eq!(world.requests().await, "later, row 0");
    let first = world.takes_plan().expect("a plan");
    assert!(first.due.since(START) >= secs(10), "its own failure has opened the circuit");
    // Another message while the circuit is open: the gateway is not asked, but the list shows the message.
    sleep(secs(4)).await;
    assert_eq!(world.requests().await, "later, row 1");
    assert_eq!(world.sent_at(), [0]);
    let row = world.rows().remove(1);
    assert_eq!((row.gateway, row.priority, row.status), (Mada, 0, SendStatus::New));
    assert_eq!(world.follows_up().await, "M2");
    assert!(world.sent_at()[1] >= 10_000);
    let row = world.rows().remove(1);
    assert_eq!((row.status, row.retries), (SendStatus::Sent, 1));
}

#[tokio::test(start_paused = true)]
async fn overload_refuses_a_request_and_puts_a_follow_up_off() {
    let world = Setup::routing("Mada").with_retry().with_places(1, 0).build();
    let world = world.and(Mada, [error(RETRY), hanging()]);
    world.requests().await;
    let plan = world.takes_plan().expect("a plan");
    let crowded = async {
        assert_eq!(world.requests().await, "Overloaded");
        assert_eq!(world.run(world.planned(plan)).await, "later, row 0");
        let reason = world.takes_plan().expect("a plan").reason;
        assert_eq!(reason, Reason::Retry { retries: 0 }, "no gateway was asked");
    };
    tokio::join!(world.requests(), crowded);
}
