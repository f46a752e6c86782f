//! The money side of a drawn marketplace: payments that fail, succeed and come late, escrows, wallets, payouts, receipts.

use std::collections::HashMap;

use events::{
    Category, Id, Money, StreamId,
    ids::{
        AccountId, ContractId, EscrowId, HoldId, PaymentId, PaymentMethodId, PayoutDestinationId, PayoutId,
        ReceiptId, ReconciliationId, TransferId, WalletId,
    },
    vocabulary::{
        StepOutcome,
        payments::{
            CreditSource, EscrowEvent, EscrowExpired, EscrowFunded, EscrowOpened, EscrowRefunded,
            EscrowReleased, FundsHeld, HoldDeclined, HoldReason, HoldReleased, Notice, PaymentActionRequired,
            PaymentAttemptFailed, PaymentAttemptStarted, PaymentAuthorized, PaymentCancelled,
            PaymentConfirmed, PaymentConfirmedLate, PaymentCreated, PaymentEvent, PaymentExpired,
            PaymentMethodAdded, PaymentMethodEvent, PaymentMethodRemoved, PaymentRefundRequested,
            PaymentRefunded, PaymentTransferReturned, PayoutApproved, PayoutCancelled,
            PayoutDestinationAdded, PayoutDestinationEvent, PayoutDestinationRemoved, PayoutDispatched,
            PayoutEvent, PayoutFailed, PayoutPaid, PayoutRejected, PayoutRequested, PayoutRequeued,
            PayoutReversed, PayoutReviewRequested, ReceiptEvent, ReceiptRecorded, ReceiptSettled,
            ReconciliationCompleted, ReconciliationEvent, ReconciliationRequested, RefundReason,
            WalletCredited, WalletDebited, WalletEvent,
        },
    },
};

use crate::{
    generator::Draw,
    story::{Story, at, ghs, id, sealed},
};

/// Draws what becomes of money.
pub(crate) struct Treasury {
    fresh: u128,
    /// What each account can spend, minor units.
    available: HashMap<AccountId, i64>,
}

impl Default for Treasury {
    fn default() -> Self {
        Self { fresh: 1_000_000, available: HashMap::new() }
    }
}

/// One funded milestone.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    escrow: EscrowId,
    payment: PaymentId,
    worker: AccountId,
    amount: Money,
}

impl Story {
    pub(crate) fn payment(&mut self, payment: PaymentId, event: impl Into<PaymentEvent>) {
        self.say(StreamId::new(Category::Payment, payment), event.into());
    }
    pub(crate) fn escrow(&mut self, escrow: EscrowId, event: impl Into<EscrowEvent>) {
        self.say(StreamId::new(Category::Escrow, escrow), event.into());
    }
    pub(crate) fn wallet(&mut self, account: AccountId, event: impl Into<WalletEvent>) {
        let wallet = WalletId::of(account, ghs(0).currency());
        self.say(StreamId::new(Category::Wallet, wallet), event.into());
    }
    pub(crate) fn payout(&mut self, payout: PayoutId, event: impl Into<PayoutEvent>) {
        self.say(StreamId::new(Category::Payout, payout), event.into());
    }
    pub(crate) fn receipt(&mut self, number: u128, notice: Notice) {
        let (provider, event) = ("sandbox".to_owned(), format!("evt_{number}"));
        let stream = StreamId::new(Category::Receipt, ReceiptId::of(&provider, &event));
        self.say(stream, ReceiptEvent::from(ReceiptRecorded { provider, event, notice, body: None }));
        if number.is_multiple_of(2) {
            let settled = ReceiptSettled { outcome: StepOutcome::Done };
            self.say(stream, ReceiptEvent::from(settled));
        }
    }
    pub(crate) fn open_escrow(
        &mut self,
        (contract, milestone): (ContractId, u32),
        (client, worker): (AccountId, AccountId),
        amount: Money,
    ) -> EscrowId {
        let escrow = EscrowId::of(contract, milestone);
        let fee_basis_points = 1000;
        let opened = EscrowOpened { contract, milestone, client, worker, amount, fee_basis_points };
        self.escrow(escrow, opened);
        escrow
    }
    /// Work is paid: what leaves escrow is `amount`, a tenth of it the fee.
    pub(crate) fn pay_work(
        &mut self,
        escrow: EscrowId,
        worker: AccountId,
        amount: Money,
        transfer: TransferId,
    ) {
        let (fee, net) = amount.split_share(1000).unwrap();
        self.escrow(escrow, EscrowReleased { amount, fee, net, transfer, worker });
        let source = CreditSource::Escrow { escrow };
        self.wallet(worker, WalletCredited { account: worker, transfer, amount: net, source });
        let (hold, until) = (HoldId::from_uuid(transfer.uuid()), self.now().plus_millis(10_000));
        let reason = HoldReason::Earned { escrow, until };
        self.wallet(worker, FundsHeld { hold, amount: net, reason });
    }
}

impl Treasury {
    fn fresh<I: Id>(&mut self) -> I {
        self.fresh += 1;
        id(self.fresh)
    }

