//! A marketplace with a till: signed contracts, a sandbox provider with webhooks, workers who carry effects out.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use commands::{
    Actor,
    contract::{Contract, ContractCommand, ContractStatus, MilestoneStatus},
    payment::{Payment, PaymentCommand, PaymentStatus},
    payout::{Payout, PayoutCommand},
    receipt::{Receipt, ReceiptCommand},
    wallet::Wallet,
};
use events::{
    Money, Timestamp,
    ids::{
        AccountId, CommandId, ContractId, PaymentId, PaymentMethodId, PayoutDestinationId, PayoutId,
        ReceiptId, WalletId,
    },
    vocabulary::{identity::Role, jobs::ContractEvent},
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use projections::{PageRequest, ReadStore, effects, steps};
use sandbox::{Settings, WebhookTarget};
use secrecy::SecretString;
use tokio::net::TcpListener;
use workers::{
    Effects, WorkerSettings, Workers,
    payments::{
        Balances, BooksPage, Order, PaymentProvider, ProviderFuture, Reference, Standing, VerifiedWebhook,
        WebhookRefusal, sandbox::SandboxProvider,
    },
};

use super::{
    market::{DAY_MS, Market, as_role, sealed},
    provider::{self, Bank, WEBHOOK_SECRET},
    until,
};

/// What a milestone costs, and what of it the worker gets.
pub const PRICE: i64 = 500;
pub const NET: i64 = 450;

pub struct Till {
    pub market: Market,
    pub bank: Bank,
    pub provider: Arc<Counted>,
}

/// Somebody who pays, somebody who works, and their contract with one milestone.
#[derive(Clone, Copy, Debug)]
pub struct Deal {
    pub client: AccountId,
    pub worker: AccountId,
    pub contract: ContractId,
}

/// The sandbox, and how often each order was sent to it.
pub struct Counted {
    inner: SandboxProvider,
    pub sent: Mutex<HashMap<Reference, u32>>,
    pub looked_up: Mutex<u64>,
}

impl PaymentProvider for Counted {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn order<'a>(&'a self, order: &'a Order) -> ProviderFuture<'a, Standing> {
        *self.sent.lock().unwrap().entry(order.reference()).or_default() += 1;
        self.inner.order(order)
    }
    fn look_up(&self, reference: Reference) -> ProviderFuture<'_, Option<Standing>> {
        *self.looked_up.lock().unwrap() += 1;
        self.inner.look_up(reference)
    }
    fn give_up<'a>(&'a self, charge: &'a Standing) -> ProviderFuture<'a, Standing> {
        self.inner.give_up(charge)
    }
    fn books<'a>(
        &'a self,
        from: Timestamp,
        to: Timestamp,
        after: Option<&'a str>,
    ) -> ProviderFuture<'a, BooksPage> {
        self.inner.books(from, to, after)
    }
    fn balances(&self) -> ProviderFuture<'_, Balances> {
        self.inner.balances()
    }
    fn signature_header(&self) -> &'static str {
        self.inner.signature_header()
    }
    fn read_webhook(
        &self,
        signature: Option<&str>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<VerifiedWebhook, WebhookRefusal> {
        self.inner.read_webhook(signature, body, now)
    }
}

impl Till {
    pub async fn open() -> Self {
        Self::with(provider::settings()).await
    }

    /// With a sandbox that tells its webhooks to us.
    pub async fn with(mut settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/sandbox", listener.local_addr().unwrap());
        settings.webhook = Some(WebhookTarget::new(&url, vec![SecretString::from(WEBHOOK_SECRET)]).unwrap());
        let bank = Bank::with(settings).await;
        let market = Market::new();
        let provider = Arc::new(counted(bank.sandbox.address()));
        tokio::spawn(hear(listener, market.executor.clone(), Arc::clone(&provider)));
        Self { market, bank, provider }
    }

    /// Everything that runs by itself.
    pub fn workers(&self) -> Workers {
        self.workers_on(Arc::clone(&self.market.house.store))
    }

    pub fn workers_on(&self, store: Arc<dyn ReadStore>) -> Workers {
        let settings = WorkerSettings {
            processes: true,
            effect_asked_after_ms: 100,
            effect_asked_after_max_ms: 400,
            breaker_failures_max: 2,
            breaker_pause_first_ms: 10,
            breaker_pause_max_ms: 50,
            ..super::settings()
        };
        let (log, executor) = (Arc::clone(&self.market.house.log), self.market.executor.clone());
        let provider = Arc::clone(&self.provider) as Arc<dyn PaymentProvider>;
        let effects = Effects::new(executor, provider);
        Workers::start(
            projections::all(),
            Arc::new(self.market.managers()),
            Some(effects),
            log,
            store,
            self.market.clock.clone(),
            settings,
        )
    }

