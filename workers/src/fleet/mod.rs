//! The fleet: the worker processes over one shared read store, who of them lives, and who works for which scope.
//!
//! Every worker writes a document of its own with each heartbeat, and reads those of the others. From who is alive follows
//! who should hold which scope ([`shares`]), the same for all. A scope is held by whose id stands in its turn
//! ([`progress`](crate::runner::progress)), the document that every transaction is compared with: so two that believe to
//! hold it are one that writes and one that is fenced, whatever they know of each other. A scope is given up at the end of
//! a batch when it should be another's, and taken when nobody has it, or when its holder was silent for the lease time.
//!
//! A read store that belongs to one process has no fleet, and none of this costs anything there.

mod member;
mod seat;
mod shares;
mod status;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use projections::{ProjectionId, ReadStore, StoreError};
use tokio::{sync::Notify, time::Instant};

pub use self::member::WorkerId;
pub(crate) use self::member::group;
pub(crate) use self::seat::Seat;
pub use self::status::{FleetStatus, HeldScope, MemberStatus};
use self::{
    member::{Member, Scope},
    seat::{Chair, Place},
    shares::{Abilities, shares},
    watching::{Watched, Watching},
};
use crate::{
    runner::progress::{Turn, read_turns},
    settings::WorkerSettings,
};

/// While a scope is waited for, it is looked at so often within the lease time.
const LOOKS_PER_LEASE: u32 = 20;
const LOOK_MIN: Duration = Duration::from_millis(10);

/// So long a worker that starts waits for its runners to be ready before it says what it can work for.
const READY_WITHIN: Duration = Duration::from_millis(500);

/// One process's part of the fleet. Cheap to share.
pub(crate) struct Fleet {
    pub(crate) me: WorkerId,
    name: String,
    lease: Duration,
    heartbeat: Duration,
    chairs: Mutex<BTreeMap<Scope, Arc<Chair>>>,
    /// Told when what it can work for, or what it holds, has changed.
    stirred: Notify,
    status: Mutex<FleetStatus>,
    /// See [`Place::doubts`].
    doubts: AtomicU64,
}

impl Fleet {
    pub(crate) fn new(settings: &WorkerSettings) -> Arc<Self> {
        let me = WorkerId::fresh();
        let name = settings.name.clone();
        Arc::new(Self {
            me,
            status: Mutex::new(FleetStatus::empty(me)),
            name,
            lease: Duration::from_millis(settings.lease_ms.max(1)),
            heartbeat: Duration::from_millis(settings.heartbeat_ms.max(1)),
            chairs: Mutex::default(),
            stirred: Notify::new(),
            doubts: AtomicU64::new(0),
        })
    }

    /// A place from which a scope can be held; given up when it is dropped.
    pub(crate) fn seat(self: &Arc<Self>, projection: &ProjectionId, scope: &str) -> Seat {
        let scope = Scope::new(projection.to_string(), scope);
        let chair = Arc::new(Chair::new(projection.clone()));
        self.chairs().insert(scope.clone(), Arc::clone(&chair));
        Seat::new(Arc::clone(self), scope, chair)
    }

    /// Whether this process holds the scope of a projection, in whatever build.
    pub(crate) fn holds(&self, projection: &str, scope: &str) -> bool {
        let is_it = |of: &Scope, chair: &Chair| chair.projection.name == projection && of.scope == scope;
        self.chairs().iter().any(|(of, chair)| chair.is_held() && is_it(of, chair))
    }

    /// Whether this process holds this scope of this build.
    pub(crate) fn holds_build(&self, build: &ProjectionId, scope: &str) -> bool {
        let is_it = |of: &Scope, chair: &Chair| chair.projection == *build && of.scope == scope;
        self.chairs().iter().any(|(of, chair)| chair.is_held() && is_it(of, chair))
    }

    /// Whether this process holds any scope of the projection.
    pub(crate) fn holds_any(&self, projection: &str) -> bool {
        self.chairs().values().any(|chair| chair.projection.name == projection && chair.is_held())
    }