    /// A milestone is paid for.
    pub(crate) fn fund(
        &mut self,
        story: &mut Story,
        draw: &mut Draw,
        work: (ContractId, u32),
        (client, worker): (AccountId, AccountId),
        amount: Money,
    ) -> Kept {
        let escrow = story.open_escrow(work, (client, worker), amount);
        if draw.one_in(3) {
            self.payment_that_comes_to_nothing(story, draw, work, client, amount);
        }
        let (payment, transfer) = (self.create(story, work, client, amount), self.fresh());
        let method: PaymentMethodId = id(0x41);
        if draw.one_in(3) {
            story.payment(payment, PaymentAttemptStarted { attempt: 1, method, token: "tok_1".into() });
            story.payment(payment, PaymentAttemptFailed { attempt: 1, code: "card_declined".into() });
        } else {
            story.payment(payment, PaymentAttemptStarted { attempt: 1, method, token: "tok_1".into() });
            story.payment(payment, PaymentActionRequired { attempt: 1 });
            story.payment(payment, PaymentAttemptFailed { attempt: 1, code: "gone".into() });
        }
        story.payment(payment, PaymentAttemptStarted { attempt: 2, method, token: "tok_2".into() });
        story.payment(payment, PaymentAuthorized { attempt: 2 });
        let reference = format!("ch_{}", self.fresh);
        story.receipt(
            self.fresh,
            Notice::PaymentConfirmed { payment, attempt: 2, reference: reference.clone(), amount },
        );
        story.payment(payment, PaymentConfirmed { attempt: 2, reference, amount, transfer });
        if draw.one_in(3) {
            let reference = format!("ch_{}_again", self.fresh);
            story.payment(payment, PaymentConfirmedLate { attempt: 1, reference, amount });
            self.give_back(story, draw, payment, 1, amount, RefundReason::Repeated);
        }
        story.escrow(escrow, EscrowFunded { payment, transfer, amount });
        Kept { escrow, payment, worker, amount }
    }

    fn create(
        &mut self,
        story: &mut Story,
        (contract, milestone): (ContractId, u32),
        payer: AccountId,
        amount: Money,
    ) -> PaymentId {
        let (payment, expires_at) = (self.fresh(), story.now().plus_millis(60_000));
        story.payment(payment, PaymentCreated { payer, amount, contract, milestone, expires_at });
        payment
    }

    fn payment_that_comes_to_nothing(
        &mut self,
        story: &mut Story,
        draw: &mut Draw,
        work: (ContractId, u32),
        client: AccountId,
        amount: Money,
    ) {
        let payment = self.create(story, work, client, amount);
        let method = self.fresh();
        story.payment(payment, PaymentAttemptStarted { attempt: 1, method, token: "tok".into() });
        if draw.one_in(2) {
            story.payment(payment, PaymentCancelled { by: Some(client) });
        } else {
            story.payment(payment, PaymentExpired {});
            let reference = format!("ch_{}", self.fresh);
            story.payment(payment, PaymentConfirmedLate { attempt: 1, reference, amount });
            self.give_back(story, draw, payment, 1, amount, RefundReason::Late);
        }
    }

    fn give_back(
        &mut self,
        story: &mut Story,
        draw: &mut Draw,
        payment: PaymentId,
        attempt: u32,
        amount: Money,
        reason: RefundReason,
    ) {
        let refund = if reason == RefundReason::Returned { 2 } else { 1 };
        story.payment(payment, PaymentRefundRequested { refund, attempt, amount, reason });
        if draw.one_in(2) {
            story.receipt(self.fresh, Notice::RefundPaid { payment, refund });
            story.payment(payment, PaymentRefunded { refund, amount });
        }
    }

    /// The milestone's money goes to the worker, who takes some of it out.
    pub(crate) fn release(&mut self, story: &mut Story, draw: &mut Draw, kept: Kept) {
        let transfer: TransferId = self.fresh();
        story.pay_work(kept.escrow, kept.worker, kept.amount, transfer);
        if draw.one_in(5) {
            return;
        }
        let net = kept.amount.minor() - kept.amount.split_share(1000).unwrap().0.minor();
        story
            .wallet(kept.worker, HoldReleased { hold: HoldId::from_uuid(transfer.uuid()), amount: ghs(net) });
        *self.available.entry(kept.worker).or_default() += net;
        self.pay_out(story, draw, kept.worker);
    }

    /// The milestone's money goes back to the client.
    pub(crate) fn refund(&mut self, story: &mut Story, draw: &mut Draw, kept: Kept) {
        let (transfer, payment, amount) = (self.fresh(), kept.payment, kept.amount);
        story.escrow(kept.escrow, EscrowRefunded { amount, transfer, payment });
        if draw.one_in(4) {
            return;
        }
        story.payment(payment, PaymentTransferReturned { transfer, amount });
        self.give_back(story, draw, payment, 2, amount, RefundReason::Returned);
    }

