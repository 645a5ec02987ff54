//! A gateway that refuses, hangs, resets or answers nonsense.

mod answers;
mod out_of_reach;
mod tls;

use crate::support::prelude::*;

#[tokio::test]
async fn a_client_that_hangs_up_does_not_cancel_its_send() {
    let world = World::new().await;
    let number = world.number();
    let impatient = world.hang_at_the_gateway(&number).await;
    impatient.abort();
    let _ = impatient.await;
    world.twilio().release();
    let code = world.twilio().code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
}
