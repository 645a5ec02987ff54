//! More load than the machine or its limits can take: the server refuses it by name and soon, and keeps what it
//! accepted. `docs/operate/sizing.md` says what it refuses when.

mod connections;
mod limits;
mod streams;
mod tenants;

use tokio::task::JoinSet;

use crate::support::prelude::*;

fn send_to_many(world: &World, numbers: usize) -> JoinSet<HttpResponse> {
    let mut sends = JoinSet::new();
    for _ in 0..numbers {
        let (client, number) = (world.server.client.clone(), world.number());
        sends.spawn(async move { client.send(&number).await });
    }
    sends
}

async fn numbers_with_codes(world: &World, numbers: usize) -> Vec<(String, String)> {
    let mut known = Vec::new();
    for _ in 0..numbers {
        known.push(world.number_with_code().await);
    }
    known
}

#[track_caller]
fn is_unavailable(answer: &HttpResponse, message: &str) {
    assert_eq!(answer.expects_refusal(503).json()["message"], message);
}