    /// How the fleet was when this process last looked.
    pub(crate) fn status(&self) -> FleetStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The workers other than this one that live, when this process last looked.
    pub(crate) fn others(&self) -> Vec<WorkerId> {
        let status = self.status();
        let alive = status.members.iter().filter(|member| member.alive && member.id != self.me);
        alive.map(|member| member.id).collect()
    }

    /// Makes what the fleet keeps in the read store.
    pub(crate) async fn prepare(&self, store: &dyn ReadStore) -> Result<(), StoreError> {
        member::prepare(store).await
    }

    fn chairs(&self) -> MutexGuard<'_, BTreeMap<Scope, Arc<Chair>>> {
        self.chairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The scopes whose chairs are so.
    fn scopes(&self, wanted: impl Fn(&Chair) -> bool) -> BTreeSet<Scope> {
        let chairs = self.chairs();
        chairs.iter().filter(|(_, chair)| wanted(chair)).map(|(scope, _)| scope.clone()).collect()
    }

    /// Until `ended`: says that this worker lives, looks who else does, and tells the seats what follows.
    pub(crate) async fn run(self: Arc<Self>, store: Arc<dyn ReadStore>, ended: impl Future<Output = ()>) {
        let mut member = Member::new(self.me, self.name.clone());
        let living = self.live(store.as_ref(), &mut member);
        tokio::select! {
            () = living => {}
            () = ended => {}
        }
        // Runners release what they hold by themselves; whoever reads now does not wait for us.
        let leaving = member::remove(store.as_ref(), self.me, None);
        match tokio::time::timeout(self.heartbeat, leaving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the fleet was not told that this worker ends"),
            Err(_) => {
                tracing::warn!("the fleet was not told that this worker ends: the read store does not answer")
            }
        }
    }

    async fn live(&self, store: &dyn ReadStore, member: &mut Member) {
        let mut watching = Watching::new(self.lease, self.heartbeat);
        let began = Instant::now();
        while began.elapsed() < READY_WITHIN && self.scopes(Chair::is_ready).len() < self.chairs().len() {
            let _ = tokio::time::timeout(LOOK_MIN, self.stirred.notified()).await;
        }
        let (mut looked, mut beaten, mut prepared) = (None, None, false);
        loop {
            let stirred = self.stirred.notified();
            let began = Instant::now();
            let since_last = looked.map_or(Duration::ZERO, |looked| began - looked);
            let outcome = async {
                if !prepared {
                    member::prepare(store).await?;
                    prepared = true;
                }
                if beaten.is_none_or(|beaten: Instant| beaten.elapsed() >= self.heartbeat)
                    || self.has_news(member)
                {
                    self.beat(store, member).await?;
                    beaten = Some(Instant::now());
                }
                self.look(store, &mut watching, since_last).await
            };
            let pause = match outcome.await {
                Ok(waits) => {
                    looked = Some(began);
                    self.pause(waits, beaten)
                }
                Err(error) => {
                    tracing::warn!(%error, "the fleet cannot be looked at");
                    // Its database may have been dropped.
                    prepared = false;
                    self.heartbeat / 2
                }
            };
            let _ = tokio::time::timeout(pause, stirred).await;
            // What stirs one runner stirs the next: they are heard together.
            tokio::time::sleep(LOOK_MIN).await;
        }
    }

    /// What it said last is not so any more.
    fn has_news(&self, member: &Member) -> bool {
        self.scopes(Chair::is_ready) != member.works_for()
            || self.scopes(Chair::is_held) != member.holds().collect()
    }

    /// Says that this worker lives. One that runs nothing only looks on.
    async fn beat(&self, store: &dyn ReadStore, member: &mut Member) -> Result<(), StoreError> {
        let (ready, held) = (self.scopes(Chair::is_ready), self.scopes(Chair::is_held));
        if ready.is_empty() && member.works_for().is_empty() {
            return Ok(());
        }
        member.beat(ready.into_iter(), held.into_iter());
        member::write(store, member).await
    }

