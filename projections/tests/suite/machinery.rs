//! timers and steps: what the machinery has to do.

use std::sync::Arc;

use events::{
    Category, StreamId,
    ids::{HireId, JobId},
    vocabulary::{
        StepOutcome,
        jobs::{
            HireEvent, HireStep, HireStepRequested, HireStepSettled, HireTimerStarted, HireTimerStopped,
            JobClosed, JobClosure, JobPublished,
        },
    },
};
use projections::{
    PageRequest,
    steps::{self, Steps},
    timers::{self, Timers},
};

use crate::{
    engines::{Fixture, sqlite},
    story::{Story, at, id, project},
};

fn hire(number: u128) -> StreamId {
    StreamId::new(Category::Hire, id::<HireId>(number))
}

fn timer(timer: &str, seconds: i64) -> HireEvent {
    HireTimerStarted { timer: timer.into(), due_at: at(seconds) }.into()
}

async fn given(story: &Story) -> Fixture {
    let fixture = sqlite();
    project(Arc::new(Timers), Arc::clone(&fixture.store), &story.events, &[2]).await;
    project(Arc::new(Steps), Arc::clone(&fixture.store), &story.events, &[2]).await;
    fixture
}

#[tokio::test]
async fn timers_that_are_due_come_in_the_order_of_their_time() {
    let mut story = Story::default();
    story.say(hire(1), timer("late", 500));
    story.say(hire(1), timer("early", 100));
    story.say(hire(2), timer("exactly", 200));
    story.job(id::<JobId>(3), JobPublished { expires_at: at(150) });
    let fixture = given(&story).await;
    let due = timers::due(fixture.store.as_ref(), at(200), PageRequest::first(10)).await.unwrap();
    let names: Vec<&str> = due.items.iter().map(|timer| timer.timer.as_str()).collect();
    assert_eq!(names, ["early", "expiry", "exactly"]);
    assert_eq!(due.items[0].started_by, story.events[1].id);
    let next = timers::upcoming(fixture.store.as_ref(), PageRequest::first(1)).await.unwrap();
    assert_eq!(next.items, due.items[..1]);
    let rest = timers::due(fixture.store.as_ref(), at(900), PageRequest { after: next.next, limit: 10 })
        .await
        .unwrap();
    assert_eq!(rest.items.len(), 3);
}

#[tokio::test]
async fn a_timer_that_is_started_again_moves_and_a_stopped_one_is_gone() {
    let mut story = Story::default();
    story.say(hire(1), timer("moved", 100));
    let moved = story.say(hire(1), timer("moved", 300));
    story.say(hire(1), timer("stopped", 100));
    story.say(hire(1), HireEvent::from(HireTimerStopped { timer: "stopped".into() }));
    story.job(id::<JobId>(3), JobPublished { expires_at: at(150) });
    story.job(id::<JobId>(3), JobClosed { closure: JobClosure::Cancelled });
    let fixture = given(&story).await;
    let all = timers::upcoming(fixture.store.as_ref(), PageRequest::first(10)).await.unwrap().items;
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].due_at, all[0].started_by), (at(300), moved.id));
}

#[tokio::test]
async fn a_step_is_open_until_it_is_settled() {
    let mut story = Story::default();
    let ask = |number| HireEvent::from(HireStepRequested { number, step: HireStep::ProposeContract });
    for number in 1..=11 {
        story.say(hire(1), ask(number));
    }
    let other = story.say(hire(2), ask(1));
    story.say(hire(1), HireEvent::from(HireStepSettled { number: 2, outcome: StepOutcome::Done }));
    let refused = StepOutcome::Refused { code: "no".into() };
    story.say(hire(1), HireEvent::from(HireStepSettled { number: 1, outcome: refused }));
    let fixture = given(&story).await;
    let open = steps::open(fixture.store.as_ref(), PageRequest::first(100)).await.unwrap().items;
    assert_eq!(open.len(), 10);
    assert_eq!((open[9].stream, open[9].requested_by), (hire(2), other.id));
    let own = steps::of_stream(fixture.store.as_ref(), hire(1), PageRequest::first(100)).await.unwrap().items;
    assert!(own.iter().map(|step| step.number).eq(3..=11));
}
