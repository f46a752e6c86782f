//! Registering races with giving up: whatever is late, lost or repeated, no account is left without its address, and
//! no address without its account.

use std::collections::BTreeSet;

use commands::{
    Actor,
    account::Account,
    login::{Login, LoginCommand},
    process::Origin,
    registration::{Registration, first_step, instance_of},
};
use events::{
    ids::{AccountId, LoginId},
    vocabulary::StepOutcome,
    vocabulary::identity::{
        AccountEvent, EmailReserved, LoginEvent, RegistrationEvent, RegistrationResult, RegistrationStep,
        Role,
    },
};
use proptest::{collection::vec, prelude::*};

use super::{
    fixtures::*,
    machine::{explore, survey},
    world::World,
};

#[derive(Clone, Debug)]
enum Move {
    /// A newcomer reserves one of two addresses.
    Reserve {
        login: u128,
    },
    /// The gateway registers the account of some reservation, perhaps long after.
    Register {
        reservation: usize,
    },
    /// Some event is told, perhaps again.
    Tell {
        event: usize,
    },
    /// Some manager's next step is carried out.
    Dispatch {
        step: usize,
        outcome_is_lost: bool,
    },
    /// Some timer fires, perhaps early, perhaps again.
    Fire {
        timer: usize,
    },
    Wait {
        millis: i64,
    },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let some = 0..100_usize;
    let one = prop_oneof![
        2 => (1..3_u128).prop_map(|login| Move::Reserve { login }),
        3 => some.clone().prop_map(|reservation| Move::Register { reservation }),
        6 => some.clone().prop_map(|event| Move::Tell { event }),
        6 => (some.clone(), any::<bool>())
            .prop_map(|(step, outcome_is_lost)| Move::Dispatch { step, outcome_is_lost }),
        2 => some.prop_map(|timer| Move::Fire { timer }),
        2 => prop_oneof![0..MINUTE_MS, Just(11 * MINUTE_MS)].prop_map(|millis| Move::Wait { millis }),
    ];
    vec(one, 0..60)
}

/// The world, with every reservation there was.
struct Town {
    world: World,
    reservations: Vec<(LoginId, EmailReserved)>,
}

fn pick<T: Clone>(of: &[T], index: usize) -> Option<T> {
    (!of.is_empty()).then(|| of[index % of.len()].clone())
}

impl Town {
    fn reserve(&mut self, login: u128) {
        let account: AccountId = self.world.fresh_command().derive(0);
        let reserve = LoginCommand::Reserve {
            account,
            email: sealed(account, "e-mail"),
            display_name: sealed(account, "name"),
            password_hash: sealed(account, "password"),
            roles: [Role::Client].into(),
        };
        let login = id::<LoginId>(login);
        let actor = Actor::Account { id: account, roles: [].into() };
        for event in self.world.ask::<Login>(login, &reserve, actor).into_iter().flatten() {
            if let LoginEvent::EmailReserved(reserved) = event {
                self.reservations.push((login, reserved));
            }
        }
    }

    fn register(&mut self, login: LoginId, reserved: &EmailReserved) {
        let origin = Origin { correlation_id: "r".to_owned(), causation_id: None, traceparent: None };
        let request = first_step(login, reserved, origin);
        // Accepted, repeated, or too late: the gateway tells its client, and that is all.
        let _ = self.world.execute::<Account>(
            request.id,
            &request.command,
            request.command_id,
            request.actor.clone(),
        );
    }

    fn make(&mut self, one: Move) {
        match one {
            Move::Reserve { login } => self.reserve(login),
            Move::Register { reservation } => {
                if let Some((login, reserved)) = pick(&self.reservations, reservation) {
                    self.register(login, &reserved);
                }
            }
            Move::Tell { event } if !self.world.log.is_empty() => {
                self.world.react(event % self.world.log.len());
            }
            Move::Tell { .. } => {}
            Move::Dispatch { step, outcome_is_lost } => {
                if let Some(step) = pick(&self.world.requested_steps(), step) {
                    self.world.dispatch(step, outcome_is_lost);
                }
            }
            Move::Fire { timer } => {
                if let Some((stream, timer, _)) = pick(&self.world.timers(), timer) {
                    self.world.fire(stream, &timer);
                }
            }
            Move::Wait { millis } => self.world.now = self.world.now.plus_millis(millis),
        }
    }

    /// What holds at every moment: a released address never had an account.
    fn check_always(&mut self) -> Result<(), TestCaseError> {
        for (login, reserved) in self.reservations.clone() {
            let registered = self.world.load::<Account>(reserved.account).is_registered();
            let released = self.world.history::<LoginEvent>(login).iter().any(|event| {
                matches!(event, LoginEvent::EmailReleased(released) if released.account == reserved.account)
            });
            prop_assert!(!(registered && released), "an account without its address");
        }
        Ok(())
    }

