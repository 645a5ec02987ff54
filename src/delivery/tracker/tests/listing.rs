//! Rows: what they say, which are listed, which are forgotten.

use super::*;

#[tokio::test(start_paused = true)]
async fn every_attempt_has_a_row_and_the_newest_comes_first() {
    let world = World::new().await;
    world.tracker.note_send(world.note(1, &[SendStatus::GatewayError, SendStatus::Sent]));
    world.clock.advance(SECOND);
    world.sent(2);
    assert_eq!((world.tracker.attempts(key(1)), world.tracker.attempts(key(2))), (2, 1));
    assert_eq!(world.tracker.attempts(key(3)), 0);
    let rows = world.rows().await;
    let listed: Vec<_> = rows.iter().map(|row| (row.attempt.key.track, row.attempt.attempt)).collect();
    assert_eq!(listed, [(2, 0), (1, 1), (1, 0)]);
    let expected = TrackRow {
        attempt: AttemptId { key: key(1), attempt: 0 },
        channel: Channel::Sms,
        number: number(1),
        gateway: GatewayName::TwilioMessages,
        priority: 0,
        send_status: SendStatus::GatewayError,
        verify_status: VerifyStatus::New,
        retries: 0,
        max_retries_reached: false,
        at: START,
        receipt: None,
        message_id: None,
        error_code: Some(20_429),
    };
    assert_eq!(rows[2], expected);
}

#[tokio::test(start_paused = true)]
async fn what_happens_within_a_moment_is_one_write_that_nobody_waits_for() {
    let world = World::new().await;
    world.sent(1);
    world.tracker.note_check(key(1), VerifyStatus::InvalidCode);
    world.tracker.note_check(key(1), VerifyStatus::Success);
    assert_eq!(world.store.commits(), 0);
    tokio::time::sleep(COLLECT + SECOND).await;
    assert_eq!(world.store.commits(), 1);
    world.tracker.note_check(key(1), VerifyStatus::Expired);
    assert_eq!(world.row().await.verify_status, VerifyStatus::Success, "whoever proved it has proved it");
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_others_are_written_collects_for_the_next_time() {
    let world = World::new().await;
    // Two whole batches.
    for track in 0..512 {
        world.sent(track);
    }
    world.store.hold();
    world.store.waiting(1).await;
    world.sent(512);
    world.store.release();
    while world.store.snapshot().len() < 512 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.store.commits(), 2);
    tokio::time::sleep(COLLECT + SECOND).await;
    assert_eq!((world.store.commits(), world.store.snapshot().len()), (3, 513));
}

#[tokio::test(start_paused = true)]
async fn a_status_survives_a_restart_and_is_brought_into_its_record() {
    let mut world = World::new().await;
    world.sent(1);
    world.tracker.close().await.expect("written");
    world.crash().await;
    assert_eq!(world.tracker.attempts(key(1)), 1);
    world.tracker.note_check(key(1), VerifyStatus::InvalidCode);
    world.tracker.note_send(world.note(1, &[SendStatus::Sent]));
    world.tracker.close().await.expect("written");
    world.crash().await;
    let rows = world.rows().await;
    assert_eq!((rows.len(), rows[0].verify_status), (2, VerifyStatus::InvalidCode));
}

