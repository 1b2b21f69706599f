//! What the broker loses, refuses or ends.

use super::*;

#[test]
fn a_task_that_the_broker_lost_is_published_again() {
    let mut story = Story::new(1, limits(1));
    story.confirm_all();
    let mut effects = Vec::new();
    for _ in 0..14 {
        effects.extend(story.beat("idle", 1, &[]));
        effects.extend(story.wait(5 * SECOND));
    }
    assert_eq!(published(&effects), [(0, 2)]);
}

#[test]
fn a_publish_that_fails_is_repeated_as_another_attempt() {
    let mut story = Story::new(1, limits(1));
    let reason = "no route".to_owned();
    story.tell(Input::PublishFailed {
        work: story.work(0, 1),
        reason: reason.clone(),
        retryable: true,
    });
    assert_eq!(published(&story.wait(SECOND)), [(0, 2)]);
    story.tell(Input::PublishFailed {
        work: story.work(0, 1),
        reason: reason.clone(),
        retryable: true,
    });
    story.claim(0, 2, "w");
    story.tell(Input::PublishFailed {
        work: story.work(0, 2),
        reason,
        retryable: true,
    });
    assert_eq!(
        story.state.activities().count(),
        1,
        "it had reached the broker all the same"
    );
}

#[test]
fn a_broker_that_refuses_for_good_fails_the_table() {
    let mut story = Story::new(1, limits(1));
    for attempt in 1..=20 {
        story.tell(Input::PublishFailed {
            work: story.work(0, attempt),
            reason: "no".to_owned(),
            retryable: true,
        });
        story.tell(Input::Heartbeat(busy()));
        story.wait(30 * SECOND);
    }
    let Verdict::Failed(failure) = &story.record(0).verdict else {
        panic!("it failed")
    };
    assert_eq!(failure.kind, FailureKind::BrokerError);
}

#[test]
fn a_task_that_is_too_large_fails_the_table_at_once() {
    let mut story = Story::new(2, limits(1));
    let effects = story.tell(Input::PublishFailed {
        work: story.work(0, 1),
        reason: "a task of 9 bytes exceeds max_message_size".to_owned(),
        retryable: false,
    });
    assert_eq!(published(&effects), [(1, 1)]);
    let Verdict::Failed(failure) = &story.record(0).verdict else {
        panic!("it failed")
    };
    assert!(failure.message.contains("max_message_size"), "{failure:?}");
}

#[test]
fn a_transport_that_closes_fails_what_is_left() {
    let mut story = Story::new(3, limits(2));
    story.finish(0, 1, "w", compared(0), 0);
    let effects = story.tell(Input::Disconnected {
        reason: "gone".to_owned(),
    });
    assert_eq!(effects.last(), Some(&Effect::Complete));
    assert_eq!(
        (story.state.counts().matched, story.state.counts().failed),
        (1, 2)
    );
}
