//! Histories of a whole marketplace, drawn by seed: jobs with competing bids, contracts to every end, sessions, managers,
//! and the money of it all ([`crate::treasury`]).

use events::{
    Category, RecordedEvent, StreamId,
    ids::{AccountId, BidId, ContractId, HireId, JobId, SessionId},
    vocabulary::{
        StepOutcome,
        identity::{
            SessionEnd, SessionEvent, SessionRevoked, SessionRotated, SessionStarted, TokenReuseDetected,
        },
        jobs::{
            BidRejected, BidRejection, BidRevised, BidWithdrawn, ChangesRequested, ContractCancelled,
            ContractCompleted, ContractDeclined, ContractExpired, ContractProposed, ContractSigned,
            DisputeOutcome, FundingRequested, HireEvent, HireStep, HireStepRequested, HireStepSettled,
            HireTimerStarted, HireTimerStopped, JobClosed, JobClosure, JobEdited, JobExpired, JobReopened,
            JobStarted, MilestoneApproved, MilestoneDisputeSettled, MilestoneDisputed, MilestoneFunded,
            MilestoneRefunded, MilestoneReleased, ReopenReason, WorkSubmitted,
        },
    },
};

use crate::{
    story::{Story, bid_terms, contract_terms, ghs, id, sealed, terms},
    treasury::Treasury,
};

/// Draws, the same for the same seed (SplitMix64).
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) % bound as u64) as usize
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

/// The history of `jobs` jobs and what hangs on them.
pub(crate) fn marketplace(seed: u64, jobs: u128) -> Vec<RecordedEvent> {
    let mut world =
        World { story: Story::default(), draw: Draw(seed), fresh: 1000, treasury: Treasury::default() };
    for number in 1..=jobs {
        world.job(id(number));
        if number % 2 == 0 {
            world.session();
            let owner = world.account();
            world.treasury.methods(&mut world.story, &mut world.draw, owner);
            world.treasury.reconcile(&mut world.story, &mut world.draw);
        }
    }
    world.story.events
}

/// `events` in another order, in which each stream keeps its own.
pub(crate) fn interleaved(events: &[RecordedEvent], seed: u64) -> Vec<RecordedEvent> {
    let mut draw = Draw(seed);
    let mut streams: Vec<(StreamId, Vec<RecordedEvent>)> = Vec::new();
    for event in events.iter().rev() {
        match streams.iter_mut().find(|(stream, _)| *stream == event.stream) {
            Some((_, rest)) => rest.push(event.clone()),
            None => streams.push((event.stream, vec![event.clone()])),
        }
    }
    let mut all = Vec::with_capacity(events.len());
    while !streams.is_empty() {
        let place = draw.below(streams.len());
        // Sometimes a whole run of one stream, so that some are far ahead of others.
        for _ in 0..=draw.below(6) {
            all.extend(streams[place].1.pop());
        }
        if streams[place].1.is_empty() {
            streams.swap_remove(place);
        }
    }
    all
}

struct World {
    story: Story,
    draw: Draw,
    fresh: u128,
    treasury: Treasury,
}

impl World {
    fn fresh(&mut self) -> u128 {
        self.fresh += 1;
        self.fresh
    }

    fn account(&mut self) -> AccountId {
        id(100 + self.draw.below(6) as u128)
    }

    fn job(&mut self, job: JobId) {
        let client = id(50 + self.draw.below(3) as u128);
        let title = ["Build a house", "Paint the Fence", "Write Rust code"][self.draw.below(3)];
        let low = 100 * (1 + self.draw.below(50) as i64);
        self.story.draft(job, client, title, (low, low * 2));
        if self.draw.one_in(3) {
            self.story.job(job, JobEdited { terms: terms("Edited", (low, low * 3)) });
        }
        if self.draw.one_in(8) {
            self.story.job(job, JobClosed { closure: JobClosure::Cancelled });
            return;
        }
        self.story.publish(job);
        for round in 0..3 {
            let open = self.bids(job);
            if open.is_empty() || self.draw.one_in(5) {
                self.close(job, &open);
                return;
            }
            if !self.award(job, client, &open) {
                return;
            }
            if round == 2 {
                self.story.job(job, JobExpired {});
            }
        }
    }

    fn bids(&mut self, job: JobId) -> Vec<(BidId, AccountId)> {
        let mut open = Vec::new();
        for _ in 0..self.draw.below(5) {
            let (bid, worker) = (id::<BidId>(self.fresh()), self.account());
            let minor = 100 + self.draw.below(900) as i64;
            self.story.bid(job, bid, worker, minor);
            if self.draw.one_in(3) {
                self.story.job(job, BidRevised { bid, terms: bid_terms(worker, minor - 10) });
            }
            match self.draw.below(5) {
                0 => drop(self.story.job(job, BidWithdrawn { bid })),
                1 => drop(self.story.job(job, BidRejected { bid, reason: BidRejection::ByClient })),
                _ => open.push((bid, worker)),
            }
        }
        open
    }

    fn close(&mut self, job: JobId, open: &[(BidId, AccountId)]) {
        for (bid, _) in open {
            self.story.job(job, BidRejected { bid: *bid, reason: BidRejection::JobClosed });
        }
        if self.draw.one_in(2) {
            self.story.job(job, JobExpired {});
        } else {
            self.story.job(job, JobClosed { closure: JobClosure::Cancelled });
        }
    }

