//! Many checks of one number at the same time.

use tokio::task::JoinSet;

use crate::support::{Answer, Client};

/// Fewer than the commands that may wait for one number, so that none is refused for that.
pub const CROWD: usize = 50;

/// Submits a code as often as [`CROWD`] says, each on a connection of its own, opened before the
/// first request leaves.
pub async fn crowd(client: &Client, number: &str, code: &str) -> Vec<Answer> {
    client.connect_to_have(CROWD).await;
    let mut checks = JoinSet::new();
    for _ in 0..CROWD {
        let (client, number, code) = (client.clone(), number.to_owned(), code.to_owned());
        checks.spawn(async move { client.verify(&number, &code).await });
    }
    checks.join_all().await
}
