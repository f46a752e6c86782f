//! A hire among impatient people and a slow machine: whatever is late, lost or repeated, it ends, asks for nothing
//! twice, and leaves the job where the contract says.

use std::collections::BTreeSet;

use commands::{
    Actor,
    contract::{Contract, ContractCommand, ContractStatus},
    hire::{Hire, instance_of},
    job::{Job, JobCommand, JobStatus},
};
use events::{
    Id,
    ids::{AccountId, ContractId, HireId},
    vocabulary::jobs::{ContractEvent, DisputeOutcome, HireEvent, HireResult, HireStep, JobEvent},
};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    fixtures::*,
    machine::{explore, survey},
    world::World,
};

#[derive(Clone, Debug)]
enum Move {
    Bid {
        worker: AccountId,
    },
    /// The client accepts some bid that is active.
    Accept {
        bid: usize,
    },
    /// Somebody does something about the contract.
    Contract {
        command: ContractCommand,
        actor: Actor,
    },
    /// The next event is told; `again` some earlier one.
    Tell {
        again: Option<usize>,
    },
    /// Some event is told out of turn.
    TellOutOfTurn {
        event: usize,
    },
    Dispatch {
        step: usize,
        outcome_is_lost: bool,
    },
    Fire {
        timer: usize,
    },
    Wait {
        millis: i64,
    },
}

fn contract_moves() -> impl Strategy<Value = Move> {
    let note = sealed(kofi(), "a note");
    let milestone = 1..3_u32;
    let by_parties = (
        prop_oneof![
            8 => Just(ContractCommand::Sign),
            1 => Just(ContractCommand::Decline),
            1 => Just(ContractCommand::Cancel),
        ],
        select(vec![client(ama()), worker(kofi()), worker(yaw())]),
    );
    let by_worker = (milestone.clone(), select(vec![worker(kofi()), worker(yaw())])).prop_map(
        move |(milestone, actor)| (ContractCommand::SubmitWork { milestone, note: note.clone() }, actor),
    );
    let by_client =
        milestone.clone().prop_map(|milestone| (ContractCommand::Approve { milestone }, client(ama())));
    let by_machine = (milestone, 0..4_u8).prop_map(|(milestone, kind)| {
        let command = match kind {
            0 | 1 => ContractCommand::ConfirmFunding { milestone },
            2 => ContractCommand::Release { milestone },
            _ => ContractCommand::Refund { milestone },
        };
        (command, process())
    });
    prop_oneof![6 => by_parties, 2 => by_worker, 2 => by_client, 5 => by_machine]
        .prop_map(|(command, actor)| Move::Contract { command, actor })
}

fn moves(out_of_turn: bool) -> impl Strategy<Value = Vec<Move>> {
    let some = 0..100_usize;
    let tell = if out_of_turn {
        some.clone().prop_map(|event| Move::TellOutOfTurn { event }).boxed()
    } else {
        proptest::option::weighted(0.2, some.clone()).prop_map(|again| Move::Tell { again }).boxed()
    };
    let one = prop_oneof![
        2 => select(vec![kofi(), yaw()]).prop_map(|worker| Move::Bid { worker }),
        2 => some.clone().prop_map(|bid| Move::Accept { bid }),
        8 => contract_moves(),
        8 => tell,
        8 => (some.clone(), any::<bool>())
            .prop_map(|(step, outcome_is_lost)| Move::Dispatch { step, outcome_is_lost }),
        1 => some.prop_map(|timer| Move::Fire { timer }),
        1 => prop_oneof![0..DAY_MS, Just(8 * DAY_MS)].prop_map(|millis| Move::Wait { millis }),
    ];
    vec(one, 0..120)
}

/// The world, with one job in it.
struct Village {
    world: World,
    told: usize,
}

impl Village {
    /// A published job with a bid.
    fn new() -> Self {
        let mut world = World::new();
        for command in [JobCommand::Create { terms: job_terms() }, JobCommand::Publish] {
            world.ask::<Job>(the_job(), &command, client(ama())).expect("accepted");
        }
        let mut village = Self { world, told: 0 };
        village.bid(kofi());
        village
    }

