//! Every query of every read model is served by a declared index: nothing is scanned, nothing is sorted.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use events::{Category, Currency, StreamId, ids::HireId, stream::Partition};
use projections::{
    Batch, Checkpoint, CollectionSpec, DocumentKey, Json, Page, PageRequest, ProjectionId, Query, ReadStore,
    StoreError, bids_by_job, bids_by_worker, board, contract_detail, job_detail, money, my_jobs, sessions,
    status::{BidStatus, ContractStatus, JobStatus},
    steps, timers,
};

use crate::{
    engines,
    store_queries::scans_and_sorts_nothing,
    story::{at, id},
};

/// A store that looks at the plan of every query before it lets it through.
struct Watched {
    store: Arc<dyn ReadStore>,
    plans: Mutex<Vec<(String, String)>>,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl ReadStore for Watched {
    fn prepare<'a>(&'a self, id: &'a ProjectionId, specs: &'a [CollectionSpec]) -> Answer<'a, ()> {
        self.store.prepare(id, specs)
    }
    fn get_many<'a>(
        &'a self,
        id: &'a ProjectionId,
        keys: &'a [DocumentKey],
    ) -> Answer<'a, Vec<Option<Json>>> {
        self.store.get_many(id, keys)
    }
    fn commit(&self, batch: Batch) -> Answer<'_, ()> {
        self.store.commit(batch)
    }
    fn checkpoint<'a>(
        &'a self,
        id: &'a ProjectionId,
        partition: Partition,
    ) -> Answer<'a, Option<Checkpoint>> {
        self.store.checkpoint(id, partition)
    }
    fn find(&self, query: Query) -> Answer<'_, Page<Json>> {
        Box::pin(async move {
            let plan = self.store.explain(query.clone()).await?;
            self.plans.lock().unwrap().push((query.projection.name.clone(), plan));
            self.store.find(query).await
        })
    }
    fn explain(&self, query: Query) -> Answer<'_, String> {
        self.store.explain(query)
    }
    fn drop_projection<'a>(&'a self, id: &'a ProjectionId) -> Answer<'a, ()> {
        self.store.drop_projection(id)
    }
}

fn board_filters() -> Vec<board::BoardFilter> {
    let mut filters = Vec::new();
    for bits in 0..16_u32 {
        let given = |bit: u32| bits & (1 << bit) != 0;
        let budget = board::BudgetFilter { currency: "GHS".parse().unwrap(), min: Some(1), max: Some(9) };
        filters.push(board::BoardFilter {
            words: given(0).then(|| "three little words".to_owned()),
            skill: given(1).then(|| "rust".to_owned()),
            category: given(2).then(|| "web-development".to_owned()),
            budget: given(3).then_some(budget),
            status: JobStatus::Published,
        });
    }
    filters
}

async fn ask_the_ledger(
    store: &dyn ReadStore,
    currency: Currency,
    page: &PageRequest,
) -> Result<(), StoreError> {
    use money::{journal::LedgerAccount, ledger, transfers, trial_balance::trial_balance};
    for until in [None, Some(at(9))] {
        trial_balance(store, until).await?;
        ledger::holdings(store, ledger::Standing::Open, until, page.clone()).await?;
    }
    ledger::entries(store, LedgerAccount::Clearing, currency, page.clone()).await?;
    ledger::journal(store, at(0), at(9), page.clone()).await?;
    transfers::list(store, transfers::TransferStatus::Open, page.clone()).await?;
    transfers::standing_since(store, transfers::TransferStatus::Settled, at(1), page.clone()).await?;
    transfers::get(store, id(1)).await?;
    for status in [None, Some(money::unreconciled::RunStatus::Open)] {
        money::unreconciled::list(store, status, page.clone()).await?;
    }
    money::unreconciled::get(store, id(1)).await?;
    money::unreconciled::latest(store).await?;
    Ok(())
}

async fn ask_for_money(store: &dyn ReadStore, page: &PageRequest) -> Result<(), StoreError> {
    let (ghs, first): (Currency, _) = ("GHS".parse().unwrap(), || page.clone());
    money::wallets::balance(store, id(1), ghs).await?;
    money::wallets::balances(store, id(1), first()).await?;
    money::wallets::holds(store, id(1), ghs, first()).await?;
    for currency in [None, Some(ghs)] {
        money::statement::list(store, id(1), currency, first()).await?;
    }
    money::escrows::get(store, id(1)).await?;
    let milestone = page.after.clone().map(|cursor| projections::Cursor { value: 7.into(), ..cursor });
    money::escrows::of_contract(store, id(1), PageRequest { after: milestone, limit: 10 }).await?;
    for status in [None, Some(money::escrows::EscrowStatus::Funded)] {
        money::escrows::list(store, id(1), status, first()).await?;
    }
    money::payments::get(store, id(1)).await?;
    money::payments::of_contract(store, id(1), first()).await?;
    money::payments::list(store, id(1), first()).await?;
    money::payouts::get(store, id(1)).await?;
    money::payouts::standing_at(store, money::payouts::PayoutStatus::InReview, first()).await?;
    for status in [None, Some(money::payouts::PayoutStatus::Paid)] {
        money::payouts::list(store, id(1), status, first()).await?;
    }
    money::methods::payment_methods(store, id(1), first()).await?;
    money::methods::payout_destinations(store, id(1), first()).await?;
    for kind in [None, Some(money::deadlines::DeadlineKind::Review)] {
        for until in [None, Some(at(9))] {
            money::deadlines::list(store, id(1), kind, until, first()).await?;
        }
    }
    money::deadlines::of_kind(store, money::deadlines::DeadlineKind::Review, at(9), first()).await?;
    ask_the_ledger(store, ghs, page).await?;
    for provider in [None, Some("sandbox")] {
        money::webhook_log::list(store, provider, first()).await?;
    }
    Ok(())
}

