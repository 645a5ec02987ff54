//! The common behaviour of gateways that hold the code themselves.

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::documented::{incorrect, locked, sent, verified};
use crate::support::{Client, Double, HttpResponse, Provider, Reply, Several, wrong};

/// Concurrent checks of one number: fewer than the commands that may wait for it, therefore none is refused.
const CROWD: usize = 50;

pub struct Holder<P> {
    /// Its name in `otp-sms-provider`.
    pub name: &'static str,
    /// Its double.
    pub double: fn(&Several) -> &Double<P>,
    /// Makes the provider forget the code of a number.
    pub forget: fn(&Several, &str),
}

impl<P: Provider> Holder<P> {
    async fn number_with_code(&self, world: &Several) -> (String, String) {
        let number = world.number_with_message().await;
        let code = (self.double)(world).code_for(&number);
        (number, code)
    }

    /// The server asks it about every code, counts, and accepts a right code once.
    pub async fn is_asked_about_every_code_until_one_is_right(&self) {
        let world = Several::routed(self.name).await;
        let double = (self.double)(&world);
        let (number, code) = self.number_with_code(&world).await;
        world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
        world.verify(&number, "no code").await.expects(incorrect(&number, 3));
        world.verify(&number, &code).await.expects(verified(&number));
        let asked = double.checks_for(&number).len();
        assert!((2..=3).contains(&asked), "what cannot be a code need not be asked about: {asked}");
        world.verify(&number, &code).await.expects(incorrect(&number, 5));
        assert_eq!(double.checks_for(&number).len(), asked, "there is nothing to ask about");
    }

    /// One of many right codes succeeds.
    pub async fn approves_one_of_many_right_codes(&self) {
        let world = Several::routed(self.name).await;
        for _ in 0..4 {
            let (number, code) = self.number_with_code(&world).await;
            let answers = crowd(&world, &number, &code).await;
            let approved = answers.iter().filter(|answer| answer.is(&verified(&number))).count();
            let too_late = answers.iter().filter(|answer| answer.is(&incorrect(&number, 5))).count();
            assert_eq!((approved, too_late), (1, CROWD - 1));
            assert_eq!((self.double)(&world).most_checks_at_once(&number), 1);
        }
    }

    /// The gateway sees five of many wrong codes.
    pub async fn is_asked_about_five_of_many_wrong_codes(&self) {
        let world = Several::routed(self.name).await;
        for _ in 0..4 {
            let (number, code) = self.number_with_code(&world).await;
            let answers = crowd(&world, &number, &wrong(&code)).await;
            for trials in [4, 3, 2, 1] {
                let told = answers.iter().filter(|answer| answer.is(&incorrect(&number, trials))).count();
                assert_eq!(told, 1, "{trials} trials left is said once");
            }
            let refused = answers.iter().filter(|answer| answer.is(&locked(&number, 30))).count();
            assert_eq!(refused, CROWD - 4);
            let double = (self.double)(&world);
            assert_eq!((double.checks_for(&number).len(), double.most_checks_at_once(&number)), (5, 1));
            world.verify(&number, &code).await.expects(locked(&number, 30));
            world.send(&number).await.expects(locked(&number, 30));
            assert_eq!(double.checks_for(&number).len(), 5, "a locked number is not asked about");
            assert_eq!(double.received_for(&number).len(), 1, "nor sent anything");
        }
    }

    /// While it hangs, other numbers continue.
    pub async fn slows_only_the_number_that_it_is_asked_about(&self) {
        let world = Several::routed(self.name).await;
        let double = (self.double)(&world);
        let (slow, slow_code) = self.number_with_code(&world).await;
        double.plan_checks(&slow, [Reply::Hang]);
        let (client, to) = (world.server.client.clone(), slow.clone());
        let hanging = tokio::spawn(async move { client.verify(&to, &slow_code).await });
        double.asked_about(&slow, 1).await;

        let (number, code) = self.number_with_code(&world).await;
        world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
        world.verify(&number, &code).await.expects(verified(&number));
        assert!(!hanging.is_finished(), "the check waits for the gateway");

        double.release();
        hanging.await.expect("an answer").expects(verified(&slow));
        assert_eq!(double.most_checks_at_once(&slow), 1);
    }