    fn bid(&mut self, by: AccountId) {
        let submit = JobCommand::SubmitBid { terms: bid_terms() };
        let _ = self.world.ask::<Job>(the_job(), &submit, worker(by));
    }

    /// The contracts there are, the newest last.
    fn contracts(&self) -> Vec<ContractId> {
        let accepted = |event| match event {
            JobEvent::BidAccepted(accepted) => Some(accepted.contract),
            _ => None,
        };
        self.world.history::<JobEvent>(the_job()).into_iter().filter_map(accepted).collect()
    }

    fn make(&mut self, one: Move) {
        match one {
            Move::Bid { worker } => self.bid(worker),
            Move::Accept { bid } => {
                let job = self.world.load::<Job>(the_job());
                let bids: Vec<_> = job.bids().filter(|(_, bid)| bid.is_active()).map(|(id, _)| id).collect();
                if let Some(bid) = bids.get(bid % bids.len().max(1)) {
                    let accept = JobCommand::AcceptBid { bid: *bid };
                    let _ = self.world.ask::<Job>(the_job(), &accept, client(ama()));
                }
            }
            Move::Contract { command, actor } => {
                if let Some(contract) = self.contracts().last() {
                    let _ = self.world.ask::<Contract>(*contract, &command, actor);
                }
            }
            Move::Tell { again: Some(earlier) } => self.world.react(earlier % self.told.max(1)),
            Move::Tell { again: None } => {
                if self.told < self.world.log.len() {
                    self.world.react(self.told);
                    self.told += 1;
                }
            }
            Move::TellOutOfTurn { event } => self.world.react(event % self.world.log.len()),
            Move::Dispatch { step, outcome_is_lost } => {
                let steps = self.world.requested_steps();
                if let Some(step) = steps.get(step % steps.len().max(1)) {
                    self.world.dispatch(*step, outcome_is_lost);
                }
            }
            Move::Fire { timer } => {
                let timers = self.world.timers();
                if let Some((stream, timer, _)) = timers.get(timer % timers.len().max(1)) {
                    self.world.fire(*stream, timer);
                }
            }
            Move::Wait { millis } => self.world.now = self.world.now.plus_millis(millis),
        }
    }

    /// Everything is told and done, and time enough passes for every proposal; who has signed finishes the contract.
    fn finish(&mut self) {
        self.world.settle(&mut self.told);
        self.world.now = self.world.now.plus_millis(8 * DAY_MS);
        self.world.settle(&mut self.told);
        for contract in self.contracts() {
            for milestone in 1..=2 {
                self.finish_milestone(contract, milestone);
            }
            let _ = self.world.ask::<Contract>(contract, &ContractCommand::Cancel, client(ama()));
        }
        self.world.settle(&mut self.told);
    }

    fn finish_milestone(&mut self, contract: ContractId, milestone: u32) {
        let outcome = DisputeOutcome::Split;
        let ways_out = [
            ContractCommand::Release { milestone },
            ContractCommand::Refund { milestone },
            ContractCommand::Dispute { milestone },
            ContractCommand::SettleDispute { milestone, outcome },
        ];
        for command in ways_out {
            let _ = self.world.ask::<Contract>(contract, &command, process());
        }
    }

    /// Every hire has ended, and asked for nothing twice.
    fn check_hires(&mut self) -> Result<(), TestCaseError> {
        for contract in self.contracts() {
            let instance = instance_of(contract);
            let history = self.world.history::<HireEvent>(instance);
            prop_assert!(matches!(history.last(), Some(HireEvent::HireEnded(_))), "every hire ends");
            prop_assert!(self.world.load::<Hire>(instance).result().is_some());
            check_steps(&history)?;
        }
        let awarded = self.world.load::<Job>(the_job()).status() == Some(JobStatus::Awarded);
        prop_assert!(!awarded, "no job waits for a contract that has ended");
        Ok(())
    }

