//! A log full of money: milestones paid for, released and paid out, with the process managers that see to it and what
//! the provider tells. Some 60 events for each, of which the ledger enters 9.

use std::{collections::HashMap, sync::Arc};

use events::{
    Category, CommandStamp, CommitBuilder, DomainEvent, Id, Money, StreamId, Timestamp,
    envelope::{CommandHash, NewCommit},
    ids::{
        AccountId, CommandId, ContractId, EscrowId, FundingId, HoldId, PaymentId, PaymentMethodId,
        PayoutDestinationId, PayoutId, PayoutRunId, ReceiptId, ReleaseId, TransferId, WalletId,
    },
    log::EventLog,
    vocabulary::{
        StepOutcome,
        payments::{
            CreditSource, EscrowEvent, EscrowFunded, EscrowOpened, EscrowReleased, FundingEnded,
            FundingEvent, FundingResult, FundingStarted, FundingStep, FundingStepRequested,
            FundingStepSettled, FundingTimerStarted, FundingTimerStopped, FundsHeld, HoldReason,
            HoldReleased, Notice, PaymentAttemptStarted, PaymentAuthorized, PaymentConfirmed, PaymentCreated,
            PaymentEvent, PayoutApproved, PayoutDispatched, PayoutEvent, PayoutPaid, PayoutRequested,
            PayoutRunEnded, PayoutRunEvent, PayoutRunResult, PayoutRunStarted, PayoutRunStep,
            PayoutRunStepRequested, PayoutRunStepSettled, PayoutRunTimerStarted, PayoutRunTimerStopped,
            ReceiptEvent, ReceiptRecorded, ReceiptSettled, ReleaseEnded, ReleaseEvent, ReleaseStarted,
            ReleaseStep, ReleaseStepRequested, ReleaseStepSettled, ReleaseTimerStarted, ReleaseTimerStopped,
            WalletCredited, WalletDebited, WalletEvent,
        },
    },
};

/// Milestones that are under way at the same time.
const ABREAST: usize = 250;
/// Domain time between two events.
const PACE_MS: i64 = 1000;

/// Writes the history of `milestones` milestones, one event a commit, those of many in turns; how many events there were.
pub(crate) async fn write(log: &Arc<dyn EventLog>, milestones: usize) -> usize {
    let (mut written, began) = (0, Timestamp::now());
    for first in (0..milestones).step_by(ABREAST) {
        let mut lives: Vec<Life> = (first..milestones.min(first + ABREAST)).map(|_| Life::new()).collect();
        while !lives.is_empty() {
            let mut verdicts = Vec::new();
            for life in &mut lives {
                written += 1;
                let now = began.plus_millis(written * PACE_MS);
                verdicts.push(tokio::spawn(log.append(life.next_commit(now))));
            }
            for verdict in verdicts {
                verdict.await.unwrap().unwrap();
            }
            lives.retain(|life| !life.story.is_empty());
        }
    }
    written as usize
}

/// An event that waits for its place in its stream.
type Told = (StreamId, Box<dyn Fn(u64, Timestamp) -> NewCommit + Send>);

struct Life {
    /// What is still to come, the last first.
    story: Vec<Told>,
    versions: HashMap<StreamId, u64>,
}

impl Life {
    fn new() -> Self {
        let mut life = Self { story: Vec::new(), versions: HashMap::new() };
        Milestone::new().tell(&mut life);
        life.story.reverse();
        life
    }

    fn next_commit(&mut self, now: Timestamp) -> NewCommit {
        let (stream, commit) = self.story.pop().unwrap();
        let version = self.versions.entry(stream).or_default();
        *version += 1;
        commit(*version, now)
    }

    fn say<E: DomainEvent>(&mut self, category: Category, id: impl Id, event: impl Into<E>) {
        let (stream, event): (_, E) = (StreamId::new(category, id), event.into());
        let commit = move |version, time| {
            let mut builder = CommitBuilder::new(stream, version);
            let stamp = CommandStamp {
                command_id: CommandId::fresh(),
                command_hash: CommandHash([7; 16]),
                correlation_id: "0190a3c2-1111-7222-8333-444455556666".into(),
                causation_id: None,
                actor: "system".into(),
                traceparent: None,
                time,
            };
            builder.push(&stamp, std::slice::from_ref(&event));
            builder.finish().unwrap()
        };
        self.story.push((stream, Box::new(commit)));
    }

