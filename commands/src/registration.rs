//! The process manager of a registration: a reserved e-mail address becomes an account, or is free again.
//!
//! Two streams are involved, the reservation (`login`) and the account, and no event can be on both. What must never
//! happen: an account whose address was given back, or an address held for ever by an account that will never be.
//!
//! The account's stream settles the race. *Register* and *Abandon* exclude each other there: whichever comes first,
//! the other one is refused for good. So the manager releases the address only after Abandon was accepted, and claims
//! it only when the account is known to be registered (Register accepted, or Abandon refused). The timer decides
//! nothing by itself: it only makes the manager ask for Abandon. A gateway that registers at the very moment in which
//! the timer fires is either in time, and then the address is claimed, or is refused, and then it is released.
//!
//! The gateway issues the first step itself ([`first_step`]), with the command id the manager would use, so that the
//! client has its account at once; the manager's own attempt is then a repetition that is answered the same.

#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeSet;

use events::{
    Category, Event, Id, Personal, RecordedEvent, StreamId, Timestamp,
    ids::{AccountId, CommandId, LoginId, RegistrationId},
    vocabulary::{
        StepOutcome,
        identity::{
            AccountEvent, AccountRegistered, EmailReserved, LoginEvent, RegistrationEnded, RegistrationEvent,
            RegistrationResult, RegistrationStarted, RegistrationStep, RegistrationStepRequested,
            RegistrationStepSettled, RegistrationTimerStarted, RegistrationTimerStopped, Role,
        },
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    account::{Account, AccountCommand},
    aggregate::{Aggregate, Context},
    executor::Request,
    login::LoginCommand,
    process::{Draft, Origin, ProcessManager, ProcessRejection, StepCommand, StepState, Steps, step_request},
};

/// The timer after which a registration that is not done is given up.
pub const ABANDONED_TIMER: &str = "abandoned";

/// The number of the step that registers the account.
const REGISTER_STEP: u32 = 1;

/// One attempt to register an account, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    run: Option<Run>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Run {
    started: RegistrationStarted,
    steps: Steps<RegistrationStep>,
    /// When the timer is due, while it runs.
    abandoned_at: Option<Timestamp>,
    result: Option<RegistrationResult>,
}

impl Registration {
    /// How it ended; `None` while it goes on.
    pub fn result(&self) -> Option<RegistrationResult> {
        self.run.as_ref().and_then(|run| run.result)
    }
}

/// What a registration is told.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationCommand {
    /// An e-mail address was reserved.
    Start {
        /// The reservation.
        login: LoginId,
        /// The account to be.
        account: AccountId,
        /// The e-mail address, as typed.
        email: Personal<String>,
        /// The name shown to others.
        display_name: Personal<String>,
        /// Argon2id, in PHC string format.
        password_hash: Personal<String>,
        /// What the account may do from the start.
        roles: BTreeSet<Role>,
    },
    /// The account was registered.
    NoteRegistered,
    /// A step was done or refused.
    SettleStep {
        /// Its number.
        number: u32,
        /// What became of it.
        outcome: StepOutcome,
    },
    /// The timer is due.
    FireTimer {
        /// Its name.
        timer: String,
    },
}

/// The registration of `account` for the address `login`.
pub fn instance_of(login: LoginId, account: AccountId) -> RegistrationId {
    let (login, account) = (login.uuid(), account.uuid());
    let parts: [&[u8]; 3] = [b"registration", login.as_bytes(), account.as_bytes()];
    RegistrationId::from_uuid(CommandId::from_cause(&parts, account).uuid())
}

/// The request that registers the account for which `login` was reserved: the very step that the manager will ask
/// for, so whoever comes second repeats it. `reserved` is the event as written, since its sealed values are not the
/// same when they are sealed again.
pub fn first_step(login: LoginId, reserved: &EmailReserved, origin: Origin) -> Request<Account> {
    let instance = StreamId::new(Category::Registration, instance_of(login, reserved.account));
    let command = AccountCommand::Register {
        login,
        email: reserved.email.clone(),
        display_name: reserved.display_name.clone(),
        password_hash: reserved.password_hash.clone(),
        roles: reserved.roles.clone(),
    };
    step_request(instance, REGISTER_STEP, reserved.account, command, origin)
}

impl Aggregate for Registration {
    const CATEGORY: Category = Category::Registration;
    const FOLD_VERSION: u16 = 1;
    type Id = RegistrationId;
    type Command = RegistrationCommand;
    type Event = RegistrationEvent;
    type Rejection = ProcessRejection;