    /// What holds when all has been told and done.
    fn check_in_the_end(&mut self) -> Result<(), TestCaseError> {
        for (login, reserved) in self.reservations.clone() {
            let instance = instance_of(login, reserved.account);
            let result = self.world.load::<Registration>(instance).result();
            let registered = self.world.load::<Account>(reserved.account).is_registered();
            let holder = self.world.load::<Login>(login);
            let holds = holder.account() == Some(reserved.account);
            prop_assert!(!holds || holder.is_claimed(), "no address is held for nothing");
            prop_assert_eq!(holds, registered);
            let expected =
                if registered { RegistrationResult::Registered } else { RegistrationResult::Abandoned };
            prop_assert_eq!(result, Some(expected), "every registration ends");
            self.check_steps(&self.world.history::<RegistrationEvent>(instance))?;
            let account = self.world.history::<AccountEvent>(reserved.account);
            prop_assert_eq!(account.len(), 1, "registered or given up, never both");
        }
        Ok(())
    }

    fn check_steps(&self, history: &[RegistrationEvent]) -> Result<(), TestCaseError> {
        let mut asked = Vec::new();
        let mut open = 0_i32;
        for event in history {
            match event {
                RegistrationEvent::RegistrationStepRequested(requested) => {
                    prop_assert!(!asked.contains(&requested.step), "no step is asked for twice");
                    asked.push(requested.step);
                    open += 1;
                }
                RegistrationEvent::RegistrationStepSettled(_) => open -= 1,
                RegistrationEvent::RegistrationStarted(_)
                | RegistrationEvent::RegistrationTimerStarted(_)
                | RegistrationEvent::RegistrationTimerStopped(_)
                | RegistrationEvent::RegistrationEnded(_) => {}
            }
        }
        prop_assert_eq!(open, 0, "no step is left open");
        prop_assert!(matches!(history.last(), Some(RegistrationEvent::RegistrationEnded(_))));
        Ok(())
    }
}

/// Everything that registrations did, with what became of it.
fn run(moves: Vec<Move>) -> Result<BTreeSet<String>, TestCaseError> {
    let mut town = Town { world: World::new(), reservations: Vec::new() };
    for one in moves {
        town.make(one);
        town.check_always()?;
    }
    town.world.settle(&mut 0);
    town.check_in_the_end()?;
    let instances = town.reservations.iter().map(|(login, reserved)| instance_of(*login, reserved.account));
    let histories = instances.map(|instance| town.world.history::<RegistrationEvent>(instance));
    Ok(histories.map(|history| format!("{:?}", deeds(&history))).collect())
}

/// The steps of a registration, done or not.
fn deeds(history: &[RegistrationEvent]) -> Vec<(RegistrationStep, bool)> {
    let mut deeds = Vec::new();
    for event in history {
        match event {
            RegistrationEvent::RegistrationStepRequested(requested) => deeds.push((requested.step, false)),
            RegistrationEvent::RegistrationStepSettled(settled) => {
                deeds[settled.number as usize - 1].1 = settled.outcome == StepOutcome::Done;
            }
            RegistrationEvent::RegistrationStarted(_)
            | RegistrationEvent::RegistrationTimerStarted(_)
            | RegistrationEvent::RegistrationTimerStopped(_)
            | RegistrationEvent::RegistrationEnded(_) => {}
        }
    }
    deeds
}

#[test]
fn whatever_is_late_lost_or_repeated_every_registration_ends_well() {
    explore(500, &moves(), |moves| run(moves).map(drop));
}

#[test]
fn every_course_of_a_registration_is_reached() {
    use RegistrationStep::{AbandonAccount, ClaimEmail, RegisterAccount, ReleaseEmail};
    let courses = [
        vec![(RegisterAccount, true), (ClaimEmail, true)],
        vec![(RegisterAccount, true), (AbandonAccount, false), (ClaimEmail, true)],
        vec![(RegisterAccount, false), (AbandonAccount, true), (ReleaseEmail, true)],
    ];
    let expected = courses.iter().map(|course| format!("{course:?}")).collect();
    assert_eq!(survey(500, &moves(), run), expected);
}

#[test]
fn a_gateway_that_comes_too_late_finds_the_account_given_up() {
    let mut town = Town { world: World::new(), reservations: Vec::new() };
    town.reserve(1);
    town.world.react(0);
    town.world.now = noon_plus(11 * MINUTE_MS);
    let (stream, timer, _) = town.world.timers().remove(0);
    town.world.fire(stream, &timer);
    town.world.dispatch((stream, 2), false);
    let (login, reserved) = town.reservations[0].clone();
    town.register(login, &reserved);
    assert!(!town.world.load::<Account>(reserved.account).is_registered());
    town.world.settle(&mut 0);
    assert!(town.check_in_the_end().is_ok());
    assert_eq!(town.world.load::<Login>(login).account(), None);
}