    fn receipt(&mut self, notice: Notice, then: impl FnOnce(&mut Self)) {
        let (provider, event) = ("sandbox".to_owned(), format!("evt_{}", CommandId::fresh()));
        let id = ReceiptId::of(&provider, &event);
        let recorded = ReceiptRecorded { provider, event, notice, body: None };
        self.say::<ReceiptEvent>(Category::Receipt, id, recorded);
        then(self);
        self.say::<ReceiptEvent>(Category::Receipt, id, ReceiptSettled { outcome: StepOutcome::Done });
    }
}

fn ghs(minor: i64) -> Money {
    Money::new(minor, "GHS".parse().unwrap())
}

/// The names of everything about one milestone.
#[derive(Clone, Copy)]
struct Milestone {
    contract: ContractId,
    client: AccountId,
    worker: AccountId,
    escrow: EscrowId,
    payment: PaymentId,
    payout: PayoutId,
    wallet: WalletId,
    amount: Money,
    net: Money,
}

impl Milestone {
    fn new() -> Self {
        let (contract, worker) = (ContractId::fresh(), AccountId::fresh());
        Self {
            contract,
            client: AccountId::fresh(),
            worker,
            escrow: EscrowId::of(contract, 1),
            payment: PaymentId::fresh(),
            payout: PayoutId::fresh(),
            wallet: WalletId::of(worker, ghs(0).currency()),
            amount: ghs(25_000),
            net: ghs(22_500),
        }
    }

    fn tell(self, life: &mut Life) {
        self.fund(life);
        self.release(life);
        self.pay_out(life);
    }

    fn fund(self, life: &mut Life) {
        let Self { contract, client, worker, escrow, payment, amount, .. } = self;
        let (run, milestone, later) =
            (FundingId::from_uuid(payment.uuid()), 1, Timestamp::now().plus_millis(900_000));
        let manager =
            |life: &mut Life, event: FundingEvent| life.say::<FundingEvent>(Category::Funding, run, event);
        let ask = |number, step| FundingEvent::from(FundingStepRequested { number, step });
        let settle = |number| FundingEvent::from(FundingStepSettled { number, outcome: StepOutcome::Done });
        manager(life, FundingStarted { contract, milestone, amount, client, worker }.into());
        manager(life, ask(1, FundingStep::OpenEscrow));
        manager(life, ask(2, FundingStep::CreatePayment));
        let opened = EscrowOpened { contract, milestone, client, worker, amount, fee_basis_points: 1000 };
        life.say::<EscrowEvent>(Category::Escrow, escrow, opened);
        manager(life, settle(1));
        let created = PaymentCreated { payer: client, amount, contract, milestone, expires_at: later };
        self.pay(life, created);
        manager(life, FundingTimerStarted { timer: "payment".into(), due_at: later }.into());
        manager(life, settle(2));
        let started = PaymentAttemptStarted {
            attempt: 1,
            method: PaymentMethodId::fresh(),
            token: "tok_visa_4242".into(),
        };
        self.pay(life, started);
        let authorized = Notice::PaymentAuthorized { payment, attempt: 1 };
        life.receipt(authorized, |life| self.pay(life, PaymentAuthorized { attempt: 1 }));
        let (reference, transfer) = ("ch_0190a3c2".to_owned(), TransferId::fresh());
        let confirmed =
            Notice::PaymentConfirmed { payment, attempt: 1, reference: reference.clone(), amount };
        life.receipt(confirmed, |life| {
            self.pay(life, PaymentConfirmed { attempt: 1, reference, amount, transfer });
        });
        manager(life, FundingTimerStopped { timer: "payment".into() }.into());
        manager(life, ask(3, FundingStep::FundEscrow { transfer }));
        life.say::<EscrowEvent>(Category::Escrow, escrow, EscrowFunded { payment, transfer, amount });
        manager(life, settle(3));
        manager(life, ask(4, FundingStep::ConfirmFunding));
        manager(life, settle(4));
        manager(life, FundingEnded { result: FundingResult::Funded }.into());
    }

    fn pay(self, life: &mut Life, event: impl Into<PaymentEvent>) {
        life.say::<PaymentEvent>(Category::Payment, self.payment, event);
    }

