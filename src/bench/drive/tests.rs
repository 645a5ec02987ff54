use std::sync::Arc;

use tokio::time::{Instant, sleep, sleep_until};

use super::*;
use crate::bench::options::Workload;
use crate::bench::results::Latency;

/// The runtime's time, which stands still but for what the test waits for.
#[derive(Clone, Copy)]
struct Stopped(Instant);

impl Moments for Stopped {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    async fn until(&mut self, moment: Duration) {
        sleep_until(self.0 + moment).await;
    }
}

/// Answers within a millisecond, but stands still in its third second.
struct Stalls(Stopped);

const STALL: std::ops::Range<Duration> = Duration::from_secs(2)..Duration::from_secs(3);

impl Carrier for Stalls {
    async fn ask(&mut self, _: &Step) -> (Verdict, Option<String>) {
        sleep(Duration::from_millis(1)).await;
        if STALL.contains(&self.0.now()) {
            sleep_until(self.0.0 + STALL.end).await;
        }
        (Verdict::Expected(Some(5)), Some("123456".to_owned()))
    }
}

async fn seen(pace: Pace, clients: u32) -> (Latency, Arc<Pace>, f64) {
    #[expect(clippy::disallowed_methods, reason = "the runtime's time, which the test has stopped")]
    let moments = Stopped(Instant::now());
    let (pace, tally) = (Arc::new(pace), Arc::new(Tally::new().unwrap()));
    let mut all = tokio::task::JoinSet::new();
    for client in 0..clients {
        let (pace, tally) = (pace.clone(), tally.clone());
        all.spawn(async move {
            let mut script = Script::new(Workload::SendVerify, 1, client, clients);
            let waits = AtomicUsize::new(0);
            let window = Window { pace: &pace, tally: &tally, client: client as usize, waits: &waits };
            let (mut carrier, mut moments) = (Stalls(moments), moments);
            drive(window, &mut script, &mut carrier, &mut moments).await;
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
    let (_, latency) = tally.results(Workload::SendVerify).unwrap();
    (latency, pace, crate::bench::tally::us(tally.lateness().unwrap().max()))
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stalls_is_charged_for_all_that_were_to_leave_meanwhile() {
    let schedule = Schedule::new(100, Duration::from_secs(10));
    let (latency, _, _) = seen(Pace::Open(schedule), 4).await;
    assert_eq!(latency.count, 1_000, "none of them is left out");
    // 100 of the 1,000 were to leave in the second in which nothing was answered, evenly spread over it.
    let ms = |percentile| latency.at(percentile).unwrap() / 1e3;
    assert!(ms(85.0) < 10.0, "{latency:?}");
    assert!((200.0..300.0).contains(&ms(92.5)), "{latency:?}");
    assert!((450.0..550.0).contains(&ms(95.0)), "{latency:?}");
    assert!((850.0..950.0).contains(&ms(99.0)), "{latency:?}");
    assert!(latency.max_us > 990_000.0, "{latency:?}");
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_hides_the_same_stall() {
    let (latency, _, _) = seen(Pace::Closed(Duration::from_secs(10)), 4).await;
    assert!(latency.at(99.9).unwrap() < 10_000.0, "{latency:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_slow_server_is_not_the_lateness_of_the_load() {
    let schedule = Schedule::new(100, Duration::from_secs(10));
    let (_, _, lateness_us) = seen(Pace::Open(schedule), 4).await;
    assert!(lateness_us < 2_000.0, "{lateness_us}");
}

#[tokio::test(start_paused = true)]
async fn a_rate_far_beyond_the_server_ends_and_says_what_did_not_leave() {
    // Four clients that take a millisecond each carry 4,000 a second.
    let schedule = Schedule::new(20_000, Duration::from_secs(1));
    let (latency, pace, _) = seen(Pace::Open(schedule), 4).await;
    let Pace::Open(schedule) = &*pace else { panic!() };
    assert_eq!(latency.count + schedule.left_over(), 20_000);
    assert!(schedule.left_over() > 10_000);
}
