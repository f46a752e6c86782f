//! Process managers hear of every event in order, and what they ask for is issued until it is done, without spinning.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use commands::process::ProcessError;
use events::{
    Category, CommandStamp, CommitBuilder, Id, RecordedEvent, StreamId, Timestamp, Version,
    envelope::CommandHash,
    ids::{CommandId, HireId},
    time::DomainClock,
    vocabulary::{
        DomainEvent, StepOutcome,
        jobs::{HireEvent, HireStep, HireStepRequested, HireStepSettled, HireTimerStarted},
    },
};
use projections::{Projection, steps::OpenStep, timers::Timer};
use uuid::Uuid;
use workers::{Processes, WorkerSettings, Workers, processes::ProcessFuture};

use crate::support::{
    House,
    fleet::{Crew, holds, shared_settings},
    settings, stream, until, until_caught_up, until_status,
};

/// Managers that remember what they were asked, and fail as they are told.
#[derive(Default)]
struct Recording {
    heard: Mutex<HashMap<StreamId, Vec<Version>>>,
    dispatched: Mutex<Vec<(StreamId, u32)>>,
    fired: Mutex<Vec<String>>,
    /// What goes wrong with an event, how often.
    reactions: Mutex<HashMap<(StreamId, Version), (u32, ProcessError)>>,
    /// How often every step fails.
    step_failures: Mutex<u32>,
    /// The manager whose steps never end.
    endless: Mutex<Option<StreamId>>,
    /// The manager whose next step panics.
    panics: Mutex<Option<StreamId>>,
}

impl Recording {
    fn fail(&self, stream: StreamId, version: Version, times: u32, error: ProcessError) {
        self.reactions.lock().unwrap().insert((stream, version), (times, error));
    }
    fn heard(&self, stream: StreamId) -> Vec<Version> {
        self.heard.lock().unwrap().get(&stream).cloned().unwrap_or_default()
    }
}

impl Processes for Recording {
    fn react<'a>(&'a self, event: &'a RecordedEvent) -> ProcessFuture<'a> {
        Box::pin(async move {
            if let Some((times, error)) =
                self.reactions.lock().unwrap().get_mut(&(event.stream, event.version))
                && *times > 0
            {
                *times -= 1;
                return Err(error.clone());
            }
            self.heard.lock().unwrap().entry(event.stream).or_default().push(event.version);
            Ok(())
        })
    }
    fn dispatch<'a>(&'a self, step: &'a OpenStep) -> ProcessFuture<'a> {
        Box::pin(async move {
            self.dispatched.lock().unwrap().push((step.stream, step.number));
            let panics = self.panics.lock().unwrap().take_if(|stream| *stream == step.stream).is_some();
            assert!(!panics, "the test says so");
            let endless = *self.endless.lock().unwrap() == Some(step.stream);
            if endless {
                std::future::pending::<()>().await;
            }
            let mut failures = self.step_failures.lock().unwrap();
            if *failures == 0 {
                return Ok(());
            }
            *failures -= 1;
            Err(ProcessError::Retry("the test says so".to_owned()))
        })
    }
    fn fire<'a>(&'a self, timer: &'a Timer) -> ProcessFuture<'a> {
        Box::pin(async move {
            self.fired.lock().unwrap().push(timer.timer.clone());
            Ok(())
        })
    }
}

fn start(
    house: &House,
    processes: &Arc<Recording>,
    clock: &DomainClock,
    settings: WorkerSettings,
) -> Workers {
    let projections: Vec<Arc<dyn Projection>> =
        vec![Arc::new(projections::steps::Steps), Arc::new(projections::timers::Timers)];
    let (log, store) = (Arc::clone(&house.log), Arc::clone(&house.store));
    let settings = WorkerSettings { processes: true, ..settings };
    Workers::start(projections, Arc::clone(processes) as _, None, log, store, clock.clone(), settings)
}

async fn append_to_hire(house: &House, number: u128, events: Vec<HireEvent>) -> StreamId {
    append_to_hire_at(house, number, events, Timestamp::now()).await
}

