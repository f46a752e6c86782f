//! What an operator asks at one process and another one has to do: where several share the read store, a letter is retried
//! only by whoever holds its scope, and a runner that has stopped goes on only where it has stopped.
//!
//! So what is asked becomes a document of the read store. Every worker looks for such documents, does what is its own to do, and
//! writes its answer into the document, by compare-and-set; whoever asked waits for that, within a bound, and takes the document
//! away. What nobody has answered by then is still done as soon as somebody can, and can be seen until its time is over. Doing
//! it twice does no harm: a letter that is gone is not retried, and a runner that runs is not resumed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use events::{Timestamp, ids::LetterId};
use projections::{
    Batch, Collection, DocumentKey, Index, Json, Order, ProjectionId, Query, ReadStore, StoreError, Write,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, task::JoinSet};
use uuid::Uuid;

use crate::{
    builds::keeper::Roster,
    dead_letters::{self, Letter, RedriveError},
    documents,
    fleet::{Fleet, WorkerId, group},
    runner::{Handle, Request},
    settings::WorkerSettings,
    status::RunState,
};

/// What was asked, by its id.
pub(crate) const REQUESTS: Collection<Asked> =
    Collection::new("requests", &[Index { name: "by_asked_at", fields: &["asked_at"] }]);

/// Requests that may be open at the same time, in all processes together.
const OPEN_MAX: usize = 64;
/// Retries that one process carries out at the same time.
const UNDER_WAY_MAX: usize = 16;
/// For so long somebody may carry out what was asked, milliseconds.
const VALID_MS: i64 = 600_000;
/// Whoever asked waits so long for the answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// How often whoever asked looks for it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// So often an answer is tried to be written while others write theirs.
const ANSWER_TRIES: usize = 100;

/// Something an operator has asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    id: Uuid,
    what: What,
    asked_at: Timestamp,
    /// Afterwards nobody begins with it, and anybody takes it away; real time.
    until: Timestamp,
    answers: BTreeMap<WorkerId, Answer>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum What {
    /// Apply what waits in a letter. Whoever holds the scope with its partition answers.
    Retry { projection: ProjectionId, letter: LetterId, partition: String },
    /// Go on, all runners of a projection, or of one of its builds, that have stopped. Everybody answers.
    Resume { projection: String },
}

/// What came of it where it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Answer {
    /// So many events have left the letter.
    Retried(u64),
    /// It could not be retried.
    Refused(RedriveError),
    /// So many runners had stopped there.
    Resumed(usize),
}

/// A request that is open, for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenRequest {
    /// Told apart from every other one.
    pub id: Uuid,
    /// In words: what is asked, and of what.
    pub what: String,
    /// When, real time.
    pub asked_at: Timestamp,
    /// Nobody begins with it after that, real time.
    pub until: Timestamp,
    /// How many processes have answered.
    pub answers: usize,
}

impl From<Asked> for OpenRequest {
    fn from(asked: Asked) -> Self {
        let what = match &asked.what {
            What::Retry { projection, letter, partition: _ } => {
                format!("retry the letter {letter} of {projection}")
            }
            What::Resume { projection } => format!("resume {projection}"),
        };
        let Asked { id, asked_at, until, answers, .. } = asked;
        Self { id, what, asked_at, until, answers: answers.len() }
    }
}

fn key(id: Uuid) -> DocumentKey {
    DocumentKey { collection: REQUESTS.spec.name, key: id.to_string() }
}

/// Everything that is asked, the oldest first, with the text of each.
async fn all(store: &dyn ReadStore) -> Result<Vec<(Asked, Json)>, StoreError> {
    let query = Query {
        projection: group(),
        collection: REQUESTS.spec.name,
        filters: Vec::new(),
        order: Order::ascending("asked_at"),
        after: None,
        limit: OPEN_MAX * 2,
    };
    let page = store.find(query).await?;
    page.items.into_iter().map(|json| Ok((documents::decode(&json)?, json))).collect()
}

/// Everything that is asked and not done with, the oldest first.
pub(crate) async fn open(store: &dyn ReadStore) -> Result<Vec<OpenRequest>, StoreError> {
    Ok(all(store).await?.into_iter().map(|(asked, _)| asked.into()).collect())
}

async fn replace(
    store: &dyn ReadStore,
    id: Uuid,
    seen: Option<Json>,
    next: Option<&Asked>,
) -> Result<(), StoreError> {
    let value = next.map(documents::encode).transpose()?;
    let writes = vec![Write { document: key(id), value }];
    let unchanged = vec![Write { document: key(id), value: seen }];
    store.commit(Batch { projection: group(), writes, advances: Vec::new(), unchanged }).await
}

/// Asks other processes, from this one.
pub(crate) struct Asking<'a> {
    pub(crate) store: &'a dyn ReadStore,
    pub(crate) fleet: &'a Fleet,
}