    fn decide(
        &self,
        command: &RegistrationCommand,
        context: &Context,
    ) -> Result<Vec<RegistrationEvent>, ProcessRejection> {
        if !context.actor.is_internal() {
            return Err(ProcessRejection::InternalOnly);
        }
        let mut draft = Draft::on(self);
        match command {
            RegistrationCommand::Start { login, account, email, display_name, password_hash, roles } => {
                draft.start(
                    RegistrationStarted {
                        login: *login,
                        account: *account,
                        email: email.clone(),
                        display_name: display_name.clone(),
                        password_hash: password_hash.clone(),
                        roles: roles.clone(),
                    },
                    context,
                );
            }
            RegistrationCommand::NoteRegistered => draft.conclude(RegistrationStep::ClaimEmail),
            RegistrationCommand::SettleStep { number, outcome } => draft.settle(*number, outcome),
            RegistrationCommand::FireTimer { timer } => draft.fire(timer, context),
        }
        Ok(draft.finish())
    }

    fn evolve(&mut self, event: &RegistrationEvent) {
        if let RegistrationEvent::RegistrationStarted(started) = event {
            let started = started.clone();
            self.run = Some(Run { started, steps: Steps::default(), abandoned_at: None, result: None });
        } else if let Some(run) = &mut self.run {
            run.evolve(event);
        }
    }
}

impl Run {
    fn evolve(&mut self, event: &RegistrationEvent) {
        match event {
            RegistrationEvent::RegistrationStarted(RegistrationStarted { .. }) => {}
            RegistrationEvent::RegistrationStepRequested(RegistrationStepRequested { number, step }) => {
                self.steps.request(*number, *step);
            }
            RegistrationEvent::RegistrationStepSettled(RegistrationStepSettled { number, outcome }) => {
                self.steps.settle(*number, outcome);
            }
            RegistrationEvent::RegistrationTimerStarted(RegistrationTimerStarted { due_at, .. }) => {
                self.abandoned_at = Some(*due_at);
            }
            RegistrationEvent::RegistrationTimerStopped(RegistrationTimerStopped { .. }) => {
                self.abandoned_at = None;
            }
            RegistrationEvent::RegistrationEnded(RegistrationEnded { result }) => {
                self.result = Some(*result);
            }
        }
    }

    /// What the address becomes, once that has been decided.
    fn conclusion(&self) -> Option<(RegistrationStep, StepState)> {
        self.steps.find(|step| match step {
            RegistrationStep::ClaimEmail | RegistrationStep::ReleaseEmail => true,
            RegistrationStep::RegisterAccount | RegistrationStep::AbandonAccount => false,
        })
    }

    fn gives_up(&self) -> bool {
        self.steps.find(|step| step == RegistrationStep::AbandonAccount).is_some()
    }
}

impl Draft<Registration> {
    fn run(&self) -> Option<&Run> {
        self.state().run.as_ref()
    }

    fn request(&mut self, step: RegistrationStep) {
        if let Some(number) = self.run().map(|run| run.steps.next_number()) {
            self.push(RegistrationStepRequested { number, step });
        }
    }

    fn start(&mut self, started: RegistrationStarted, context: &Context) {
        if self.run().is_some() {
            return;
        }
        self.push(started);
        self.request(RegistrationStep::RegisterAccount);
        let due_at = context.now.plus_millis(context.policy.registration_abandoned_after_ms);
        self.push(RegistrationTimerStarted { timer: ABANDONED_TIMER.to_owned(), due_at });
    }

    fn settle(&mut self, number: u32, outcome: &StepOutcome) {
        let Some(step) = self.run().and_then(|run| run.steps.open(number)) else { return };
        self.push(RegistrationStepSettled { number, outcome: outcome.clone() });
        let done = *outcome == StepOutcome::Done;
        match step {
            RegistrationStep::RegisterAccount if done => self.conclude(RegistrationStep::ClaimEmail),
            RegistrationStep::RegisterAccount => self.give_up(),
            RegistrationStep::AbandonAccount if done => self.conclude(RegistrationStep::ReleaseEmail),
            RegistrationStep::AbandonAccount => self.conclude(RegistrationStep::ClaimEmail),
            RegistrationStep::ClaimEmail | RegistrationStep::ReleaseEmail => {}
        }
        self.end_when_settled();
    }

