//! A log in memory and everybody who acts on it: aggregates decide, managers are told late, twice or out of order,
//! steps are carried out and their outcomes get lost. What it leaves out is the machinery, what it keeps is its rules:
//! a repeated command id is answered with its first outcome, and no step overtakes what it counts on.

use std::{collections::BTreeMap, sync::Arc};

use commands::{
    Actor, Aggregate, Context, Policy, Rejection,
    account::Account,
    contract::Contract,
    escrow::Escrow,
    funding::Funding,
    hire::Hire,
    job::Job,
    login::Login,
    payment::Payment,
    payout::Payout,
    payout_run::PayoutRun,
    process::{ProcessManager, StepCommand},
    receipt::Receipt,
    registration::Registration,
    release::Release,
    wallet::Wallet,
};
use events::{
    Category, DomainEvent, Id, RecordedEvent, StreamId, Timestamp,
    ids::{CommandId, EventId},
    vocabulary::{StepChange, StepOutcome, TimerChange},
};
use uuid::Uuid;

use super::{fixtures::noon, recorded::recorded};

/// One aggregate as it stands.
pub struct Stream<A: Aggregate> {
    state: A,
    /// What each command that wrote something led to.
    known: BTreeMap<CommandId, Vec<A::Event>>,
}

pub type Streams<A> = BTreeMap<Uuid, Stream<A>>;

/// The log, the aggregates, the time.
pub struct World {
    pub now: Timestamp,
    pub log: Vec<RecordedEvent>,
    policy: Arc<Policy>,
    commands: u64,
    accounts: Streams<Account>,
    logins: Streams<Login>,
    jobs: Streams<Job>,
    contracts: Streams<Contract>,
    registrations: Streams<Registration>,
    hires: Streams<Hire>,
    payments: Streams<Payment>,
    payouts: Streams<Payout>,
    escrows: Streams<Escrow>,
    wallets: Streams<Wallet>,
    receipts: Streams<Receipt>,
    fundings: Streams<Funding>,
    releases: Streams<Release>,
    payout_runs: Streams<PayoutRun>,
}

/// An aggregate that lives in the world.
pub trait Inhabitant: Aggregate {
    fn streams(world: &mut World) -> &mut Streams<Self>;
}

macro_rules! inhabitants {
    ($($aggregate:ident in $streams:ident),*) => {
        $(impl Inhabitant for $aggregate {
            fn streams(world: &mut World) -> &mut Streams<Self> { &mut world.$streams }
        })*
    };
}

inhabitants! {
    Account in accounts, Login in logins, Job in jobs, Contract in contracts,
    Registration in registrations, Hire in hires, Payment in payments, Payout in payouts,
    Escrow in escrows, Wallet in wallets, Receipt in receipts, Funding in fundings, Release in releases, PayoutRun in payout_runs
}

impl World {
    pub fn new() -> Self {
        Self {
            now: noon(),
            log: Vec::new(),
            policy: Arc::new(Policy::default()),
            commands: 0,
            accounts: BTreeMap::new(),
            logins: BTreeMap::new(),
            jobs: BTreeMap::new(),
            contracts: BTreeMap::new(),
            registrations: BTreeMap::new(),
            hires: BTreeMap::new(),
            payments: BTreeMap::new(),
            payouts: BTreeMap::new(),
            escrows: BTreeMap::new(),
            wallets: BTreeMap::new(),
            receipts: BTreeMap::new(),
            fundings: BTreeMap::new(),
            releases: BTreeMap::new(),
            payout_runs: BTreeMap::new(),
        }
    }

    /// The aggregate as it stands.
    pub fn load<A: Inhabitant>(&mut self, id: impl Id) -> A {
        A::streams(self).get_mut(&id.uuid()).map_or_else(A::default, |stream| stream.state.clone())
    }

    /// Every aggregate of a kind, as it stands.
    pub fn states<A: Inhabitant>(&mut self) -> Vec<A> {
        A::streams(self).values().map(|stream| stream.state.clone()).collect()
    }

    /// From now on, other settings.
    pub fn set_policy(&mut self, change: impl Fn(&mut Policy)) {
        change(Arc::make_mut(&mut self.policy));
    }

    /// A command id that nobody has used.
    pub fn fresh_command(&mut self) -> CommandId {
        self.commands += 1;
        CommandId::from_cause(&[b"a client's", &self.commands.to_be_bytes()], Uuid::nil())
    }