    /// Looks who is there and who holds what this process should; whether it waits for some of it.
    async fn look(
        &self,
        store: &dyn ReadStore,
        watching: &mut Watching,
        since_last: Duration,
    ) -> Result<bool, StoreError> {
        watching.see_members(since_last, member::all(store).await?);
        if since_last >= self.lease {
            self.doubts.fetch_add(1, Ordering::Relaxed);
        }
        let dead: Vec<_> = watching.long_dead().map(|dead| (dead.member.id, dead.json.clone())).collect();
        for (id, json) in dead {
            match member::remove(store, id, Some(json)).await {
                Ok(()) | Err(StoreError::Fenced) => {}
                Err(error) => return Err(error),
            }
        }
        let alive: Vec<&Watched> = watching.members().filter(|watched| watching.is_alive(watched)).collect();
        let able: Abilities =
            alive.iter().map(|watched| (watched.member.id, watched.member.works_for())).collect();
        let shares = shares(&able);
        let missing = self.scopes(|chair| chair.is_ready() && !chair.is_held());
        let missing: Vec<Scope> =
            missing.into_iter().filter(|scope| shares.get(scope) == Some(&self.me)).collect();
        let turns = self.turns(store, &missing).await?;
        let seen = turns.iter().map(|(scope, (turn, json))| (scope.clone(), json.clone(), turn.holder()));
        watching.see_turns(since_last, seen.collect());
        for (scope, chair) in self.chairs().iter() {
            chair.assign(self.place(watching, &shares, scope, turns.get(scope).map(|(turn, _)| turn)));
        }
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) =
            FleetStatus::of(self.me, watching, &shares);
        Ok(!missing.is_empty())
    }

    fn place(
        &self,
        watching: &Watching,
        shares: &BTreeMap<Scope, WorkerId>,
        scope: &Scope,
        turn: Option<&Turn>,
    ) -> Place {
        let says_so = |watched: &&Watched| watching.is_alive(watched) && watched.member.holds_one(scope);
        let holder = match turn {
            Some(turn) => turn.holder(),
            None => watching.members().find(says_so).map(|watched| watched.member.id),
        };
        let expired = holder.and_then(|holder| watching.expired(scope, holder)).cloned();
        let held_by = holder.map(|holder| match watching.member(holder) {
            Some(watched) => status::called(&watched.member),
            None => holder.to_string(),
        });
        // Who has not been seen to be there yet has no share yet, and keeps what it has.
        let ours = match shares.get(scope) {
            Some(member) => *member == self.me,
            None => watching.member(self.me).is_none(),
        };
        Place { looked: true, ours, held_by, doubts: self.doubts.load(Ordering::Relaxed), expired }
    }

    /// Whose turn it is in these scopes.
    async fn turns(
        &self,
        store: &dyn ReadStore,
        scopes: &[Scope],
    ) -> Result<HashMap<Scope, (Turn, Option<crate::documents::Json>)>, StoreError> {
        let mut wanted: BTreeMap<ProjectionId, Vec<Scope>> = BTreeMap::new();
        {
            let chairs = self.chairs();
            for scope in scopes {
                if let Some(chair) = chairs.get(scope) {
                    wanted.entry(chair.projection.clone()).or_default().push(scope.clone());
                }
            }
        }
        let mut turns = HashMap::new();
        for (projection, scopes) in wanted {
            let names: Vec<&str> = scopes.iter().map(|scope| scope.scope.as_str()).collect();
            let found = read_turns(store, &projection, &names).await?;
            turns.extend(scopes.into_iter().zip(found));
        }
        Ok(turns)
    }

    fn pause(&self, waits: bool, beaten: Option<Instant>) -> Duration {
        let beat = beaten.map_or(self.heartbeat, |beaten| self.heartbeat.saturating_sub(beaten.elapsed()));
        let look = if waits { (self.lease / LOOKS_PER_LEASE).max(LOOK_MIN) } else { self.heartbeat };
        beat.min(look)
    }
}