    fn fire(&mut self, timer: &str, context: &Context) {
        let due_at = self.run().and_then(|run| run.abandoned_at);
        if timer == ABANDONED_TIMER && due_at.is_some_and(|due_at| context.now >= due_at) {
            self.give_up();
        }
    }

    /// Asks the account whether it may be given up; the answer decides.
    fn give_up(&mut self) {
        if self.run().is_some_and(|run| !run.gives_up() && run.conclusion().is_none()) {
            self.stop_timer();
            self.request(RegistrationStep::AbandonAccount);
        }
    }

    /// Claims or releases the address: once, whatever else is heard.
    fn conclude(&mut self, step: RegistrationStep) {
        if self.run().is_some_and(|run| run.conclusion().is_none()) {
            self.stop_timer();
            self.request(step);
        }
    }

    fn stop_timer(&mut self) {
        if self.run().is_some_and(|run| run.abandoned_at.is_some()) {
            self.push(RegistrationTimerStopped { timer: ABANDONED_TIMER.to_owned() });
        }
    }

    fn end_when_settled(&mut self) {
        let Some(run) = self.run() else { return };
        let Some((conclusion, state)) = run.conclusion() else { return };
        if run.result.is_some() || run.steps.first_open().is_some() {
            return;
        }
        let result = if conclusion == RegistrationStep::ClaimEmail && state == StepState::Done {
            RegistrationResult::Registered
        } else {
            RegistrationResult::Abandoned
        };
        self.push(RegistrationEnded { result });
    }
}

impl ProcessManager for Registration {
    fn react(event: &RecordedEvent) -> Option<(RegistrationId, RegistrationCommand)> {
        match &event.payload {
            Event::Login(LoginEvent::EmailReserved(reserved)) => {
                let login = LoginId::from_uuid(event.stream.uuid);
                let command = RegistrationCommand::Start {
                    login,
                    account: reserved.account,
                    email: reserved.email.clone(),
                    display_name: reserved.display_name.clone(),
                    password_hash: reserved.password_hash.clone(),
                    roles: reserved.roles.clone(),
                };
                Some((instance_of(login, reserved.account), command))
            }
            Event::Account(AccountEvent::AccountRegistered(AccountRegistered { login, .. })) => {
                let account = AccountId::from_uuid(event.stream.uuid);
                Some((instance_of(*login, account), RegistrationCommand::NoteRegistered))
            }
            Event::Login(_)
            | Event::Account(_)
            | Event::Session(_)
            | Event::Registration(_)
            | Event::Job(_)
            | Event::Contract(_)
            | Event::Hire(_)
            | Event::Payment(_)
            | Event::Escrow(_)
            | Event::Wallet(_)
            | Event::Payout(_)
            | Event::PaymentMethod(_)
            | Event::PayoutDestination(_)
            | Event::Receipt(_)
            | Event::Funding(_)
            | Event::Release(_)
            | Event::PayoutRun(_)
            | Event::Reconciliation(_)
            | Event::TestClock(_) => None,
        }
    }

    fn open_step(&self, _instance: RegistrationId, number: u32) -> Option<StepCommand> {
        let run = self.run.as_ref()?;
        let RegistrationStarted { login, account, .. } = run.started;
        let command = match run.steps.open(number)? {
            RegistrationStep::RegisterAccount => {
                let RegistrationStarted { email, display_name, password_hash, roles, .. } =
                    run.started.clone();
                let register = AccountCommand::Register { login, email, display_name, password_hash, roles };
                StepCommand::Account(account, register)
            }
            RegistrationStep::AbandonAccount => {
                StepCommand::Account(account, AccountCommand::Abandon { login })
            }
            RegistrationStep::ClaimEmail => StepCommand::Login(login, LoginCommand::Claim { account }),
            RegistrationStep::ReleaseEmail => StepCommand::Login(login, LoginCommand::Release { account }),
        };
        Some(command)
    }

    /// Every step stands for itself: giving up must not wait for a registration that is stuck.
    fn step_before(&self, _number: u32) -> Option<u32> {
        None
    }

    fn settle(number: u32, outcome: StepOutcome) -> RegistrationCommand {
        RegistrationCommand::SettleStep { number, outcome }
    }

    fn fire(timer: &str) -> Option<RegistrationCommand> {
        (timer == ABANDONED_TIMER).then(|| RegistrationCommand::FireTimer { timer: timer.to_owned() })
    }
}