    fn release(self, life: &mut Life) {
        let Self { contract, worker, escrow, amount, net, .. } = self;
        let (run, transfer, until) = (
            ReleaseId::from_uuid(escrow.uuid()),
            TransferId::fresh(),
            Timestamp::now().plus_millis(400_000_000),
        );
        let manager =
            |life: &mut Life, event: ReleaseEvent| life.say::<ReleaseEvent>(Category::Release, run, event);
        let ask = |number, step| ReleaseEvent::from(ReleaseStepRequested { number, step });
        let settle = |number| ReleaseEvent::from(ReleaseStepSettled { number, outcome: StepOutcome::Done });
        manager(life, ReleaseStarted { contract, milestone: 1 }.into());
        for timer in ["review", "hold"] {
            manager(life, ReleaseTimerStarted { timer: timer.into(), due_at: until }.into());
            manager(life, ReleaseTimerStopped { timer: timer.into() }.into());
        }
        manager(life, ask(1, ReleaseStep::ReleaseEscrow));
        let released = EscrowReleased { amount, fee: ghs(2_500), net, transfer, worker };
        life.say::<EscrowEvent>(Category::Escrow, escrow, released);
        manager(life, settle(1));
        manager(life, ask(2, ReleaseStep::CreditWallet { account: worker, transfer, amount: net }));
        let source = CreditSource::Escrow { escrow };
        self.purse(life, WalletCredited { account: worker, transfer, amount: net, source });
        let (hold, reason) = (HoldId::from_uuid(transfer.uuid()), HoldReason::Earned { escrow, until });
        self.purse(life, FundsHeld { hold, amount: net, reason });
        manager(life, settle(2));
        manager(life, ask(3, ReleaseStep::ReleaseMilestone));
        manager(life, settle(3));
        manager(life, ask(4, ReleaseStep::ReleaseHold));
        self.purse(life, HoldReleased { hold, amount: net });
        manager(life, settle(4));
        manager(life, ReleaseEnded {}.into());
    }

    fn purse(self, life: &mut Life, event: impl Into<WalletEvent>) {
        life.say::<WalletEvent>(Category::Wallet, self.wallet, event);
    }

    fn pay_out(self, life: &mut Life) {
        let Self { worker, payout, net, .. } = self;
        let (run, dispatch_at) = (PayoutRunId::from_uuid(payout.uuid()), Timestamp::now());
        let manager = |life: &mut Life, event: PayoutRunEvent| {
            life.say::<PayoutRunEvent>(Category::PayoutRun, run, event);
        };
        let ask = |number, step| PayoutRunEvent::from(PayoutRunStepRequested { number, step });
        let settle =
            |number| PayoutRunEvent::from(PayoutRunStepSettled { number, outcome: StepOutcome::Done });
        let (destination, token) = (PayoutDestinationId::fresh(), "ba_6789".to_owned());
        self.send(life, PayoutRequested { account: worker, amount: net, destination, token });
        manager(life, PayoutRunStarted { account: worker, amount: net }.into());
        manager(life, ask(1, PayoutRunStep::HoldFunds));
        let (hold, reason) = (HoldId::from_uuid(payout.uuid()), HoldReason::Payout { payout });
        self.purse(life, FundsHeld { hold, amount: net, reason });
        manager(life, settle(1));
        manager(life, ask(2, PayoutRunStep::Admit));
        self.send(life, PayoutApproved { by: None, dispatch_at });
        manager(life, settle(2));
        manager(life, PayoutRunTimerStarted { timer: "batch".into(), due_at: dispatch_at }.into());
        manager(life, PayoutRunTimerStopped { timer: "batch".into() }.into());
        manager(life, ask(3, PayoutRunStep::Dispatch { dispatch_at }));
        self.send(life, PayoutDispatched { attempt: 1 });
        manager(life, settle(3));
        let (reference, transfer) = ("po_0190a3c2".to_owned(), TransferId::fresh());
        let paid = Notice::PayoutPaid { payout, attempt: 1, reference: reference.clone() };
        life.receipt(paid, |life| {
            self.send(life, PayoutPaid { attempt: 1, reference, amount: net, transfer });
        });
        manager(life, ask(4, PayoutRunStep::DebitWallet { transfer }));
        self.purse(life, WalletDebited { hold, transfer, amount: net });
        manager(life, settle(4));
        manager(life, PayoutRunEnded { result: PayoutRunResult::Paid }.into());
    }

    fn send(self, life: &mut Life, event: impl Into<PayoutEvent>) {
        life.say::<PayoutEvent>(Category::Payout, self.payout, event);
    }
}