    /// A contract that both have signed. Workers must run.
    pub async fn deal(&self) -> Deal {
        let (client, worker) = (AccountId::fresh(), AccountId::fresh());
        let job = self.market.publish(client).await;
        let bid = self.market.bid(worker, job).await;
        let contract = self.market.accept(client, job, bid).await;
        until("the contract is proposed", || async {
            self.market.state::<Contract>(contract).await.status() == Some(ContractStatus::Proposed)
        })
        .await;
        let deal = Deal { client, worker, contract };
        self.client_asks(deal, ContractCommand::Sign).await;
        self.worker_asks(deal, ContractCommand::Sign).await;
        deal
    }

    pub async fn client_asks(&self, deal: Deal, command: ContractCommand) -> Vec<ContractEvent> {
        let actor = as_role(deal.client, Role::Client);
        self.market.run::<Contract>(actor, deal.contract, CommandId::fresh(), command).await.events
    }

    pub async fn worker_asks(&self, deal: Deal, command: ContractCommand) {
        let actor = as_role(deal.worker, Role::Worker);
        self.market.run::<Contract>(actor, deal.contract, CommandId::fresh(), command).await;
    }

    /// The client wants to pay; the payment that is there then.
    pub async fn bill(&self, deal: Deal) -> PaymentId {
        let events = self.client_asks(deal, ContractCommand::RequestFunding { milestone: 1 }).await;
        let order = events.iter().find_map(|event| match event {
            ContractEvent::FundingRequested(requested) => requested.order.as_ref(),
            _ => None,
        });
        let payment = order.unwrap().payment;
        until("there is a payment", || async {
            self.market.state::<Payment>(payment).await.status() == Some(PaymentStatus::Created)
        })
        .await;
        payment
    }

    pub async fn attempt(&self, deal: Deal, payment: PaymentId, token: &str) {
        let attempt = PaymentCommand::Attempt { method: PaymentMethodId::fresh(), token: token.to_owned() };
        let actor = as_role(deal.client, Role::Client);
        self.market.run::<Payment>(actor, payment, CommandId::fresh(), attempt).await;
    }

    pub async fn until_payment(&self, payment: PaymentId, status: PaymentStatus) {
        until(&format!("the payment is {status:?}"), || async {
            self.market.state::<Payment>(payment).await.status() == Some(status)
        })
        .await;
    }

    pub async fn until_funded(&self, deal: Deal) {
        self.until_milestone(deal, MilestoneStatus::Funded).await;
    }

    pub async fn until_milestone(&self, deal: Deal, status: MilestoneStatus) {
        until(&format!("the milestone is {status:?}"), || async {
            let contract = self.market.state::<Contract>(deal.contract).await;
            contract.milestones().all(|milestone| milestone.status == status)
        })
        .await;
    }

    /// Paid for with `token`, worked on, approved, and the money can be spent.
    pub async fn earn(&self, deal: Deal, token: &str) -> PaymentId {
        let payment = self.bill(deal).await;
        self.attempt(deal, payment, token).await;
        self.until_funded(deal).await;
        self.work(deal).await;
        payment
    }

    /// The funded milestone is worked on and approved, and the money can be spent.
    pub async fn work(&self, deal: Deal) {
        let note = sealed(deal.worker);
        self.worker_asks(deal, ContractCommand::SubmitWork { milestone: 1, note }).await;
        self.client_asks(deal, ContractCommand::Approve { milestone: 1 }).await;
        self.until_wallet(deal.worker, 0, NET).await;
        self.until_rested().await;
        self.market.advance(5 * DAY_MS).await;
        self.until_wallet(deal.worker, NET, 0).await;
    }

    pub async fn until_wallet(&self, account: AccountId, available: i64, held: i64) {
        let wallet = WalletId::of(account, cedis(0).currency());
        let minor = |money: Option<Money>| money.map_or(0, Money::minor);
        until(&format!("{available} can be spent and {held} is held"), || async {
            let wallet = self.market.state::<Wallet>(wallet).await;
            (minor(wallet.available()), minor(wallet.held())) == (available, held)
        })
        .await;
    }

