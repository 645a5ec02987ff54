//! Verifications that clients address by id, in a service without a fixed lockout.

use super::verification_steps::name_of;
use super::world::{GatewayResult, World, permitted, secs};
use crate::domain::Code;
use crate::engine::{BeginOutcome, CheckOutcome, CheckStep::Decided, SendLimit};

#[test]
fn of_two_messages_at_once_the_wait_of_the_one_that_was_sent_stays() {
    for first_fails in [true, false] {
        let mut number = World::of_a_new_service();
        number.begins();
        number.advance(secs(30));
        let one = number.permit();
        number.advance(secs(30));
        let two = number.permit();
        let (failed, sent) = if first_fails { (one, two) } else { (two, one) };
        number.settles(&failed, GatewayResult::Failed);
        let counted = number.state.verification().and_then(|v| v.counted).expect("its counts");
        let last = sent.verification.counted.expect("its counts").last_send;
        assert_eq!((counted.sends, counted.last_send), (2, last));
    }
}

#[test]
fn a_code_that_the_caller_supplies_is_right_and_is_not_stored() {
    let mut number = World::of_a_new_service();
    let brought = Code::parse("00420815").expect("a code");
    let permit = permitted(number.ask_for(Some(&brought), false));
    number.settles(&permit, GatewayResult::Accepted);
    assert!(number.code_of(&permit).matches(&brought));
    assert_ne!(permit.verification.offset(), 420_815);
    assert_eq!(number.submits(Some(&brought), None), Decided(CheckOutcome::Approved));
}

#[test]
fn another_supplied_code_waits_for_the_message_that_is_on_its_way() {
    let mut number = World::of_a_new_service();
    let (first, second) = (Code::parse("111111").expect("a code"), Code::parse("222222").expect("a code"));
    let permit = permitted(number.ask_for(Some(&first), false));
    assert!(matches!(
        number.ask_for(Some(&second), false),
        BeginOutcome::Limited(SendLimit::StillSending { .. })
    ));
    number.settles(&permit, GatewayResult::Accepted);
    let again = permitted(number.ask_for(Some(&second), false));
    assert_eq!(again.verification.salt.id(), permit.verification.salt.id());
    assert!(matches!(number.submits(Some(&first), None), Decided(CheckOutcome::Wrong { .. })));
    assert_eq!(number.submits(Some(&second), None), Decided(CheckOutcome::Approved));
}

#[test]
fn a_new_code_that_was_not_sent_gives_back_the_old_one_and_no_guess() {
    let mut number = World::of_a_new_service();
    number.policy.sends.keeps_code = false;
    let first = number.begins();
    for left in [4, 3, 2, 1] {
        assert_eq!(
            number.submits(None, Some(name_of(&first))),
            Decided(CheckOutcome::Wrong { attempts_left: left, live: true })
        );
    }
    let second = number.permit();
    assert_eq!(
        number.submits(None, Some(name_of(&first))),
        Decided(CheckOutcome::Wrong { attempts_left: 0, live: true })
    );
    number.settles(&second, GatewayResult::Failed);
    let refused = Decided(CheckOutcome::NoChecksLeft { until: first.verification.expires });
    assert_eq!(number.submits(None, Some(name_of(&first))), refused);
}
