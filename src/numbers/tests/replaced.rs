//! A code that comes back because the one that replaced it was not sent.

use super::world::{World, number};
use crate::engine::SendResult;
use crate::numbers::CheckOutcome;

#[test]
fn when_a_resend_fails_the_code_that_was_told_sent_works() {
    let mut world = World::new();
    let code = world.has_code(number(1));
    let _answer = world.sends(number(1));
    world.commits();
    let resend = world.dispatched();
    world.settles(resend, SendResult::Failed { may_have_been_sent: false, held: None });
    world.commits();
    let right = world.checks(number(1), Some(code));
    world.commits();
    assert_eq!(right.answer(), Ok(CheckOutcome::Approved));
}