    /// The worker wants all that was earned; the payout waits for its batch.
    pub async fn want(&self, deal: Deal, token: &str) -> PayoutId {
        let payout = PayoutId::fresh();
        let (destination, token) = (PayoutDestinationId::fresh(), token.to_owned());
        let request = PayoutCommand::Request { amount: cedis(NET), destination, token };
        let actor = as_role(deal.worker, Role::Worker);
        self.market.run::<Payout>(actor, payout, CommandId::fresh(), request).await;
        until("the payout waits for its batch", || async {
            self.market.state::<Payout>(payout).await.dispatch_at().is_some()
        })
        .await;
        self.until_rested().await;
        payout
    }

    /// The next batch goes.
    pub async fn batch(&self) {
        self.market.advance(60 * 60 * 1000).await;
    }

    /// Everything that was asked for is done: no step is open, no effect waits, and the read models know all there is.
    pub async fn until_rested(&self) {
        self.until_rested_in(&self.market.house.store).await;
    }

    pub async fn until_rested_in(&self, store: &Arc<dyn ReadStore>) {
        let mut last = 0;
        until("nothing is left to do", || async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let page = || PageRequest::first(10);
            let steps = steps::open(store.as_ref(), page()).await;
            let effects = effects::open(store.as_ref(), page()).await;
            steps.is_ok_and(|open| open.items.is_empty()) && effects.is_ok_and(|open| open.items.is_empty())
        })
        .await;
        // What was just written may not have been projected when that was looked at: the log has to stand still, too.
        loop {
            let end: i64 = self.log_ends();
            if end == last {
                return;
            }
            last = end;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }

    fn log_ends(&self) -> i64 {
        let log = &self.market.house.log;
        log.partitions().into_iter().map(|partition| log.end(partition).unwrap()).sum()
    }

    /// The causes of all entries of the provider's books, in order.
    pub async fn books(&self) -> Vec<String> {
        let entries = self.bank.all("entries").await;
        entries.iter().map(|entry| entry["cause"].as_str().unwrap().to_owned()).collect()
    }

    /// What the provider has of ours, everything under way included.
    pub async fn balance(&self) -> i128 {
        let balances = self.provider.balances().await.unwrap();
        let all = |c: &workers::payments::CurrencyBalance| {
            c.available_minor + c.refunds_under_way_minor + c.payouts_under_way_minor
        };
        balances.currencies.iter().map(all).sum()
    }

    /// Moves the provider's clock.
    pub async fn provider_waits(&self, ms: i64) {
        self.bank.post("/control/clock", serde_json::json!({ "advance_ms": ms })).await;
    }

    /// No order was sent twice, but for those that this says.
    pub fn assert_sent_once(&self) {
        let sent = self.provider.sent.lock().unwrap();
        assert!(sent.values().all(|times| *times == 1), "{sent:?}");
    }
}

pub fn counted(address: SocketAddr) -> Counted {
    Counted { inner: provider::reach(address, 2_000), sent: Mutex::default(), looked_up: Mutex::default() }
}

pub fn cedis(minor: i64) -> Money {
    Money::new(minor, "GHS".parse().unwrap())
}

/// Takes webhooks as the gateway does: verified on the raw bytes, answered 2xx once the receipt is appended.
async fn hear(listener: TcpListener, executor: commands::Executor, provider: Arc<Counted>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (executor, provider) = (executor.clone(), Arc::clone(&provider));
        let answer = service_fn(move |request: Request<Incoming>| {
            let (executor, provider) = (executor.clone(), Arc::clone(&provider));
            async move { take(request, &executor, &provider).await }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

async fn take(
    request: Request<Incoming>,
    executor: &commands::Executor,
    provider: &Counted,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let signature = head.headers.get(provider.signature_header()).map(|value| value.to_str().unwrap());
    let mut response = Response::new(Full::default());
    match provider.read_webhook(signature, &body, Timestamp::now()) {
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
        Ok(webhook) => {
            let name = provider.name().to_owned();
            let receipt = ReceiptId::of(&name, &webhook.provider_event);
            let command = ReceiptCommand::Record {
                provider: name,
                event: webhook.provider_event,
                notice: webhook.notice,
                body: None,
            };
            let request = commands::Request::<Receipt> {
                id: receipt,
                command,
                command_id: CommandId::fresh(),
                command_hash: events::envelope::CommandHash([2; 16]),
                actor: Actor::System,
                expected: None,
                correlation_id: "a-webhook".to_owned(),
                causation_id: None,
                traceparent: None,
            };
            if executor.execute(request).await.is_err() {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
        }
    }
    Ok(response)
}
