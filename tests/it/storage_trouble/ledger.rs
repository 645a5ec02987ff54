//! Numbers with known states, and the promises that follow from them, whatever has failed since.

use crate::belief::{NO_CODE, ObservedReply, Request, Subject};
use crate::support::{Client, HttpResponse, World};

impl Subject {
    /// A new number of this world, to which a code was sent.
    pub async fn with_code(world: &World) -> Self {
        let (number, code) = world.number_with_code().await;
        Self::of_sent(&number, &code)
    }

    /// The server answered that it sent this code.
    pub fn of_sent(number: &str, code: &str) -> Self {
        let mut subject = Self::new(number.to_owned());
        subject.learn(&[(Request::Send, Some(ObservedReply::Sent { trials: 5 }))], &[code.to_owned()]);
        subject
    }

    pub async fn submits_a_wrong_code(&mut self, client: &Client) -> HttpResponse {
        self.submits(client, NO_CODE.to_owned()).await
    }

    pub async fn submits_the_right_code(&mut self, client: &Client) -> HttpResponse {
        let code = self.belief.codes().remove(0);
        self.submits(client, code).await
    }

    async fn submits(&mut self, client: &Client, code: String) -> HttpResponse {
        let answer = client.verify(&self.number, &code).await;
        // Whether a check counts that was answered 503 is unknown.
        let reply = (answer.status() != 503).then(|| ObservedReply::in_answer(&answer, &self.number));
        self.learn(&[(Request::Check(code), reply)], &[]);
        answer
    }
}

pub struct Facts {
    pub guessed: Subject,
    used: Subject,
    pub locked: String,
}

impl Facts {
    pub async fn made_in(world: &World) -> Self {
        let (mut guessed, mut used) = (Subject::with_code(world).await, Subject::with_code(world).await);
        guessed.submits_a_wrong_code(world).await.expects_status(401);
        used.submits_the_right_code(world).await.expects_status(200);
        Self { guessed, used, locked: locked_number(world).await }
    }

    /// Checks against a healthy server.
    pub async fn hold(&self, client: &Client) {
        client.send(&self.locked).await.expects_status(403);
        self.used.clone().still_holds(client).await;
        self.guessed.clone().still_holds(client).await;
    }
}

pub async fn locked_number(world: &World) -> String {
    let (number, _) = world.locked_out().await;
    world.send(&number).await.expects_status(403);
    number
}