async fn append_to_hire_at(house: &House, number: u128, events: Vec<HireEvent>, time: Timestamp) -> StreamId {
    let stream = StreamId::new(HireEvent::CATEGORY, HireId::from_uuid(Uuid::from_u128(number)));
    assert_eq!(stream.category, Category::Hire);
    let mut builder = CommitBuilder::new(stream, house.log.head(stream).unwrap() + 1);
    let stamp = CommandStamp {
        command_id: CommandId::fresh(),
        command_hash: CommandHash([7; 16]),
        correlation_id: "a-test".to_owned(),
        causation_id: None,
        actor: "system".to_owned(),
        traceparent: None,
        time,
    };
    builder.push(&stamp, &events);
    house.log.append(builder.finish().unwrap()).await.unwrap();
    stream
}

fn requested(number: u32) -> HireEvent {
    HireStepRequested { number, step: HireStep::ProposeContract }.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managers_hear_of_the_events_of_a_stream_in_order_and_again_after_an_outage() {
    let house = House::new();
    let managers = Arc::new(Recording::default());
    managers.fail(stream(1), 2, 5, ProcessError::Retry("the log is away".to_owned()));
    let workers = start(&house, &managers, &DomainClock::new(), settings());
    for _ in 0..4 {
        house.append(stream(1), 1).await;
        house.append(stream(2), 1).await;
    }
    until_caught_up(&workers, house.log.as_ref()).await;
    for number in [1, 2] {
        assert_eq!(managers.heard(stream(number)), [1, 2, 3, 4]);
    }
    assert!(workers.letters(None, None, 1).await.unwrap().items.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_no_manager_can_take_is_parked_with_its_stream_and_can_be_retried() {
    let house = House::new();
    let managers = Arc::new(Recording::default());
    managers.fail(stream(1), 2, 1, ProcessError::Poison("the test says so".to_owned()));
    let workers = start(&house, &managers, &DomainClock::new(), settings());
    for _ in 0..4 {
        house.append(stream(1), 1).await;
        house.append(stream(2), 1).await;
    }
    until_caught_up(&workers, house.log.as_ref()).await;
    assert_eq!(managers.heard(stream(1)), [1]);
    assert_eq!(managers.heard(stream(2)), [1, 2, 3, 4]);
    let letter = workers.letters(Some("reactor"), None, 10).await.unwrap().items.remove(0);
    assert_eq!(letter.sequence, stream(1).to_string());
    let redriven = workers.retry(letter.id).await.unwrap();
    assert_eq!((redriven.events, redriven.left), (3, None));
    assert_eq!(managers.heard(stream(1)), [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_is_issued_until_it_goes_through_and_then_left_alone() {
    let house = House::new();
    let managers = Arc::new(Recording::default());
    *managers.step_failures.lock().unwrap() = 3;
    let patient = WorkerSettings { reissue_after_ms: 60_000, ..settings() };
    let workers = start(&house, &managers, &DomainClock::new(), patient);
    let hire = append_to_hire(&house, 1, vec![requested(1), requested(2)]).await;
    until_status(&workers, "done", |status| status.steps.done == 1).await;
    assert_eq!(workers.status().steps.retried, 3);
    // It stays listed, since nobody settles it; other work goes on around it, and it is not issued again.
    let other = append_to_hire(&house, 2, vec![requested(1)]).await;
    until_status(&workers, "the other one is done", |status| status.steps.done == 2).await;
    let dispatched = managers.dispatched.lock().unwrap().clone();
    assert_eq!(dispatched, [(hire, 2), (hire, 2), (hire, 2), (hire, 2), (other, 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_panics_is_issued_again_whatever_else_is_under_way() {
    let house = House::new();
    let managers = Arc::new(Recording::default());
    let patient = WorkerSettings { reissue_after_ms: 60_000, ..settings() };
    let workers = start(&house, &managers, &DomainClock::new(), patient);
    let hire = |number| StreamId::new(HireEvent::CATEGORY, HireId::from_uuid(Uuid::from_u128(number)));
    *managers.endless.lock().unwrap() = Some(hire(1));
    *managers.panics.lock().unwrap() = Some(hire(2));
    append_to_hire(&house, 1, vec![requested(1)]).await;
    until("under way", || async { !managers.dispatched.lock().unwrap().is_empty() }).await;
    append_to_hire(&house, 2, vec![requested(1)]).await;
    until_status(&workers, "the one that panicked is done", |status| status.steps.done == 1).await;
    assert_eq!(workers.status().steps.poisoned, 1);
    let dispatched = managers.dispatched.lock().unwrap().clone();
    assert_eq!(dispatched, [(hire(1), 1), (hire(2), 1), (hire(2), 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_step_is_not_issued_again_after_a_restart() {
    let house = House::new();
    let managers = Arc::new(Recording::default());
    let settled = HireStepSettled { number: 1, outcome: StepOutcome::Done };
    append_to_hire(&house, 1, vec![requested(1), settled.into()]).await;
    let workers = start(&house, &managers, &DomainClock::new(), settings());
    until_caught_up(&workers, house.log.as_ref()).await;
    let open = append_to_hire(&house, 2, vec![requested(1)]).await;
    until_status(&workers, "done", |status| status.steps.done > 0).await;
    assert!(managers.dispatched.lock().unwrap().iter().all(|(stream, _)| *stream == open));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_steps_than_may_be_under_way_are_all_issued() {
    let house = House::new();
    let managers = Arc::new(Recording::default());
    let narrow = WorkerSettings { dispatch_concurrency_max: 2, reissue_after_ms: 60_000, ..settings() };
    for number in 0..20 {
        append_to_hire(&house, number, vec![requested(1)]).await;
    }
    let workers = start(&house, &managers, &DomainClock::new(), narrow);
    until_status(&workers, "all are done", |status| status.steps.done == 20).await;
    assert_eq!(managers.dispatched.lock().unwrap().len(), 20);
}

/// Asks for steps until one is issued: what was there when the prompter began is nothing to it.
async fn until_prompted(house: &House, managers: &Recording) {
    let mut hires = 0;
    while managers.dispatched.lock().unwrap().is_empty() {
        hires += 1;
        append_to_hire(house, hires, vec![requested(1)]).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_new_is_issued_before_it_is_listed_and_what_is_old_is_left_to_the_list() {
    let house = House::new();
    let managers = Arc::new(Recording::default());
    // Nothing is ever listed.
    let unlisted = WorkerSettings { projectors: false, ..settings() };
    let _workers = start(&house, &managers, &DomainClock::new(), unlisted);
    until_prompted(&house, &managers).await;
    let dispatched = || managers.dispatched.lock().unwrap().clone();
    let an_hour_ago = Timestamp::now().plus_millis(-3_600_000);
    let old = append_to_hire_at(&house, 1_000, vec![requested(1)], an_hour_ago).await;
    let due_at = Timestamp::now().plus_millis(200);
    let soon = HireTimerStarted { timer: "soon".to_owned(), due_at }.into();
    let new = append_to_hire(&house, 1_001, vec![requested(1), soon, requested(2)]).await;
    until("the new one is issued", || async { dispatched().contains(&(new, 2)) }).await;
    until("its timer fires", || async { !managers.fired.lock().unwrap().is_empty() }).await;
    assert!(Timestamp::now() >= due_at);
    assert!(dispatched().iter().all(|(stream, _)| *stream != old), "{:?}", dispatched());
    assert!(!dispatched().contains(&(new, 1)), "the last one stands for those before it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_heard_of_and_failed_is_tried_again_and_counts_as_open_though_it_is_not_listed() {
    let house = House::new();
    let managers = Arc::new(Recording::default());
    let unlisted = WorkerSettings { projectors: false, ..settings() };
    let workers = start(&house, &managers, &DomainClock::new(), unlisted);
    until_prompted(&house, &managers).await;
    *managers.step_failures.lock().unwrap() = 3;
    let hire = append_to_hire(&house, 1_000, vec![requested(1)]).await;
    let tries = || managers.dispatched.lock().unwrap().iter().filter(|(stream, _)| *stream == hire).count();
    until("the fourth try", || async { tries() == 4 }).await;
    let endless = StreamId::new(HireEvent::CATEGORY, HireId::from_uuid(Uuid::from_u128(1_001)));
    *managers.endless.lock().unwrap() = Some(endless);
    append_to_hire(&house, 1_001, vec![requested(1)]).await;
    until_status(&workers, "the endless one alone is open", |status| status.steps.listed == 1).await;
    assert_eq!(tries(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_heard_of_and_is_listed_is_issued_once() {
    let house = House::new();
    let managers = Arc::new(Recording::default());
    let patient = WorkerSettings { reissue_after_ms: 60_000, ..settings() };
    let workers = start(&house, &managers, &DomainClock::new(), patient);
    for number in 0..50 {
        append_to_hire(&house, number, vec![requested(1)]).await;
    }
    until_caught_up(&workers, house.log.as_ref()).await;
    until_status(&workers, "all are done and listed", |status| {
        status.steps.done >= 50 && status.steps.listed == 50
    })
    .await;
    assert_eq!(managers.dispatched.lock().unwrap().len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_fire_in_domain_time_and_not_before() {
    let house = House::new();
    let managers = Arc::new(Recording::default());
    let clock = DomainClock::new();
    let workers = start(&house, &managers, &clock, settings());
    let in_hours = |timer: &str, hours: i64| -> HireEvent {
        let due_at = Timestamp::now().plus_millis(hours * 3_600_000);
        HireTimerStarted { timer: timer.to_owned(), due_at }.into()
    };
    append_to_hire(&house, 1, vec![in_hours("late", 10), in_hours("past", -1), in_hours("soon", 1)]).await;
    until("the past one fired", || async { !managers.fired.lock().unwrap().is_empty() }).await;
    assert!(managers.fired.lock().unwrap().iter().all(|timer| timer == "past"));
    clock.set_offset_ms(2 * 3_600_000);
    until("the soon one fired", || async { managers.fired.lock().unwrap().iter().any(|t| t == "soon") })
        .await;
    assert!(managers.fired.lock().unwrap().iter().all(|timer| timer != "late"));
    until_caught_up(&workers, house.log.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_several_workers_share_the_work_a_step_is_issued_by_one_of_them_and_none_is_left() {
    let crew = Crew::new(Vec::new(), 4);
    let managers = Arc::new(Recording::default());
    let patient = WorkerSettings { reissue_after_ms: 60_000, lease_ms: 3_600_000, ..shared_settings() };
    let start = || start(&crew.house, &managers, &DomainClock::new(), patient.clone());
    let mut workers = vec![start(), start(), start()];
    let everybody_has_some = |workers: &[Workers]| {
        workers.iter().all(|w| w.status().runners.iter().any(|r| r.projection == "steps_v2" && holds(r)))
    };
    until("the work is spread", || async { everybody_has_some(&workers) }).await;
    for number in 0..12 {
        append_to_hire(&crew.house, number, vec![requested(1)]).await;
    }
    let dispatched = || managers.dispatched.lock().unwrap().clone();
    until("all are issued", || async { dispatched().len() >= 12 }).await;
    assert_eq!(dispatched().len(), 12, "each by one, while nobody joins, leaves or dies");
    for workers in workers.drain(1..) {
        workers.shutdown().await;
    }
    // What comes up where the others were is issued by whoever is left.
    for number in 12..24 {
        append_to_hire(&crew.house, number, vec![requested(1)]).await;
    }
    let issued = || dispatched().into_iter().map(|(stream, _)| stream).collect::<HashSet<_>>().len();
    until("all are issued", || async { issued() == 24 }).await;
}
