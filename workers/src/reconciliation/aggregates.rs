//! The aggregates' side of a comparison: escrows, wallets and payments, folded by their own rules up to the cut.
//!
//! The ledger's list of holdings says which of them have money, or had some when the comparison began. Each is read from the log
//! and folded twice: up to the event that the ledger saw last, to be compared with what the ledger says that it has, and up
//! to the cut, to be summed.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use commands::{Aggregate, escrow::Escrow, payment::Payment, wallet::Wallet};
use events::{
    Category, Currency, Event, Money, RecordedEvent, StreamId, Timestamp,
    log::{EventLog, LogError},
};
use projections::{
    PageRequest, ReadStore,
    money::{
        journal::LedgerAccount,
        ledger::{self, Holding, Standing},
    },
};

use super::{ReconcileError, ledger::Cut};

/// What aggregates have, by account, minor units.
pub type Kept = BTreeMap<LedgerAccount, i128>;

/// What the aggregates say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AggregateSide {
    /// What they have together by the cut, by currency.
    pub sums: BTreeMap<&'static str, Kept>,
    /// Those of whom the ledger says something else.
    pub disagreements: Vec<Disagreement>,
}

/// An aggregate that has something else than the ledger says.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagreement {
    /// Which.
    pub stream: StreamId,
    /// Of which account.
    pub account: LedgerAccount,
    /// What the ledger says.
    pub ledger: Money,
    /// What it has.
    pub aggregate: Money,
}

/// Documents read at once.
const PAGE: usize = 500;
/// Commits of a stream read at once.
const COMMITS_AT_ONCE: usize = 1000;

/// Reads every aggregate that has money, or had some at `since`.
pub(super) async fn read(
    store: &Arc<dyn ReadStore>,
    log: &Arc<dyn EventLog>,
    cut: &Cut,
    since: Timestamp,
) -> Result<AggregateSide, ReconcileError> {
    let (mut side, mut seen) = (AggregateSide::default(), HashSet::new());
    for (standing, since) in [(Standing::Open, None), (Standing::Settled, Some(since))] {
        let mut next = Some(PageRequest::first(PAGE));
        while let Some(page) = next.take() {
            let found = ledger::holdings(store.as_ref(), standing, since, page).await?;
            next = found.next.clone().map(|after| PageRequest { after: Some(after), limit: PAGE });
            let fresh: Vec<Holding> =
                found.items.into_iter().filter(|holding| seen.insert(holding.stream)).collect();
            let (log, cut) = (Arc::clone(log), cut.clone());
            let part = tokio::task::spawn_blocking(move || read_page(log.as_ref(), &cut, &fresh)).await;
            let part = part.map_err(|error| ReconcileError::NotNow(error.to_string()))??;
            side.add(part);
        }
    }
    Ok(side)
}

fn read_page(log: &dyn EventLog, cut: &Cut, holdings: &[Holding]) -> Result<AggregateSide, ReconcileError> {
    let mut side = AggregateSide::default();
    for holding in holdings {
        let events = events_of(log, holding.stream)?;
        let [told, by_cut] = folded(holding, &events, cut)?;
        side.disagreements.extend(disagreements(holding, &told));
        let sums = side.sums.entry(holding.currency.code()).or_default();
        for (account, minor) in by_cut {
            *sums.entry(account).or_default() += minor;
        }
    }
    Ok(side)
}

impl AggregateSide {
    fn add(&mut self, mut part: Self) {
        self.disagreements.append(&mut part.disagreements);
        for (currency, kept) in part.sums {
            let sums = self.sums.entry(currency).or_default();
            for (account, minor) in kept {
                *sums.entry(account).or_default() += minor;
            }
        }
    }
}

/// All events of a stream.
pub(super) fn events_of(log: &dyn EventLog, stream: StreamId) -> Result<Vec<RecordedEvent>, ReconcileError> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let commits = log.load(stream, after, COMMITS_AT_ONCE)?;
        let Some(last) = commits.last() else { return Ok(events) };
        after = last.last_version();
        for commit in &commits {
            for event in commit.events().map_err(|error| unreadable(stream, &error))? {
                events.push(event.map_err(|error| unreadable(stream, &error))?);
            }
        }
    }
}

