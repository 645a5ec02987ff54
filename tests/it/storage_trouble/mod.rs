//! A disk that accepts no more writes: the server fails closed, names the reason, and recovers when the disk works
//! again. It ends when it is unknown what the disk has.
//!
//! The trouble is real. In this file the file size limit of the running program makes its writes fail; the others damage
//! files, or load a library into the program that makes calls fail. `embedded::tests` of the store has each operation.

pub mod damage;
mod hangs;
mod refusals;
mod start_and_stop;
mod system_limits;

use crate::support::prelude::*;

#[tokio::test]
async fn a_revocation_on_a_full_disk_is_refused() {
    let setup = Setup::new();
    let server = setup.start().await;
    let key = setup.new_key(&["--scope", "admin"]).await;
    let sid = text(&key, "sid");
    let status = async || V2::with_key_of(&server.client, &key).get("/Services").await.status();
    assert_eq!(status().await, 200);

    server.let_writes_fail();
    setup.command(["keys", "revoke", sid]).await.exits(70);
    assert_eq!(status().await, 200);
}

/// Kills the server of a world, and returns what starts it again.
async fn killed(world: World) -> Setup {
    world.server.killed().await;
    world.setup
}