#[tokio::test(start_paused = true)]
async fn a_list_is_narrowed_by_number_status_and_count() {
    let world = World::new().await;
    for track in 1..=5 {
        world.sent(track);
        world.clock.advance(SECOND);
    }
    world.tracker.note_send(world.note(6, &[SendStatus::GatewayError]));
    world.tracker.note_check(key(2), VerifyStatus::Success);
    let listed = async |query: TrackQuery| {
        let rows = world.tracker.list(&query).await.expect("a list");
        rows.iter().map(|row| row.attempt.key.track).collect::<Vec<_>>()
    };
    let status = |text| StatusFilter::parse(text);
    assert_eq!(listed(TrackQuery { number: Some(number(3)), ..everything() }).await, [3]);
    assert_eq!(listed(TrackQuery { status: status("success"), ..everything() }).await, [2]);
    assert_eq!(listed(TrackQuery { status: status("gateway_error"), ..everything() }).await, [6]);
    assert_eq!(
        listed(TrackQuery { status: status("verify:gateway_error"), ..everything() }).await,
        [] as [u64; 0]
    );
    assert_eq!(listed(TrackQuery { status: status("send:sent"), limit: 2, ..everything() }).await, [5, 4]);
    assert_eq!(listed(TrackQuery { limit: 0, ..everything() }).await, [] as [u64; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_long_list_is_cut_to_the_newest() {
    let world = World::new().await;
    for track in 0..2_000 {
        world.sent(track);
        world.clock.advance(Duration::from_millis(1));
    }
    let rows = world.tracker.list(&TrackQuery { limit: 3, ..everything() }).await.expect("a list");
    let listed: Vec<_> = rows.iter().map(|row| row.attempt.key.track).collect();
    assert_eq!(listed, [1_999, 1_998, 1_997]);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_are_forgotten_when_there_are_too_many() {
    let mut world = World::keeping(10).await;
    for track in 0..600 {
        world.clock.advance(SECOND);
        world.sent(track);
        if track == 299 {
            world.tracker.flush().await.expect("written");
        }
    }
    world.tracker.flush().await.expect("written");
    assert_eq!(world.store.snapshot().len(), 10);
    let listed: Vec<_> = world.rows().await.iter().map(|row| row.attempt.key.track).collect();
    assert_eq!(listed, (590..600).rev().collect::<Vec<_>>());
    world.settings.keep_at_most = 4;
    world.crash().await;
    tokio::time::sleep(COLLECT + SECOND).await;
    assert_eq!(world.store.snapshot().len(), 4, "a lower limit holds from the next start on");
}

#[tokio::test(start_paused = true)]
async fn at_its_default_bounds_a_hundred_thousand_are_kept_and_for_seven_days() {
    const KEPT: u64 = 100_000;
    const MORE: u64 = 20_000;
    let world = World::new().await;
    for track in 0..KEPT + MORE {
        world.sent(track);
        // Fewer than may wait for the disk.
        if track % 10_000 == 9_999 {
            world.clock.advance(SECOND);
            world.tracker.flush().await.expect("written");
        }
    }
    assert_eq!(world.store.snapshot().len(), 100_000);
    assert_eq!(world.tracker.attempts(key(MORE - 1)), 0, "the oldest are gone");
    assert_eq!(world.tracker.attempts(key(MORE)), 1);
    world.clock.advance(Duration::from_secs(7 * 24 * 3_600));
    world.sent(KEPT + MORE);
    world.tracker.flush().await.expect("written");
    assert_eq!(world.store.snapshot().len(), 1, "the others are too old");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_forgotten() {
    let mut world = World::new().await;
    world.sent(1);
    world.tracker.flush().await.expect("written");
    let kept = world.store.snapshot().into_values().next().expect("a record");
    assert_eq!(kept.gc_after, START.plus(world.settings.keep_for));
    world.clock.advance(world.settings.keep_for);
    assert_eq!(world.rows().await, []);
    assert_eq!(world.tracker.attempts(key(1)), 0);
    world.settings.keep_for = SECOND;
    world.sent(2);
    world.tracker.flush().await.expect("written");
    world.clock.advance(SECOND);
    world.crash().await;
    world.tracker.flush().await.expect("written");
    assert!(world.store.snapshot().is_empty(), "a shorter time holds from the next start on");
}

#[tokio::test(start_paused = true)]
async fn when_nothing_is_to_be_kept_only_follow_ups_are_while_they_last() {
    let world = World::keeping(0).await;
    world.sent(1);
    world.tracker.note_check(key(1), VerifyStatus::Success);
    world.tracker.note_send(world.step(2, SECOND));
    world.tracker.flush().await.expect("written");
    assert_eq!(world.row().await.attempt.key.track, 2);
    world.tracker.note_send(SendNote { next: None, ..world.note(2, &[SendStatus::Sent]) });
    world.tracker.flush().await.expect("written");
    assert_eq!(world.rows().await, []);
    assert!(world.store.snapshot().is_empty());
    world.tracker.note_send_durably(world.note(3, &[SendStatus::Sent])).await.expect("durable");
}

#[tokio::test(start_paused = true)]
async fn a_check_or_a_report_may_come_before_the_note_of_its_send() {
    let world = World::new().await;
    world.tracker.note_check(key(1), VerifyStatus::Success);
    world.report(1, 0, ReceiptStatus::Delivered);
    world.tracker.note_send(world.step(1, SECOND));
    assert_eq!(world.tracker.next_due(), None);
    let row = world.row().await;
    assert_eq!((row.verify_status, row.receipt), (VerifyStatus::Success, Some(ReceiptStatus::Delivered)));
    world.tracker.note_check(key(2), VerifyStatus::Success);
    world.clock.advance(60 * SECOND);
    world.tracker.flush().await.expect("nothing to write");
    world.sent(2);
    assert_eq!(world.rows().await[0].verify_status, VerifyStatus::New, "that was about something else");
}

#[tokio::test(start_paused = true)]
async fn a_report_moves_a_status_forward_and_never_back() {
    let world = World::new().await;
    world.sent(1);
    for (status, then) in [
        (ReceiptStatus::Sent, ReceiptStatus::Sent),
        (ReceiptStatus::Queued, ReceiptStatus::Sent),
        (ReceiptStatus::Failed, ReceiptStatus::Failed),
        (ReceiptStatus::Failed, ReceiptStatus::Failed),
        (ReceiptStatus::Delivered, ReceiptStatus::Delivered),
        (ReceiptStatus::Sending, ReceiptStatus::Delivered),
    ] {
        let code = (status == ReceiptStatus::Failed).then_some(30_003);
        world.tracker.note_receipt(&Receipt { code, ..receipt(1, 0, status) });
        assert_eq!(world.row().await.receipt, Some(then), "after {status:?}");
    }
    assert_eq!(world.row().await.error_code, Some(30_003));
    world.tracker.note_receipt(&Receipt { message_id: "SM2".into(), ..receipt(1, 0, ReceiptStatus::Read) });
    assert_eq!(world.row().await.receipt, Some(ReceiptStatus::Delivered), "that was another message");
    world.report(1, 7, ReceiptStatus::Read);
    world.report(9, 0, ReceiptStatus::Read);
    assert_eq!(world.row().await.receipt, Some(ReceiptStatus::Delivered), "those were other attempts");
}

#[tokio::test(start_paused = true)]
async fn a_report_proves_that_a_gateway_that_did_not_answer_took_the_message() {
    let world = World::new().await;
    world.tracker.note_send(world.note(1, &[SendStatus::GatewayError]));
    assert_eq!(world.tracker.accepted_message(key(1)).await, None);
    world.report(1, 0, ReceiptStatus::Delivered);
    let row = world.row().await;
    assert_eq!((row.send_status, row.message_id.as_deref()), (SendStatus::Sent, Some("SM1")));
}

#[tokio::test(start_paused = true)]
async fn the_accepted_message_is_known_before_and_after_it_is_written() {
    let mut world = World::new().await;
    let accepted = Some((GatewayName::TwilioMessages, "SM1".to_owned()));
    world.sent(1);
    assert_eq!(world.tracker.accepted_message(key(1)).await, accepted);
    world.tracker.flush().await.expect("written");
    assert_eq!(world.tracker.accepted_message(key(1)).await, accepted);
    world.crash().await;
    assert_eq!(world.tracker.accepted_message(key(1)).await, accepted);
    assert_eq!(world.tracker.accepted_message(key(2)).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_came_last_is_in_the_last_row_when_there_is_no_room_for_more() {
    let world = World::new().await;
    for _ in 0..20 {
        world.tracker.note_send(world.note(1, &[SendStatus::GatewayError; 2]));
    }
    let attempt = world.tracker.attempts(key(1));
    world.sent(1);
    assert_eq!(world.rows().await.iter().filter(|row| row.send_status == SendStatus::Sent).count(), 1);
    world.report(1, attempt, ReceiptStatus::Delivered);
    let row =
        world.rows().await.into_iter().find(|row| row.send_status == SendStatus::Sent).expect("the last");
    assert_eq!((row.attempt.attempt, row.receipt), (attempt, Some(ReceiptStatus::Delivered)));
}

#[tokio::test(start_paused = true)]
async fn a_verification_has_only_so_many_rows() {
    let world = World::new().await;
    for _ in 0..50 {
        world.sent(1);
    }
    assert_eq!(world.tracker.attempts(key(1)), Tracker::LAST_ROW);
    assert_eq!(world.rows().await.len(), 32);
    world.tracker.note_send(world.note(2, &[SendStatus::Sent; 300]));
    assert_eq!(world.tracker.attempts(key(2)), Tracker::LAST_ROW);
    assert_eq!(world.rows().await.len(), 64);
}
