//! The same money three times over: what the aggregates have, folded from the log by their own rules; what the ledger says; and
//! what stands in the provider's books.
//!
//! Nothing here is shared with the reconciliation of the product: this is the proof, and that is what is to be proved.

use std::{collections::BTreeMap, path::Path};

use commands::{
    Aggregate,
    escrow::Escrow,
    payment::{AttemptState, Payment, RefundState},
    payout::{Payout, PayoutStatus},
    wallet::Wallet,
};
use events::{
    Category, Event, Id, Money, RecordedEvent, Service, StreamId, Timestamp,
    ids::{PaymentId, PayoutId},
    log::{EventLog, LogOptions, ReadLimit},
    stream::BEFORE_FIRST,
};
use projections::{
    PageRequest, ReadStore, StoreOptions,
    money::{
        journal::LedgerAccount,
        ledger::{self, Ledger, Standing},
        transfers::{self, TransferStatus},
        trial_balance::{CurrencyTrial, trial_balance},
    },
};
use workers::payments::{Movement, PaymentProvider, sandbox::SandboxProvider};

/// What is kept, by account, minor units; an account that has nothing is not there.
type Kept = BTreeMap<LedgerAccount, i128>;

/// All three, at rest.
pub(crate) struct Books {
    pub(crate) aggregates: Aggregates,
    ledger: Entered,
    provider: Outside,
}

/// Everything that has or had money, as its events make it.
#[derive(Default)]
pub(crate) struct Aggregates {
    pub(crate) escrows: BTreeMap<StreamId, Escrow>,
    pub(crate) wallets: BTreeMap<StreamId, Wallet>,
    pub(crate) payments: BTreeMap<StreamId, Payment>,
    pub(crate) payouts: BTreeMap<StreamId, Payout>,
}

/// What the ledger says: in all, of each stream, and what it believes to be on its way.
struct Entered {
    trial: CurrencyTrial,
    holdings: BTreeMap<StreamId, Kept>,
    open_transfers: usize,
}

/// What the provider says: in all, and what it keeps of each payment and payout, by our name of it.
struct Outside {
    balance: i128,
    under_way: i128,
    net: BTreeMap<String, i128>,
}

impl Books {
    /// Reads them all. The process whose folder it is has ended.
    pub(crate) async fn read(folder: &Path, provider: &SandboxProvider) -> Self {
        let log = events::open(&LogOptions { read_only: true, ..LogOptions::embedded(folder) }).unwrap();
        let store = StoreOptions::at(format!("embedded:{}", folder.display()));
        let store = projections::open(&store).unwrap();
        workers::prepare_live(store.as_ref(), &Ledger).await.unwrap();
        Self {
            aggregates: Aggregates::fold(log.as_ref()),
            ledger: Entered::read(store.as_ref()).await,
            provider: Outside::read(provider).await,
        }
    }

    /// The balance of an account, as the ledger has it, minor units.
    pub(crate) fn entered(&self, account: LedgerAccount) -> i128 {
        self.ledger.trial.balance(account).minor().into()
    }

    /// Everything that is not the same in all three, and everything that is on its way, in words.
    pub(crate) fn differences(&self) -> Vec<String> {
        let mut told = Vec::new();
        let mut compare = |what: &str, one: i128, other: i128| {
            if one != other {
                told.push(format!("{what}: {one} is not {other}"));
            }
        };
        let kept = self.aggregates.kept();
        let streams: std::collections::BTreeSet<_> = kept.keys().chain(self.ledger.holdings.keys()).collect();
        for stream in streams {
            let (has, said) = (kept.get(stream), self.ledger.holdings.get(stream));
            for account in LedgerAccount::ALL {
                let of = |kept: Option<&Kept>| kept.and_then(|kept| kept.get(account)).copied().unwrap_or(0);
                compare(&format!("{account:?} of {stream}, aggregate and ledger"), of(has), of(said));
            }
        }
        let sums = self.aggregates.sums();
        for account in LedgerAccount::ALL {
            let has = sums.get(account).copied().unwrap_or(0);
            compare(&format!("{account:?}, aggregates and ledger"), has, self.entered(*account));
        }
        let at_provider = self.aggregates.at_provider();
        for name in at_provider.keys().chain(self.provider.net.keys()) {
            let of = |books: &BTreeMap<String, i128>| books.get(name).copied().unwrap_or(0);
            compare(&format!("{name}, aggregate and provider"), of(&at_provider), of(&self.provider.net));
        }
        let clearing = sums.get(&LedgerAccount::Clearing).copied().unwrap_or(0);
        compare(
            "all that the aggregates sent and got, and the provider has",
            clearing,
            self.provider.balance,
        );
        compare("on its way at the provider, and nothing", self.provider.under_way, 0);
        compare("open transfers, and none", self.ledger.open_transfers as i128, 0);
        compare("debits less credits, and nothing", self.ledger.trial.difference.minor().into(), 0);
        told
    }
}

impl Aggregates {
    fn fold(log: &dyn EventLog) -> Self {
        let mut folded = Self::default();
        let payments = |partition: &events::Partition| partition.service == Service::Payments;
        for partition in log.partitions().into_iter().filter(payments) {
            let mut after = BEFORE_FIRST;
            loop {
                let commits =
                    log.read(partition, after, ReadLimit { commits: 1000, bytes: 1 << 20 }).unwrap();
                let Some(last) = commits.last() else { break };
                after = last.position.offset;
                for event in commits.iter().flat_map(|commit| commit.events().unwrap()) {
                    folded.evolve(&event.unwrap());
                }
            }
        }
        folded
    }