    /// Whether the job was reopened.
    fn award(&mut self, job: JobId, client: AccountId, open: &[(BidId, AccountId)]) -> bool {
        let (bid, worker) = open[self.draw.below(open.len())];
        let number = self.fresh();
        let (contract, hire) =
            (id::<ContractId>(number), StreamId::new(Category::Hire, id::<HireId>(number)));
        let terms = contract_terms(job, bid, client, worker, 500);
        self.story.accept(contract, terms.clone());
        for (other, _) in open.iter().filter(|(other, _)| *other != bid) {
            self.story.job(job, BidRejected { bid: *other, reason: BidRejection::AnotherAccepted });
        }
        let due_at = self.story.now().plus_millis(60_000);
        let requested = HireStepRequested { number: 1, step: HireStep::ProposeContract };
        self.hire(hire, HireEvent::from(requested));
        self.hire(hire, HireEvent::from(HireTimerStarted { timer: "proposal".into(), due_at }));
        self.story.contract(contract, ContractProposed { terms, expires_at: due_at });
        self.hire(hire, HireEvent::from(HireStepSettled { number: 1, outcome: StepOutcome::Done }));
        let reopened = self.contract(contract, job, client, worker);
        if self.draw.one_in(2) {
            self.hire(hire, HireEvent::from(HireTimerStopped { timer: "proposal".into() }));
            let requested = HireStepRequested { number: 2, step: HireStep::StartJob };
            self.hire(hire, HireEvent::from(requested));
        }
        if let Some(reason) = reopened {
            let expires_at = self.story.now().plus_millis(1_000_000);
            self.story.job(job, JobReopened { contract, reason, expires_at });
        }
        reopened.is_some()
    }

    fn hire(&mut self, stream: StreamId, event: HireEvent) {
        self.story.say(stream, event);
    }

    /// Why the job is reopened, when the contract comes to nothing.
    fn contract(
        &mut self,
        contract: ContractId,
        job: JobId,
        client: AccountId,
        worker: AccountId,
    ) -> Option<ReopenReason> {
        let by = if self.draw.one_in(2) { client } else { worker };
        if self.draw.one_in(6) {
            self.story.contract(contract, ContractDeclined { by });
            return Some(ReopenReason::ProposalDeclined);
        }
        self.story.contract(contract, ContractSigned { by: client, fully: false });
        if self.draw.one_in(6) {
            self.story.contract(contract, ContractExpired {});
            return Some(ReopenReason::ProposalExpired);
        }
        self.story.contract(contract, ContractSigned { by: worker, fully: true });
        if self.draw.one_in(4) {
            self.story.contract(contract, ContractCancelled { by: Some(by) });
            self.treasury.expire(&mut self.story, (contract, 1), (client, worker));
            return Some(ReopenReason::ContractCancelled);
        }
        for milestone in 1..=2 {
            self.milestone(contract, milestone, client, worker);
            if milestone == 1 {
                self.story.job(job, JobStarted { contract });
            }
        }
        self.story.contract(contract, ContractCompleted {});
        self.story.job(job, JobClosed { closure: JobClosure::Completed });
        None
    }

    fn milestone(&mut self, contract: ContractId, milestone: u32, client: AccountId, worker: AccountId) {
        self.story.contract(contract, FundingRequested { milestone, amount: ghs(250), order: None });
        let (work, parties) = ((contract, milestone), (client, worker));
        let kept = self.treasury.fund(&mut self.story, &mut self.draw, work, parties, ghs(250));
        self.story.contract(contract, MilestoneFunded { milestone });
        let review_until = self.story.now().plus_millis(60_000);
        let work = WorkSubmitted { milestone, note: sealed(worker, "done"), review_until };
        self.story.contract(contract, work.clone());
        if self.draw.one_in(3) {
            self.story.contract(contract, ChangesRequested { milestone, note: sealed(client, "more") });
            self.story.contract(contract, work);
        }
        if self.draw.one_in(3) {
            self.story.contract(contract, MilestoneDisputed { milestone });
            let outcome = [DisputeOutcome::Released, DisputeOutcome::Refunded, DisputeOutcome::Split];
            let outcome = outcome[self.draw.below(3)];
            self.story.contract(contract, MilestoneDisputeSettled { milestone, outcome });
        } else if self.draw.one_in(5) {
            self.story.contract(contract, MilestoneRefunded { milestone });
            self.treasury.refund(&mut self.story, &mut self.draw, kept);
        } else {
            self.story.contract(contract, MilestoneApproved { milestone, by: Some(client) });
            self.treasury.release(&mut self.story, &mut self.draw, kept);
            self.story.contract(contract, MilestoneReleased { milestone });
        }
    }

    fn session(&mut self) {
        let session = id::<SessionId>(self.fresh());
        let (stream, account) = (StreamId::new(Category::Session, session), self.account());
        let started = SessionStarted {
            account,
            device: sealed(account, "telephone"),
            refresh_hash: "00".into(),
            expires_at: self.story.now().plus_millis(1_000_000),
        };
        self.story.say(stream, SessionEvent::from(started));
        let grace_until = self.story.now().plus_millis(10_000);
        self.story.say(stream, SessionEvent::from(SessionRotated { refresh_hash: "11".into(), grace_until }));
        if self.draw.one_in(2) {
            self.story.say(stream, SessionEvent::from(TokenReuseDetected {}));
            self.story.say(stream, SessionEvent::from(SessionRevoked { reason: SessionEnd::TokenReuse }));
        }
    }
}