    /// A client's command.
    pub fn ask<A: Inhabitant>(
        &mut self,
        id: A::Id,
        command: &A::Command,
        actor: Actor,
    ) -> Result<Vec<A::Event>, &'static str> {
        let command_id = self.fresh_command();
        self.execute::<A>(id, command, command_id, actor)
    }

    /// Any command: a known id is answered as it was, everything else is decided.
    pub fn execute<A: Inhabitant>(
        &mut self,
        id: A::Id,
        command: &A::Command,
        command_id: CommandId,
        actor: Actor,
    ) -> Result<Vec<A::Event>, &'static str> {
        let (now, policy) = (self.now, Arc::clone(&self.policy));
        let empty = || Stream { state: A::default(), known: BTreeMap::new() };
        let stream = A::streams(self).entry(id.uuid()).or_insert_with(empty);
        if let Some(events) = stream.known.get(&command_id) {
            return Ok(events.clone());
        }
        let context = Context { now, actor, command_id, own: id.uuid(), policy };
        let events = stream.state.decide(command, &context).map_err(|rejection| rejection.code())?;
        events.iter().for_each(|event| stream.state.evolve(event));
        if !events.is_empty() {
            stream.known.insert(command_id, events.clone());
        }
        for event in &events {
            let number = self.log.len() as u64;
            let event_id = EventId::from_uuid(Uuid::from_u128(u128::from(number) + 1));
            self.log.push(RecordedEvent { id: event_id, ..recorded::<A::Event>(id, event.clone()) });
        }
        Ok(events)
    }

    /// Tells the managers of the event at `index`, as often as one likes.
    pub fn react(&mut self, index: usize) {
        let Some(event) = self.log.get(index).cloned() else { return };
        self.tell::<Registration>(&event);
        self.tell::<Hire>(&event);
        self.tell::<Funding>(&event);
        self.tell::<Release>(&event);
        self.tell::<PayoutRun>(&event);
    }

    fn tell<M: ProcessManager + Inhabitant>(&mut self, event: &RecordedEvent) {
        let Some((id, command)) = M::react(event) else { return };
        let command_id = CommandId::from_event(M::CATEGORY.name(), event.id);
        let actor = Actor::Process { stream: StreamId::new(M::CATEGORY, id) };
        let told = self.execute::<M>(id, &command, command_id, actor);
        assert!(told.is_ok(), "a manager takes every fact");
    }

    /// Every step that any manager ever asked for.
    pub fn requested_steps(&self) -> Vec<(StreamId, u32)> {
        let requested = |event: &RecordedEvent| match event.payload.step_change() {
            Some(StepChange::Requested(number)) => Some((event.stream, number)),
            Some(StepChange::Settled(_)) | None => None,
        };
        self.log.iter().filter_map(requested).collect()
    }

    /// Every timer that was ever started, with its time.
    pub fn timers(&self) -> Vec<(StreamId, String, Timestamp)> {
        let started = |event: &RecordedEvent| {
            let stream = event.stream;
            event.payload.timer_changes().into_iter().filter_map(move |change| match change {
                TimerChange::Start { timer, due_at } => Some((stream, timer, due_at)),
                TimerChange::Stop { .. } => None,
            })
        };
        self.log.iter().flat_map(started).collect()
    }

    /// Carries out step `number` of the manager at `stream`, or the first that has to come before it, if it is open;
    /// the outcome may get lost on its way back.
    pub fn dispatch(&mut self, (stream, number): (StreamId, u32), outcome_is_lost: bool) -> bool {
        match stream.category {
            Category::Hire => self.carry_out::<Hire>(stream, number, outcome_is_lost),
            Category::Funding => self.carry_out::<Funding>(stream, number, outcome_is_lost),
            Category::Release => self.carry_out::<Release>(stream, number, outcome_is_lost),
            Category::PayoutRun => self.carry_out::<PayoutRun>(stream, number, outcome_is_lost),
            Category::Receipt => self.carry_out::<Receipt>(stream, number, outcome_is_lost),
            _ => self.carry_out::<Registration>(stream, number, outcome_is_lost),
        }
    }

    /// The step waits for its outcome.
    pub fn is_open(&mut self, stream: StreamId, number: u32) -> bool {
        fn asks<M: ProcessManager + Inhabitant>(world: &mut World, stream: StreamId, number: u32) -> bool {
            let id = M::Id::from_uuid(stream.uuid);
            world.load::<M>(id).open_step(id, number).is_some()
        }
        match stream.category {
            Category::Hire => asks::<Hire>(self, stream, number),
            Category::Funding => asks::<Funding>(self, stream, number),
            Category::Release => asks::<Release>(self, stream, number),
            Category::PayoutRun => asks::<PayoutRun>(self, stream, number),
            Category::Receipt => asks::<Receipt>(self, stream, number),
            _ => asks::<Registration>(self, stream, number),
        }
    }

    fn carry_out<M: ProcessManager + Inhabitant>(
        &mut self,
        stream: StreamId,
        number: u32,
        outcome_is_lost: bool,
    ) -> bool {
        let id = M::Id::from_uuid(stream.uuid);
        let manager = self.load::<M>(id);
        if manager.open_step(id, number).is_none() {
            return false;
        }
        let number = manager.step_before(number).unwrap_or(number);
        let step = manager.open_step(id, number).expect("what comes before is open");
        let command_id = CommandId::from_step(M::CATEGORY.name(), stream.uuid, number);
        let actor = Actor::Process { stream };
        let answer = match step {
            StepCommand::Account(to, command) => {
                self.execute::<Account>(to, &command, command_id, actor.clone()).map(drop)
            }
            StepCommand::Login(to, command) => {
                self.execute::<Login>(to, &command, command_id, actor.clone()).map(drop)
            }
            StepCommand::Job(to, command) => {
                self.execute::<Job>(to, &command, command_id, actor.clone()).map(drop)
            }
            StepCommand::Contract(to, command) => {
                self.execute::<Contract>(to, &command, command_id, actor.clone()).map(drop)
            }
            StepCommand::Payment(to, command) => {
                self.execute::<Payment>(to, &command, command_id, actor.clone()).map(drop)
            }
            StepCommand::Escrow(to, command) => {
                self.execute::<Escrow>(to, &command, command_id, actor.clone()).map(drop)
            }
            StepCommand::Wallet(to, command) => {
                self.execute::<Wallet>(to, &command, command_id, actor.clone()).map(drop)
            }
            StepCommand::Payout(to, command) => {
                self.execute::<Payout>(to, &command, command_id, actor.clone()).map(drop)
            }
        };
        if !outcome_is_lost {
            let outcome = match answer {
                Ok(()) => StepOutcome::Done,
                Err(code) => StepOutcome::Refused { code: code.to_owned() },
            };
            let command_id = CommandId::from_cause(
                &[b"settled", stream.uuid.as_bytes(), &number.to_be_bytes()],
                stream.uuid,
            );
            let told = self.execute::<M>(id, &M::settle(number, outcome), command_id, actor);
            assert!(told.is_ok(), "a manager takes every fact");
        }
        true
    }

    /// Fires a timer of a manager that is due or not, runs or not.
    pub fn fire(&mut self, stream: StreamId, timer: &str) {
        match stream.category {
            Category::Hire => self.fire_managers::<Hire>(stream, timer),
            Category::Funding => self.fire_managers::<Funding>(stream, timer),
            Category::Release => self.fire_managers::<Release>(stream, timer),
            Category::PayoutRun => self.fire_managers::<PayoutRun>(stream, timer),
            Category::Registration => self.fire_managers::<Registration>(stream, timer),
            _ => {}
        }
    }

    fn fire_managers<M: ProcessManager + Inhabitant>(&mut self, stream: StreamId, timer: &str) {
        let command_id = self.fresh_command();
        if let Some(command) = M::fire(timer) {
            let fired = self.execute::<M>(M::Id::from_uuid(stream.uuid), &command, command_id, Actor::System);
            assert!(fired.is_ok(), "a manager takes every fact");
        }
    }

    /// Tells all that was not told (everything, from `told` on), carries out all steps and fires the timers that are
    /// due, until nothing happens any more.
    pub fn settle(&mut self, told: &mut usize) {
        loop {
            let before = self.log.len();
            while *told < self.log.len() {
                self.react(*told);
                *told += 1;
            }
            for step in self.requested_steps() {
                while self.dispatch(step, false) {}
            }
            for (stream, timer, due_at) in self.timers() {
                if due_at <= self.now {
                    self.fire(stream, &timer);
                }
            }
            if self.log.len() == before {
                return;
            }
        }
    }

    /// The events of one vocabulary on one stream, in order.
    pub fn history<E: DomainEvent>(&self, id: impl Id) -> Vec<E> {
        let stream = StreamId::new(E::CATEGORY, id);
        let on_stream = self.log.iter().filter(|event| event.stream == stream);
        on_stream.filter_map(|event| E::from_event(event.payload.clone())).collect()
    }
}
