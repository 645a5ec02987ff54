//! A disk on which every sync takes long: is everybody answered, and how soon?

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::guests::{Guests, Manners};
use super::shim::{Call, Shim, Trouble};
use super::tally::head;
use super::{Arguments, say};
use crate::driver::now;
use crate::onceward;
use crate::{describe, double};

/// Measures in rounds of three windows each: the disk as it is, slow, and as it is again.
pub async fn measure(arguments: &Arguments, delay: Duration) {
    let home = tempfile::tempdir_in(arguments.disk()).expect("a directory for the data");
    say(&describe(home.path()).to_string());
    say(&format!(
        "send, then verify, a closed loop of {} connections; in the second window of each round every sync takes \
         {delay:?} longer; {} rounds of {} s for each window",
        arguments.bench.connections, arguments.bench.rounds, arguments.bench.seconds
    ));
    let twilio = double().await;
    let data = home.path().canonicalize().expect("a directory").join("data");
    let shim = Shim::over(&data);
    let environment = shim.environment();
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let server = onceward(home.path(), &twilio, &environment).await;
    let manners = Manners {
        guests: arguments.bench.connections,
        verify: true,
        again_after: Duration::from_millis(100),
    };
    let numbers = Arc::<AtomicU32>::default();
    say(&head());
    for number in 1..=arguments.bench.rounds {
        for slow in [false, true, false] {
            if slow {
                shim.begin(&Trouble::slow(&[Call::Sync], delay));
            }
            let guests = Guests::come(server.address(), &twilio, manners, &numbers);
            let start = now();
            tokio::time::sleep(Duration::from_secs(arguments.bench.seconds)).await;
            let report = guests.go().await;
            shim.end();
            let lasted = start.elapsed().as_secs_f64();
            say(&format!("{number} {}, {lasted:.1} s:", if slow { "slow disk" } else { "as it is" }));
            report.tally.print();
        }
    }
}
