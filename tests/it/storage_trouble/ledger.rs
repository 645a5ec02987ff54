//! A client's answers about one number, and the promises that follow from them, whatever has failed since.

use crate::support::documented::{incorrect, verified};
use crate::support::{Client, HttpResponse, World, wrong};

const MAX_ATTEMPTS: u64 = 5;

#[derive(Debug, Clone, Default)]
pub struct ClientLedger {
    pub number: String,
    pub code: String,
    /// Wrong codes that the server answered as wrong.
    wrong: u64,
    /// Wrong codes that the server answered with 503.
    doubtful: u64,
    locked: bool,
    approved: bool,
    /// Whether the server answered the right code with 503.
    perhaps_approved: bool,
}

impl ClientLedger {
    /// The server answered that it sent a code.
    pub fn sent(number: &str, code: &str) -> Self {
        Self { number: number.to_owned(), code: code.to_owned(), ..Self::default() }
    }

    /// Submits a wrong code, and notes the answer.
    pub async fn guess(&mut self, client: &Client) -> HttpResponse {
        let answer = client.verify(&self.number, &wrong(&self.code)).await;
        match answer.status() {
            401 => self.wrong = MAX_ATTEMPTS - answer.json()["data"]["trials"].as_u64().expect("trials"),
            403 => self.locked = true,
            503 => self.doubtful += 1,
            _ => panic!("{}", answer.text()),
        }
        answer
    }

    /// Submits the right code, and notes the answer.
    pub async fn give(&mut self, client: &Client) -> HttpResponse {
        let answer = client.verify(&self.number, &self.code).await;
        match answer.status() {
            200 => self.approved = true,
            503 => self.perhaps_approved = true,
            _ => {}
        }
        answer
    }

    /// Checks against a healthy server. `same_process`: the server has not restarted, and therefore also counts what it
    /// does not know to be written; what the store refused has no effect.
    pub async fn still_holds(&self, client: &Client, same_process: bool) {
        let answer = client.verify(&self.number, &wrong(&self.code)).await;
        let trials = answer.json()["data"]["trials"].as_u64();
        let what = format!("{self:?}: {}", answer.text());
        if self.locked {
            assert_eq!(answer.status(), 403, "{what}");
        } else if self.approved {
            let again = client.verify(&self.number, &self.code).await;
            assert!(!again.is(&verified(&self.number)), "approved twice: {what}");
        } else if self.perhaps_approved {
            // The code may be used; if it is not, no guess was free.
            let once = client.verify(&self.number, &self.code).await;
            let twice = client.verify(&self.number, &self.code).await;
            assert!(!(once.status() == 200 && twice.is(&verified(&self.number))), "{what}");
        } else {
            let surely = self.wrong + if same_process { self.doubtful } else { 0 } + 1;
            let at_most = self.wrong + self.doubtful + 1;
            match trials.filter(|_| answer.status() == 401) {
                Some(trials) => {
                    let counted = MAX_ATTEMPTS - trials;
                    assert!((surely..=at_most).contains(&counted), "{what}");
                    answer.expects(incorrect(&self.number, u32::try_from(trials).expect("a few")));
                    // The same code still works.
                    client.verify(&self.number, &self.code).await.expects(verified(&self.number));
                }
                None => assert!(answer.status() == 403 && at_most >= MAX_ATTEMPTS, "{what}"),
            }
        }
    }
}

/// Numbers with known states.
pub struct Facts {
    pub guessed: ClientLedger,
    used: ClientLedger,
    pub locked: String,
}

impl Facts {
    pub async fn made_in(world: &World) -> Self {
        let (mut guessed, mut used) = (number_with_code(world).await, number_with_code(world).await);
        assert_eq!(guessed.guess(world).await.status(), 401);
        assert_eq!(used.give(world).await.status(), 200);
        Self { guessed, used, locked: locked_number(world).await }
    }

    /// Checks against a healthy server.
    pub async fn hold(&self, client: &Client) {
        assert_eq!(client.send(&self.locked).await.status(), 403, "a lockout was forgotten");
        self.used.still_holds(client, false).await;
        self.guessed.still_holds(client, false).await;
    }
}

pub async fn number_with_code(world: &World) -> ClientLedger {
    let (number, code) = world.number_with_code().await;
    ClientLedger::sent(&number, &code)
}

pub async fn locked_number(world: &World) -> String {
    let (number, code) = world.number_with_code().await;
    for _ in 0..5 {
        world.verify(&number, &wrong(&code)).await;
    }
    assert_eq!(world.send(&number).await.status(), 403);
    number
}