    /// The job is where its last contract says.
    fn check_job(&mut self) -> Result<(), TestCaseError> {
        for contract in self.contracts() {
            let status = self.world.load::<Contract>(contract).status();
            let funded = self
                .world
                .history::<ContractEvent>(contract)
                .iter()
                .any(|event| matches!(event, ContractEvent::MilestoneFunded(_)));
            let expected = match status {
                Some(ContractStatus::Completed) => HireResult::Completed,
                Some(ContractStatus::Cancelled) if funded => HireResult::Cancelled,
                Some(ContractStatus::Cancelled | ContractStatus::Declined | ContractStatus::Expired) => {
                    HireResult::Reopened
                }
                Some(
                    ContractStatus::Proposed
                    | ContractStatus::Signed
                    | ContractStatus::Active
                    | ContractStatus::Disputed,
                )
                | None => return Err(TestCaseError::fail("the contract has not ended")),
            };
            let instance: HireId = Id::from_uuid(contract.uuid());
            prop_assert_eq!(self.world.load::<Hire>(instance).result(), Some(expected));
            if Some(&contract) == self.contracts().last() {
                let job = match expected {
                    HireResult::Completed => JobStatus::Completed,
                    HireResult::Cancelled => JobStatus::Cancelled,
                    HireResult::Reopened => JobStatus::Published,
                };
                prop_assert_eq!(self.world.load::<Job>(the_job()).status(), Some(job));
            }
        }
        Ok(())
    }
}

fn check_steps(history: &[HireEvent]) -> Result<(), TestCaseError> {
    let (mut asked, mut open, mut ends) = (Vec::new(), 0_i32, 0);
    for event in history {
        match event {
            HireEvent::HireStepRequested(requested) => {
                prop_assert!(!asked.contains(&requested.step), "no step is asked for twice");
                asked.push(requested.step);
                open += 1;
            }
            HireEvent::HireStepSettled(_) => open -= 1,
            HireEvent::HireEnded(_) => ends += 1,
            HireEvent::HireStarted(_) | HireEvent::HireTimerStarted(_) | HireEvent::HireTimerStopped(_) => {}
        }
    }
    let last_steps = asked.iter().filter(|step| match step {
        HireStep::ReopenJob { .. } | HireStep::CloseJob { .. } => true,
        HireStep::RejectOtherBids
        | HireStep::ProposeContract
        | HireStep::ExpireContract
        | HireStep::StartJob
        | HireStep::OpenEscrow { .. }
        | HireStep::ExpireEscrow { .. } => false,
    });
    prop_assert_eq!(
        (open, ends, last_steps.count()),
        (0, 1, 1),
        "no step is left open, and there is one end"
    );
    Ok(())
}

fn run(moves: Vec<Move>) -> Result<Village, TestCaseError> {
    let mut village = Village::new();
    moves.into_iter().for_each(|one| village.make(one));
    village.finish();
    village.check_hires()?;
    Ok(village)
}

/// The last steps of all hires there were.
fn endings(moves: Vec<Move>) -> Result<BTreeSet<String>, TestCaseError> {
    let village = run(moves)?;
    let hires = village.contracts().into_iter().map(instance_of);
    let last_steps = hires.flat_map(|hire| village.world.history::<HireEvent>(hire)).filter_map(|event| {
        if let HireEvent::HireStepRequested(requested) = event {
            Some(format!("{:?}", requested.step))
        } else {
            None
        }
    });
    Ok(last_steps.collect())
}

#[test]
fn every_step_of_a_hire_is_reached() {
    let expected = [
        "RejectOtherBids",
        "ProposeContract",
        "ExpireContract",
        "OpenEscrow { milestone: 1 }",
        "OpenEscrow { milestone: 2 }",
        "StartJob",
        "ExpireEscrow { milestone: 1 }",
        "ExpireEscrow { milestone: 2 }",
        "ReopenJob { reason: ProposalExpired }",
        "ReopenJob { reason: ProposalDeclined }",
        "ReopenJob { reason: ContractCancelled }",
        "CloseJob { closure: Completed }",
        "CloseJob { closure: Cancelled }",
    ];
    assert_eq!(survey(400, &moves(false), endings), expected.map(str::to_owned).into());
}

#[test]
fn told_in_order_every_hire_ends_and_the_job_is_where_the_contract_says() {
    explore(400, &moves(false), |moves| run(moves)?.check_job());
}

#[test]
fn told_in_any_order_every_hire_ends_and_asks_for_nothing_twice() {
    explore(400, &moves(true), |moves| run(moves).map(drop));
}