fn unreadable(stream: StreamId, error: &impl std::fmt::Display) -> ReconcileError {
    ReconcileError::Log(LogError::Refused(format!("{stream} holds what this release cannot read: {error}")))
}

/// What an aggregate had by the event that the ledger saw last, and by the cut. Events of one commit belong together: what
/// is told in one breath is never seen half.
fn folded(holding: &Holding, events: &[RecordedEvent], cut: &Cut) -> Result<[Kept; 2], ReconcileError> {
    let nothing = Money::zero(holding.currency);
    let seen = events.iter().find(|event| event.version == holding.version);
    let seen = seen.map(|event| event.position.offset).ok_or_else(|| {
        let (stream, version) = (holding.stream, holding.version);
        ReconcileError::NotNow(format!("the log here has no event {version} of {stream} yet"))
    })?;
    let mut states = [State::of(holding.stream)?, State::of(holding.stream)?];
    for event in events {
        if event.position.offset <= seen {
            states[0].evolve(&event.payload);
        }
        if cut.holds(nothing, event.position) {
            states[1].evolve(&event.payload);
        }
    }
    Ok(states.map(|state| state.kept()))
}

/// An aggregate that has money.
enum State {
    Escrow(Box<Escrow>),
    Wallet(Box<Wallet>),
    Payment(Box<Payment>),
}

impl State {
    fn of(stream: StreamId) -> Result<Self, ReconcileError> {
        if stream.category == Category::Escrow {
            return Ok(Self::Escrow(Box::default()));
        }
        if stream.category == Category::Wallet {
            return Ok(Self::Wallet(Box::default()));
        }
        if stream.category == Category::Payment {
            return Ok(Self::Payment(Box::default()));
        }
        Err(ReconcileError::NotNow(format!("{stream} is nothing that has money")))
    }

    fn evolve(&mut self, event: &Event) {
        match (self, event) {
            (Self::Escrow(state), Event::Escrow(event)) => state.evolve(event),
            (Self::Wallet(state), Event::Wallet(event)) => state.evolve(event),
            (Self::Payment(state), Event::Payment(event)) => state.evolve(event),
            (Self::Escrow(_) | Self::Wallet(_) | Self::Payment(_), _) => {}
        }
    }

    fn kept(&self) -> Kept {
        let minor = |amount: Option<Money>| amount.map_or(0, |amount| i128::from(amount.minor()));
        match self {
            Self::Escrow(state) => Kept::from([(LedgerAccount::Escrow, minor(state.held()))]),
            Self::Payment(state) => Kept::from([(LedgerAccount::Payable, minor(state.payable()))]),
            Self::Wallet(state) => Kept::from([
                (LedgerAccount::Wallets, minor(state.available())),
                (LedgerAccount::Holds, minor(state.held())),
            ]),
        }
    }
}

fn disagreements(holding: &Holding, kept: &Kept) -> Vec<Disagreement> {
    let said = |account: &LedgerAccount| i128::from(holding.minor.get(account).copied().unwrap_or_default());
    let has = |account: &LedgerAccount| kept.get(account).copied().unwrap_or_default();
    let accounts = LedgerAccount::ALL.iter().filter(|account| said(account) != has(account));
    let of_account = |account: &LedgerAccount| Disagreement {
        stream: holding.stream,
        account: *account,
        ledger: money(holding.currency, said(account)),
        aggregate: money(holding.currency, has(account)),
    };
    accounts.map(of_account).collect()
}

/// The amount; one that does not fit is as large as can be said, and agrees with nothing.
pub(super) fn money(currency: Currency, minor: i128) -> Money {
    let fitting = minor.clamp(i64::MIN.into(), i64::MAX.into());
    Money::new(i64::try_from(fitting).unwrap_or_default(), currency)
}