    /// The milestone's money is not coming.
    pub(crate) fn expire(
        &mut self,
        story: &mut Story,
        work: (ContractId, u32),
        parties: (AccountId, AccountId),
    ) {
        let escrow = story.open_escrow(work, parties, ghs(250));
        story.escrow(escrow, EscrowExpired {});
    }

    fn pay_out(&mut self, story: &mut Story, draw: &mut Draw, account: AccountId) {
        let minor = 1 + draw.below(200) as i64;
        let (payout, amount): (PayoutId, _) = (self.fresh(), ghs(minor));
        let (destination, token) = (id::<PayoutDestinationId>(0x51), "ba_1".to_owned());
        story.payout(payout, PayoutRequested { account, amount, destination, token });
        let (hold, reason) = (HoldId::from_uuid(payout.uuid()), HoldReason::Payout { payout });
        if self.available[&account] < minor {
            story.wallet(account, HoldDeclined { hold, amount, reason });
            story.payout(payout, PayoutCancelled { by: None });
            return;
        }
        *self.available.entry(account).or_default() -= minor;
        story.wallet(account, FundsHeld { hold, amount, reason });
        let dispatch_at = story.now().plus_millis(60_000);
        if draw.one_in(3) {
            story.payout(payout, PayoutReviewRequested {});
            if draw.one_in(3) {
                return;
            }
            if draw.one_in(2) {
                story.payout(payout, PayoutRejected { by: id(9) });
                self.take_back(story, account, hold, minor);
                return;
            }
        }
        story.payout(payout, PayoutApproved { by: None, dispatch_at });
        story.payout(payout, PayoutDispatched { attempt: 1 });
        if draw.one_in(3) {
            story.payout(payout, PayoutFailed { attempt: 1, code: "bank_away".into() });
            if draw.one_in(2) {
                story.payout(payout, PayoutCancelled { by: None });
                self.take_back(story, account, hold, minor);
                return;
            }
            story.payout(payout, PayoutRequeued { dispatch_at });
            story.payout(payout, PayoutDispatched { attempt: 2 });
        }
        self.paid(story, draw, payout, account, hold, amount);
    }

    fn paid(
        &mut self,
        story: &mut Story,
        draw: &mut Draw,
        payout: PayoutId,
        account: AccountId,
        hold: HoldId,
        amount: Money,
    ) {
        let (owed, back): (TransferId, TransferId) = (self.fresh(), self.fresh());
        let reference = format!("po_{}", self.fresh);
        story.payout(payout, PayoutPaid { attempt: 1, reference, amount, transfer: owed });
        if draw.one_in(4) {
            return;
        }
        story.wallet(account, WalletDebited { hold, transfer: owed, amount });
        if draw.one_in(3) {
            let code = "account_closed".to_owned();
            story.payout(payout, PayoutReversed { attempt: 1, code, amount, transfer: back });
            let source = CreditSource::Payout { payout };
            story.wallet(account, WalletCredited { account, transfer: back, amount, source });
            *self.available.entry(account).or_default() += amount.minor();
        }
    }

    fn take_back(&mut self, story: &mut Story, account: AccountId, hold: HoldId, minor: i64) {
        story.wallet(account, HoldReleased { hold, amount: ghs(minor) });
        *self.available.entry(account).or_default() += minor;
    }

    /// All books are compared.
    pub(crate) fn reconcile(&mut self, story: &mut Story, draw: &mut Draw) {
        let stream = StreamId::new(Category::Reconciliation, self.fresh::<ReconciliationId>());
        let by = draw.one_in(2).then(|| id(9));
        story.say(stream, ReconciliationEvent::from(ReconciliationRequested { by }));
        if draw.one_in(4) {
            return;
        }
        let completed = ReconciliationCompleted {
            provider: "sandbox".to_owned(),
            books_from: at(0),
            books_until: story.now(),
            books_next: story.now(),
            currencies: Vec::new(),
            differences: Vec::new(),
            differences_total: draw.below(2) as u64,
            in_transit: Vec::new(),
            in_transit_total: 0,
        };
        story.say(stream, ReconciliationEvent::from(completed));
    }

    /// Somebody adds what they pay with and where they are paid, and thinks better of it now and then.
    pub(crate) fn methods(&mut self, story: &mut Story, draw: &mut Draw, owner: AccountId) {
        let method = StreamId::new(Category::PaymentMethod, self.fresh::<PaymentMethodId>());
        let (token, label) = (format!("tok_{}", self.fresh), sealed(owner, "visa 4242"));
        story.say(method, PaymentMethodEvent::from(PaymentMethodAdded { owner, token, label }));
        let destination = StreamId::new(Category::PayoutDestination, self.fresh::<PayoutDestinationId>());
        let (token, label) = (format!("ba_{}", self.fresh), sealed(owner, "bank 6789"));
        let added = PayoutDestinationAdded { owner, token, currency: ghs(0).currency(), label };
        story.say(destination, PayoutDestinationEvent::from(added));
        if draw.one_in(3) {
            story.say(method, PaymentMethodEvent::from(PaymentMethodRemoved {}));
            story.say(destination, PayoutDestinationEvent::from(PayoutDestinationRemoved {}));
        }
    }
}