async fn ask_everything(store: &dyn ReadStore, page: &PageRequest) -> Result<(), StoreError> {
    for filter in board_filters() {
        board::search(store, &filter, page.clone()).await?;
    }
    job_detail::get(store, id(1)).await?;
    for status in [None, Some(JobStatus::Draft)] {
        my_jobs::list(store, id(1), status, page.clone()).await?;
    }
    for order in [bids_by_job::BidOrder::Newest, bids_by_job::BidOrder::LowestAmount] {
        for worker in [None, Some(id(1))] {
            let after = page.after.clone().map(|cursor| match order {
                bids_by_job::BidOrder::Newest => cursor,
                bids_by_job::BidOrder::LowestAmount => projections::Cursor { value: 7.into(), ..cursor },
            });
            bids_by_job::list(store, id(1), worker, order, PageRequest { after, limit: 10 }).await?;
        }
    }
    bids_by_job::get(store, id(1)).await?;
    for status in [None, Some(BidStatus::Submitted)] {
        bids_by_worker::list(store, id(1), status, page.clone()).await?;
    }
    contract_detail::get(store, id(1)).await?;
    for status in [None, Some(ContractStatus::Signed)] {
        contract_detail::list(store, id(1), status, page.clone()).await?;
    }
    sessions::list(store, id(1), page.clone()).await?;
    timers::due(store, at(0), page.clone()).await?;
    timers::upcoming(store, page.clone()).await?;
    steps::open(store, page.clone()).await?;
    steps::of_stream(store, StreamId::new(Category::Hire, id::<HireId>(1)), page.clone()).await?;
    Ok(())
}

/// The plan of every query of every read model, and whose it is, from the store that would carry it out.
async fn every_plan(fixture: &engines::Fixture) -> Vec<(String, String)> {
    for projection in projections::all() {
        fixture.prepare(projection.as_ref()).await;
    }
    let watched = Watched { store: Arc::clone(&fixture.store), plans: Mutex::default() };
    let cursor = projections::Cursor { value: at(5).into(), key: "k".into() };
    for after in [None, Some(cursor)] {
        let page = PageRequest { after, limit: 10 };
        ask_everything(&watched, &page).await.unwrap();
        ask_for_money(&watched, &page).await.unwrap();
    }
    let plans = watched.plans.into_inner().unwrap();
    let of_ledger = 1 + 5 + 2 + 4 + 3;
    let of_money = 2 + 2 + 3 + 2 + 3 + 2 + 5 + 2 + of_ledger;
    assert_eq!(plans.len(), 2 * (16 + 2 + 4 + 2 + 2 + 1 + 2 + 2 + of_money));
    plans
}

#[tokio::test]
async fn no_query_of_any_read_model_scans_or_sorts_in_sqlite() {
    for (projection, plan) in every_plan(&engines::sqlite()).await {
        for line in plan.lines() {
            // An index walked from its beginning, in the order asked for, is what a list of everything is.
            let lists_everything = ["timers", "steps", "webhook_log", "unreconciled"]
                .contains(&projection.as_str())
                || line.contains("ledger_v1__totals");
            let walks_an_index = line.contains("USING INDEX") && lists_everything;
            assert!(
                line.starts_with("SEARCH") || line.contains("CORRELATED") || walks_an_index,
                "{projection}: {plan}"
            );
        }
        assert!(plan.contains("__"), "{projection}: {plan}");
    }
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn no_query_of_any_read_model_scans_or_sorts_in_mongodb() {
    let fixture = engines::mongodb();
    for (projection, plan) in every_plan(&fixture).await {
        assert!(scans_and_sorts_nothing(&plan), "{projection}: {plan}");
        // Both walks of a page behind a cursor.
        let walks = plan.lines().filter(|line| line.starts_with("LIMIT")).count();
        assert_eq!(
            plan.lines().filter(|line| line.starts_with("IXSCAN by_")).count(),
            walks,
            "{projection}: {plan}"
        );
    }
    fixture.clear().await;
}