impl Asking<'_> {
    /// Has a letter retried by whoever holds its scope; how many events have left it. `None`: nobody has answered in time.
    pub(crate) async fn retry(&self, letter: &Letter) -> Result<Option<u64>, RedriveError> {
        let unavailable = |error: StoreError| RedriveError::Unavailable(error.to_string());
        let (projection, partition) = (letter.projection.clone(), letter.partition().to_string());
        let what = What::Retry { projection, letter: letter.id, partition };
        let id = self.ask(what).await.map_err(unavailable)?.ok_or(RedriveError::Busy)?;
        let answers = self.await_answers(id, |answers| !answers.is_empty()).await.map_err(unavailable)?;
        match answers.into_values().next() {
            None => Ok(None),
            Some(Answer::Retried(events)) => Ok(Some(events)),
            Some(Answer::Refused(error)) => Err(error),
            Some(Answer::Resumed(_)) => {
                Err(RedriveError::Unavailable("it was answered otherwise".to_owned()))
            }
        }
    }

    /// Has all others that live resume what has stopped of a projection; how many runners that were, as far as they have
    /// answered in time.
    pub(crate) async fn resume(&self, projection: &str) -> Result<usize, StoreError> {
        let others = self.fleet.others();
        if others.is_empty() {
            return Ok(0);
        }
        let id = self.ask(What::Resume { projection: projection.to_owned() }).await?;
        let id = id.ok_or_else(|| StoreError::Unavailable("too much is asked of the workers".to_owned()))?;
        let from_all =
            |answers: &BTreeMap<WorkerId, Answer>| others.iter().all(|id| answers.contains_key(id));
        let answers = self.await_answers(id, from_all).await?;
        let resumed = |answer: &Answer| match answer {
            Answer::Resumed(runners) => *runners,
            Answer::Retried(_) | Answer::Refused(_) => 0,
        };
        Ok(answers.values().map(resumed).sum())
    }

    /// Writes what is asked for; `None` when too much is open already.
    async fn ask(&self, what: What) -> Result<Option<Uuid>, StoreError> {
        self.fleet.prepare(self.store).await?;
        let open = all(self.store).await?;
        // Who asks twice asks once.
        if let Some((same, _)) = open.iter().find(|(asked, _)| asked.what == what && asked.answers.is_empty())
        {
            return Ok(Some(same.id));
        }
        if open.len() >= OPEN_MAX {
            return Ok(None);
        }
        let (id, now) = (Uuid::now_v7(), Timestamp::now());
        let until = now.plus_millis(VALID_MS);
        let asked = Asked { id, what, asked_at: now, until, answers: BTreeMap::new() };
        replace(self.store, id, None, Some(&asked)).await?;
        Ok(Some(id))
    }

    /// The answers, once they are enough or the time is over. Only what is answered is taken away.
    async fn await_answers(
        &self,
        id: Uuid,
        enough: impl Fn(&BTreeMap<WorkerId, Answer>) -> bool,
    ) -> Result<BTreeMap<WorkerId, Answer>, StoreError> {
        let (deadline, mut answers) = (tokio::time::Instant::now() + ANSWER_WAIT, BTreeMap::new());
        loop {
            let found = self.store.get_many(&group(), &[key(id)]).await?.pop().flatten();
            // Whoever asked for the same has taken it away.
            let Some(json) = found else { return Ok(answers) };
            answers = documents::decode::<Asked>(&json)?.answers;
            if enough(&answers) {
                match replace(self.store, id, Some(json), None).await {
                    Ok(()) | Err(StoreError::Fenced) => {}
                    Err(error) => {
                        tracing::debug!(%error, "a request that was answered stays until its time is over")
                    }
                }
                return Ok(answers);
            }
            if tokio::time::Instant::now() >= deadline {
                return Ok(answers);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Does what is asked of this process.
pub(crate) struct Doing {
    store: Arc<dyn ReadStore>,
    fleet: Arc<Fleet>,
    roster: Roster,
    settings: Arc<WorkerSettings>,
    /// Retries that have begun here.
    under_way: BTreeSet<Uuid>,
    tasks: JoinSet<Uuid>,
}

impl Doing {
    pub(crate) fn new(
        store: Arc<dyn ReadStore>,
        fleet: Arc<Fleet>,
        roster: Roster,
        settings: Arc<WorkerSettings>,
    ) -> Self {
        Self { store, fleet, roster, settings, under_way: BTreeSet::new(), tasks: JoinSet::new() }
    }

    /// Until `ended`.
    pub(crate) async fn run(mut self, ended: impl Future<Output = ()>) {
        let pause = Duration::from_millis(self.settings.poll_interval_ms.max(1));
        let looking = async {
            loop {
                tokio::time::sleep(pause).await;
                while let Some(done) = self.tasks.try_join_next() {
                    match done {
                        Ok(id) => _ = self.under_way.remove(&id),
                        Err(error) => tracing::error!(%error, "a request broke off"),
                    }
                }
                if let Err(error) = self.look().await {
                    tracing::debug!(%error, "what is asked of the workers cannot be read");
                }
            }
        };
        tokio::select! {
            () = looking => {}
            () = ended => {}
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let now = Timestamp::now();
        for (asked, json) in all(self.store.as_ref()).await? {
            if asked.until < now {
                match replace(self.store.as_ref(), asked.id, Some(json), None).await {
                    Ok(()) | Err(StoreError::Fenced) => continue,
                    Err(error) => return Err(error),
                }
            }
            match &asked.what {
                What::Retry { projection, letter, partition } => {
                    let is_new = asked.answers.is_empty() && !self.under_way.contains(&asked.id);
                    if is_new && let Some(handle) = holder(&self.roster, &self.fleet, projection, partition) {
                        self.begin_retry(asked.id, handle, *letter).await?;
                    }
                }
                What::Resume { projection } => {
                    if !asked.answers.contains_key(&self.fleet.me) {
                        let resumed = resume(&self.roster, projection);
                        let answered = Answer::Resumed(resumed);
                        answer(self.store.as_ref(), asked.id, self.fleet.me, &answered).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Has the runner that holds its scope retry a letter.
    async fn begin_retry(&mut self, id: Uuid, handle: Handle, letter: LetterId) -> Result<(), StoreError> {
        if self.under_way.len() >= UNDER_WAY_MAX {
            return Ok(());
        }
        let (store, me) = (Arc::clone(&self.store), self.fleet.me);
        let Some(letter) = dead_letters::show(store.as_ref(), &handle.projection, letter).await? else {
            // Whoever held it before has retried it, and could not say so.
            return answer(store.as_ref(), id, me, &Answer::Retried(0)).await;
        };
        self.under_way.insert(id);
        self.tasks.spawn(async move {
            let answered = match redrive(&handle, letter.sequence).await {
                Ok(redriven) => Answer::Retried(redriven.events),
                // It changed hands just now: whoever has it does it.
                Err(RedriveError::NotHere(_)) => return id,
                Err(error) => Answer::Refused(error),
            };
            if let Err(error) = answer(store.as_ref(), id, me, &answered).await {
                tracing::warn!(%error, "the answer to a request was not written");
            }
            id
        });
        Ok(())
    }
}

/// Adds an answer to what was asked, if that is still there.
async fn answer(store: &dyn ReadStore, id: Uuid, me: WorkerId, answered: &Answer) -> Result<(), StoreError> {
    for _ in 0..ANSWER_TRIES {
        let Some(json) = store.get_many(&group(), &[key(id)]).await?.pop().flatten() else { return Ok(()) };
        let mut asked: Asked = documents::decode(&json)?;
        asked.answers.insert(me, answered.clone());
        match replace(store, id, Some(json), Some(&asked)).await {
            Err(StoreError::Fenced) => {}
            outcome => return outcome,
        }
    }
    Err(StoreError::Unavailable("too many answer the same request at once".to_owned()))
}

/// The runner of this process that holds the scope of a build in which a partition is.
pub(crate) fn holder(
    roster: &Roster,
    fleet: &Fleet,
    build: &ProjectionId,
    partition: &str,
) -> Option<Handle> {
    let is_it = |handle: &Handle| {
        handle.projection == *build
            && handle.partitions.iter().any(|known| known.to_string() == partition)
            && fleet.holds_build(&handle.projection, &handle.status.snapshot().scope)
    };
    roster.all().into_iter().find(is_it)
}

/// Has a runner of this process apply what waits in a sequence.
pub(crate) async fn redrive(
    handle: &Handle,
    sequence: String,
) -> Result<dead_letters::Redriven, RedriveError> {
    let (reply, answer) = oneshot::channel();
    let request = Request::Redrive { sequence, reply };
    handle.requests.try_send(request).map_err(|_| RedriveError::Busy)?;
    answer.await.unwrap_or_else(|_| Err(RedriveError::Unavailable("the runner has ended".to_owned())))
}

/// Lets the stopped runners of a projection, or of one of its builds, go on that are of this process; how many there were.
pub(crate) fn resume(roster: &Roster, projection: &str) -> usize {
    let stopped = |handle: &&Handle| {
        (handle.projection.name == projection || handle.projection.to_string() == projection)
            && matches!(handle.status.snapshot().state, RunState::Stopped { .. })
    };
    let handles = roster.all();
    let resumed = handles.iter().filter(stopped);
    resumed.filter(|handle| handle.requests.try_send(Request::Resume).is_ok()).count()
}