    fn evolve(&mut self, event: &RecordedEvent) {
        let stream = event.stream;
        match &event.payload {
            Event::Escrow(event) => self.escrows.entry(stream).or_default().evolve(event),
            Event::Wallet(event) => self.wallets.entry(stream).or_default().evolve(event),
            Event::Payment(event) => self.payments.entry(stream).or_default().evolve(event),
            Event::Payout(event) => self.payouts.entry(stream).or_default().evolve(event),
            _ => {}
        }
    }

    /// How many there are of each kind: whoever compares nothing finds no difference.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        BTreeMap::from([
            (Category::Escrow.name(), self.escrows.len()),
            (Category::Wallet.name(), self.wallets.len()),
            (Category::Payment.name(), self.payments.len()),
            (Category::Payout.name(), self.payouts.len()),
        ])
    }

    /// What each of them has.
    fn kept(&self) -> BTreeMap<StreamId, Kept> {
        let escrows = self
            .escrows
            .iter()
            .map(|(stream, escrow)| (*stream, Kept::from([(LedgerAccount::Escrow, minor(escrow.held()))])));
        let payments = self.payments.iter().map(|(stream, payment)| {
            (*stream, Kept::from([(LedgerAccount::Payable, minor(payment.payable()))]))
        });
        let wallets = self.wallets.iter().map(|(stream, wallet)| {
            let (available, held) = (minor(wallet.available()), minor(wallet.held()));
            (*stream, Kept::from([(LedgerAccount::Wallets, available), (LedgerAccount::Holds, held)]))
        });
        escrows.chain(payments).chain(wallets).collect()
    }

    /// What all have together, with what follows from it: our fees are what released escrows did not pass on, clearing is what
    /// went through the provider, and what is in clearing and nowhere else is in transit.
    fn sums(&self) -> Kept {
        let mut sums = Kept::new();
        for (account, minor) in self.kept().into_values().flatten() {
            *sums.entry(account).or_default() += minor;
        }
        let fees = self.escrows.values().map(|escrow| {
            let (released, opened) = (escrow.released().unwrap(), escrow.opened().unwrap());
            i128::from(released.split_share(opened.fee_basis_points).unwrap().0.minor())
        });
        sums.insert(LedgerAccount::Fees, fees.sum());
        let owed: i128 = sums.values().sum();
        let clearing: i128 = self.at_provider().values().sum();
        sums.insert(LedgerAccount::Clearing, clearing);
        sums.insert(LedgerAccount::InTransit, clearing - owed);
        sums
    }

    /// What the provider must have of each payment, and have sent for each payout.
    fn at_provider(&self) -> BTreeMap<String, i128> {
        let of_payment = |(stream, payment): (&StreamId, &Payment)| {
            let price = minor(payment.created().map(|created| created.amount));
            let came = payment.attempts().filter(|attempt| attempt.state == AttemptState::Confirmed).count();
            let back = payment.refunds().filter(|refund| refund.state == RefundState::Paid);
            let back: i128 = back.map(|refund| i128::from(refund.amount.minor())).sum();
            (PaymentId::from_uuid(stream.uuid).to_string(), came as i128 * price - back)
        };
        let of_payout = |(stream, payout): (&StreamId, &Payout)| {
            let amount = minor(payout.requested().map(|requested| requested.amount));
            let paid = payout.status() == Some(PayoutStatus::Paid);
            (PayoutId::from_uuid(stream.uuid).to_string(), if paid { -amount } else { 0 })
        };
        self.payments.iter().map(of_payment).chain(self.payouts.iter().map(of_payout)).collect()
    }
}

fn minor(amount: Option<Money>) -> i128 {
    amount.map_or(0, |amount| amount.minor().into())
}

impl Entered {
    async fn read(store: &dyn ReadStore) -> Self {
        let open = transfers::list(store, TransferStatus::Open, PageRequest::first(100)).await.unwrap();
        let mut holdings = BTreeMap::new();
        for standing in [Standing::Open, Standing::Settled] {
            let mut page = Some(PageRequest::first(100));
            while let Some(request) = page.take() {
                let found = ledger::holdings(store, standing, None, request).await.unwrap();
                page = found.next.map(|after| PageRequest { after: Some(after), limit: 100 });
                for holding in found.items {
                    let kept = holding.minor.into_iter().map(|(account, minor)| (account, minor.into()));
                    holdings.insert(holding.stream, kept.collect());
                }
            }
        }
        let trial = trial_balance(store, None).await.unwrap().remove(0);
        Self { trial, holdings, open_transfers: open.items.len() }
    }
}

impl Outside {
    async fn read(provider: &SandboxProvider) -> Self {
        let balances = provider.balances().await.unwrap();
        let (balance, under_way) = balances.currencies.iter().fold((0, 0), |(balance, under_way), in_one| {
            let sent = in_one.refunds_under_way_minor + in_one.payouts_under_way_minor;
            (balance + in_one.available_minor, under_way + sent)
        });
        // Its clock may have been moved, ours is not: everything there is, is read.
        let until = Timestamp::now().plus_millis(1000 * 24 * 3_600_000);
        let (mut net, mut after) = (BTreeMap::new(), None);
        loop {
            let page = provider.books(Timestamp::from_micros(0), until, after.as_deref()).await.unwrap();
            for entry in page.entries {
                let amount = i128::from(entry.amount.minor());
                let change = match entry.movement {
                    Movement::ChargeSucceeded
                    | Movement::RefundFailed
                    | Movement::PayoutFailed
                    | Movement::PayoutReturned => amount,
                    Movement::RefundCreated | Movement::PayoutCreated => -amount,
                    Movement::RefundSucceeded | Movement::PayoutPaid => 0,
                };
                let ours = entry.reference.split(':').next().unwrap().to_owned();
                *net.entry(ours).or_default() += change;
            }
            after = page.next;
            if after.is_none() {
                return Self { balance, under_way, net };
            }
        }
    }
}