    /// A crash does not reset the counted attempts.
    pub async fn keeps_its_counts_across_kill_9(&self) {
        let mut world = Several::routed(self.name).await;
        let (number, code) = self.number_with_code(&world).await;
        let (other, other_code) = self.number_with_code(&world).await;
        world.locks_out(&number, &wrong(&code)).await;
        world.verify(&other, &wrong(&other_code)).await.expects(incorrect(&other, 4));
        world = world.restart_after_kill().await;
        world.verify(&number, &code).await.expects(locked(&number, 30));
        assert_eq!((self.double)(&world).checks_for(&number).len(), 5);
        // The open verification continues.
        world.verify(&other, &wrong(&other_code)).await.expects(incorrect(&other, 3));
        world.verify(&other, &other_code).await.expects(verified(&other));
    }

    /// A crash during a check gives no free guess.
    pub async fn counts_a_check_that_a_kill_interrupted(&self) {
        // After the restart the answer might still come until the budget has ended.
        let settings = [("send-budget", json!("1s")), ("otp-max-attempts", json!(3))];
        let mut world = Several::with(self.name, settings).await;
        let number = world.number();
        world.send(&number).await.expects(sent(&number, 3));
        let code = (self.double)(&world).code_for(&number);
        for asked in 1..=2 {
            (self.double)(&world).plan_checks(&number, [Reply::Hang]);
            let (client, to, guess) = (world.server.client.clone(), number.clone(), wrong(&code));
            let cut = tokio::spawn(async move { client.try_verify(&to, &guess).await });
            (self.double)(&world).asked_about(&number, asked).await;
            world = world.restart_after_kill().await;
            assert!(cut.await.expect("it ends").is_err(), "an answer came");
        }
        world.verify(&number, &wrong(&code)).await.expects(locked(&number, 30));
    }

    /// Neither a second send nor the end of the gateway's verification resets the count.
    pub async fn keeps_the_count_when_a_code_is_sent_again_or_forgotten(&self) {
        let world = Several::routed(self.name).await;
        let (number, code) = self.number_with_code(&world).await;
        world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
        world.send(&number).await.expects(sent(&number, 4));
        let code = (self.double)(&world).code_for(&number);
        world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 3));
        (self.forget)(&world, &number);
        world.verify(&number, &code).await.expects(incorrect(&number, 2));
        world.send(&number).await.expects(sent(&number, 2));
        let code = (self.double)(&world).code_for(&number);
        world.verify(&number, &code).await.expects(verified(&number));
    }

    /// The gateway that sent a code checks it, whatever other gateways exist.
    pub async fn shares_the_work_with_a_gateway_that_holds_nothing(&self) {
        let world = Several::routed(&format!("{};Http", self.name)).await;
        let double = (self.double)(&world);
        let number = world.number();
        double.plan(&number, [Reply::Busy]);
        world.accepts(&number).await;
        world.verifies_by_plain(&number).await;
        assert!(double.checks_for(&number).is_empty());

        // In the reverse order, the earlier code of the other gateway is replaced.
        let world = Several::routed(&format!("Http;{}", self.name)).await;
        let double = (self.double)(&world);
        let number = world.number_with_message().await;
        let replaced = world.plain().code_for(&number);
        world.plain().plan(&number, [Reply::Refuse { status: 200, code: 8 }]);
        world.accepts(&number).await;
        world.verify(&number, &replaced).await.expects(incorrect(&number, 4));
        let code = double.code_for(&number);
        world.verify(&number, &code).await.expects(verified(&number));
    }
}

/// A test for each method above.
macro_rules! holds_the_code {
    ($holder:expr) => {
        $crate::gateways::held::holds_the_code!($holder =>
            is_asked_about_every_code_until_one_is_right,
            approves_one_of_many_right_codes,
            is_asked_about_five_of_many_wrong_codes,
            slows_only_the_number_that_it_is_asked_about,
            keeps_its_counts_across_kill_9,
            counts_a_check_that_a_kill_interrupted,
            keeps_the_count_when_a_code_is_sent_again_or_forgotten,
            shares_the_work_with_a_gateway_that_holds_nothing,
        );
    };
    ($holder:expr => $($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $holder.$name().await;
            }
        )*
    };
}

pub(crate) use holds_the_code;

/// Submits a code [`CROWD`] times, each time on its own connection, opened before the first request.
async fn crowd(client: &Client, number: &str, code: &str) -> Vec<HttpResponse> {
    client.connect_to_have(CROWD).await;
    let mut checks = JoinSet::new();
    for _ in 0..CROWD {
        let (client, number, code) = (client.clone(), number.to_owned(), code.to_owned());
        checks.spawn(async move { client.verify(&number, &code).await });
    }
    checks.join_all().await
}
