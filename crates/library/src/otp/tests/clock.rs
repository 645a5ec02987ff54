//! Clocks that jump: forwards while the engine runs, backwards across its restarts.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::world::{ANNA, World, code, wrong};
use crate::otp::{Clock, Otp, OtpError, Timestamp};
use crate::testing::secs;

const LIFE: Duration = secs(60);
const TERM: Duration = secs(90);

/// `CLOCK_SEED=n` repeats one run.
#[tokio::test]
async fn no_lockout_outlasts_its_term_or_ends_early_by_more_than_clock_jumps() {
    let seeds = match std::env::var("CLOCK_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..8_u64).collect(),
    };
    for seed in seeds {
        println!("CLOCK_SEED={seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let (world, mut otp) = locked().await;
        // The time that a correct clock would show, and the sum of the forward jumps.
        let (mut passed, mut forwards) = (Duration::ZERO, Duration::ZERO);
        while passed < TERM {
            match random.random_range(0..6) {
                0 => {
                    let by = secs(random.random_range(1..20));
                    world.clock.advance(by);
                    forwards += by;
                }
                1 | 2 => {
                    otp.stop().await.expect("stopped");
                    // A forward jump over a restart counts as far as it exceeds the last known time.
                    if random.random() {
                        set_back(&world, secs(random.random_range(1..10_000)));
                    }
                    otp = start(&world).await;
                }
                _ => {
                    let by = secs(random.random_range(1..10)).min(TERM.saturating_sub(passed));
                    world.clock.advance(by);
                    passed += by;
                }
            }
            match otp.send_sms(ANNA).await {
                Err(OtpError::Locked { remaining }) => {
                    assert!(remaining + passed <= TERM, "{remaining:?} after {passed:?}");
                    assert!(remaining + passed + forwards >= TERM, "{remaining:?}, {passed:?}, {forwards:?}");
                }
                Ok(_) => {
                    assert!(passed + forwards >= TERM, "unlocked after {passed:?} and {forwards:?}");
                    break;
                }
                Err(other) => panic!("{other}"),
            }
        }
        otp.stop().await.expect("stopped");
    }
}

/// Three attempts: two wrong codes are allowed, and the third one locks.
async fn start(world: &World) -> Otp {
    let builder = world.builder().set("otp-timeout", LIFE.as_secs()).set("otp-max-attempts", 3);
    let builder = builder.set("otp-lock-timeout", format!("{}s", TERM.as_secs()));
    builder.start().await.expect("an engine")
}

/// A number that was just locked.
async fn locked() -> (World, Otp) {
    let world = World::new();
    let otp = start(&world).await;
    otp.send_sms(ANNA).await.expect("sent");
    for _ in 0..3 {
        assert!(!otp.verify(ANNA, &wrong(&code(&otp))).await.code_valid);
    }
    assert_eq!(otp.send_sms(ANNA).await, Err(OtpError::Locked { remaining: TERM }));
    (world, otp)
}

fn set_back(world: &World, by: Duration) {
    let back = world.clock.now().as_millis().saturating_sub(u64::try_from(by.as_millis()).expect("it fits"));
    world.clock.set(Timestamp::from_millis(back));
}
