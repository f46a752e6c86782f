//! `kill -9` fifty times while money moves, at a provider that fails, delays, repeats and loses answers: at rest nothing is on
//! its way, and the ledger, the aggregates and the provider's books agree to the unit.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use projections::{StoreOptions, money::journal::LedgerAccount};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sandbox::{Delivery, Disorder, Sandbox, Settings, Timing, WebhookTarget};
use secrecy::SecretString;
use serde_json::{Value, json};
use workers::payments::sandbox::{SandboxProvider, SandboxSettings};

use crate::{
    TURN,
    books::Books,
    crash::rebuilt_read_models_are_the_same,
    driver::member,
    harness::{Client, Member, bid, ghs, job},
    process::Setup,
    stack::{brokers, fresh_prefix},
};

const KILLS: u32 = 50;
/// A process on Kafka takes longer to begin.
const KILLS_ON_KAFKA: u32 = 20;
const STORIES: usize = 8;
/// One in every story, and another in half of them, where the first comes back.
const PAYOUTS: usize = STORIES + STORIES / 2;
/// The process lives for so long once it serves, milliseconds.
const LIFE_MS: std::ops::Range<u64> = 20..1_500;
/// All stories have ended by then, or never will.
const PATIENCE: Duration = Duration::from_secs(900);
const API_KEY: &str = "the key to the provider of a fault test, long enough";
const WEBHOOK_SECRET: &str = "the secret of the webhooks of a fault test which is long enough";
/// What a job costs, what of it is the worker's, and the fee. Minor units.
const PRICE: i64 = 150_000;
const NET: i64 = 135_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_fifty_times_while_money_moves_every_unit_is_where_it_should_be() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    killed_while_money_moves(Setup::embedded(folder.path()), KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the stack"]
async fn killed_while_money_moves_on_kafka_every_unit_is_where_it_should_be() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::on_kafka(folder.path().to_owned(), &[], &brokers(), &fresh_prefix());
    killed_while_money_moves(setup, KILLS_ON_KAFKA).await;
}

async fn killed_while_money_moves(setup: Setup, kills: u32) {
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let address = free_address();
    let provider = misbehaving(address, seed).await;
    let setup = with_provider(setup, address, &provider);
    let client = Client::new(address);
    let mut process = setup.start().await;
    let mut stories = Vec::new();
    for number in 0..STORIES {
        stories.push(Story::begin(&client, number).await);
    }
    let over = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> =
        (stories.into_iter()).map(|story| tokio::spawn(story.tell(Arc::clone(&over)))).collect();
    let calm = Arc::new(AtomicBool::new(false));
    let faults = tokio::spawn(fail_now_and_then(provider.address(), random.random(), Arc::clone(&calm)));
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(random.random_range(LIFE_MS))).await;
        process.kill();
        process = setup.start().await;
    }
    eprintln!("{} of {STORIES} stories ended under fire", over.load(Ordering::SeqCst));
    calm.store(true, Ordering::SeqCst);
    faults.await.unwrap();
    let mut workers = Vec::new();
    for story in load {
        workers.push(tokio::time::timeout(PATIENCE, story).await.expect("it never ends").unwrap());
    }
    let token = setup.run(&["token", "create", "--service", "money", "--role", "operator"]);
    settle(&client, token.trim()).await;
    for worker in &workers {
        let wallet = client.call("GET", "/api/v1/wallet").by(worker).send().await;
        assert!(!wallet.raw.contains(r#""amount":"1"#), "paid out: {}", wallet.raw);
    }
    let verified = setup.run(&["log", "verify"]);
    assert!(verified.starts_with("ok: "), "{verified}");
    process.stop();
    agree(Books::read(&setup.folder, &asked_directly(&provider)).await);
    let url = format!("embedded:{}", setup.folder.display());
    rebuilt_read_models_are_the_same(&setup.folder, &StoreOptions::at(url)).await;
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Everything it tells comes late, twice or in another order.
async fn misbehaving(merchant: SocketAddr, seed: u64) -> Sandbox {
    let url = format!("http://{merchant}/webhooks/sandbox");
    Sandbox::start(Settings {
        webhook: Some(WebhookTarget::new(&url, vec![SecretString::from(WEBHOOK_SECRET)]).unwrap()),
        timing: Timing {
            late_delay_ms: 2_000,
            return_delay_ms: 1_000,
            slow_ms: 300,
            hold_ms: 300,
            ..Timing::default()
        },
        // The merchant is away half of the time; a return that is never told would only show in the reconciliation.
        delivery: Delivery { attempts_max: 10_000, backoff_ms_max: 500, ..Delivery::default() },
        disorder: Disorder { seed, repeat_percent: 40, delay_percent: 50, delay_ms_max: 400 },
        ..Settings::new(SecretString::from(API_KEY))
    })
    .await
    .unwrap()
}

/// By whom no process of ours stands in between.
fn asked_directly(provider: &Sandbox) -> SandboxProvider {
    SandboxProvider::new(SandboxSettings {
        url: format!("http://{}", provider.address()),
        api_key: SecretString::from(API_KEY),
        webhook_secrets: vec![SecretString::from(WEBHOOK_SECRET)],
        timeout_ms: 5000,
    })
    .unwrap()
}

fn with_provider(setup: Setup, address: SocketAddr, provider: &Sandbox) -> Setup {
    setup
        .with("LISTEN", &address.to_string())
        .with("PAYMENTS__PROVIDER", "sandbox")
        .with("PAYMENTS__URL", &format!("http://{}", provider.address()))
        .with("PAYMENTS__API_KEY", API_KEY)
        .with("PAYMENTS__WEBHOOK_SECRETS", WEBHOOK_SECRET)
        .with("PAYMENTS__TIMEOUT_MS", "1000")
        .with("POLICY__MONEY__EARNINGS_HOLD_MS", "500")
        .with("POLICY__MONEY__PAYOUT_BATCH_EVERY_MS", "1000")
        .with("WORKERS__EFFECT_ASKED_AFTER_MS", "300")
        .with("WORKERS__EFFECT_ASKED_AFTER_MAX_MS", "2000")
        .with("WORKERS__BREAKER_PAUSE_MAX_MS", "1000")
        .with("WORKERS__BACKOFF_MAX_MS", "500")
}

/// One request to the provider's own side.
async fn control(provider: SocketAddr, method: &str, path: &str, body: Option<Value>) -> Value {
    let client = Client::new(provider);
    let call = client.call(method, path).token(API_KEY);
    let call = if let Some(body) = body { call.json(&body) } else { call };
    let reply = call.send().await;
    assert!(reply.status.is_success(), "{path}: {}", reply.raw);
    reply.body
}

/// Until it is to be calm, and then leaves nothing behind.
async fn fail_now_and_then(provider: SocketAddr, seed: u64, calm: Arc<AtomicBool>) {
    const OPERATIONS: &[&str] = &["create_charge", "create_refund", "create_payout", "read"];
    const FAULTS: &[&str] = &[
        "unavailable",
        "internal_error",
        "disconnect",
        "slow",
        "error_after_success",
        "timeout_after_success",
    ];
    let mut random = StdRng::seed_from_u64(seed);
    while !calm.load(Ordering::SeqCst) {
        let operation = OPERATIONS[random.random_range(0..OPERATIONS.len())];
        let fault = FAULTS[random.random_range(0..FAULTS.len())];
        let times = random.random_range(1..4_u32);
        control(provider, "DELETE", "/control/faults", None).await;
        let body = json!({ "operation": operation, "fault": fault, "times": times });
        control(provider, "POST", "/control/faults", Some(body)).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(20..200))).await;
    }
    control(provider, "DELETE", "/control/faults", None).await;
}

/// A client and a worker, from the job to the last payout.
struct Story {
    http: Client,
    number: usize,
    client: Member,
    worker: Member,
}

impl Story {
    async fn begin(http: &Client, number: usize) -> Self {
        let client = member(http, &format!("client-{number}"), "client").await;
        let worker = member(http, &format!("worker-{number}"), "worker").await;
        Self { http: http.clone(), number, client, worker }
    }

    async fn tell(self, over: Arc<AtomicUsize>) -> Member {
        let contract = self.hire().await;
        for milestone in [1, 2] {
            self.pay(&contract, milestone).await;
            let path = |act: &str| format!("/api/v1/contracts/{contract}/milestones/{milestone}/{act}");
            let note = json!({ "note": "It is done." });
            self.insist(&self.worker, &path("submit"), &format!("submit-{milestone}"), Some(note)).await;
            self.insist(&self.client, &path("approve"), &format!("approve-{milestone}"), None).await;
        }
        self.be_paid().await;
        over.fetch_add(1, Ordering::SeqCst);
        self.worker
    }

    /// A contract that both have signed.
    async fn hire(&self) -> String {
        let job = self.insist(&self.client, "/api/v1/jobs", "job", Some(job())).await;
        let path = format!("/api/v1/jobs/{}", text(&job, "job"));
        self.insist(&self.client, &format!("{path}/publish"), "publish", None).await;
        let bid = self.insist(&self.worker, &format!("{path}/bids"), "bid", Some(bid())).await;
        let accept = format!("{path}/bids/{}/accept", text(&bid, "bid"));
        let contract = text(&self.insist(&self.client, &accept, "accept", None).await, "contract");
        for (party, key) in [(&self.client, "sign-client"), (&self.worker, "sign-worker")] {
            self.insist(party, &format!("/api/v1/contracts/{contract}/sign"), key, None).await;
        }
        contract
    }

    /// Cards are tried until one is taken, and the milestone is funded.
    async fn pay(&self, contract: &str, milestone: u32) {
        const CARDS: &[&str] = &[
            "pm_card_declined",
            "pm_declined_at_once",
            "pm_timeout_after_success",
            "pm_lost_event",
            "pm_duplicate_event",
            "pm_late_confirmation",
            "pm_card",
        ];
        let fund = format!("/api/v1/contracts/{contract}/milestones/{milestone}/fund");
        let asked = self.insist(&self.client, &fund, &format!("fund-{milestone}"), None).await;
        let payment = format!("/api/v1/payments/{}", text(&asked, "payment"));
        for (attempt, card) in CARDS.iter().cycle().skip(self.number).take(10).enumerate() {
            let key = format!("{milestone}-{attempt}");
            let method = json!({ "token": card, "label": "a card" });
            let method = self
                .insist(&self.client, "/api/v1/payment-methods", &format!("card-{key}"), Some(method))
                .await;
            let method = json!({ "payment_method": text(&method, "payment_method") });
            let attempts = format!("{payment}/attempts");
            self.insist(&self.client, &attempts, &format!("attempt-{key}"), Some(method)).await;
            let settled = |payment: &Value| ["created", "confirmed"].contains(&&*text(payment, "status"));
            if text(&self.until(&self.client, &payment, settled).await, "status") == "confirmed" {
                return;
            }
        }
        panic!("every card was declined");
    }

    /// The first payout comes back from the bank, in half of the stories; then all is paid.
    async fn be_paid(&self) {
        let bank = if self.number.is_multiple_of(2) { "ba_returned_once" } else { "ba_duplicate_event" };
        let place = json!({
            "token": format!("{bank}-{}", self.number), "currency": "GHS", "label": "a bank",
        });
        let place = self.insist(&self.worker, "/api/v1/payout-destinations", "bank", Some(place)).await;
        let ends: &[&str] = if self.number.is_multiple_of(2) { &["reversed", "paid"] } else { &["paid"] };
        for (turn, end) in ends.iter().enumerate() {
            let wanted = json!({
                "amount": ghs(&NET.to_string()), "payout_destination": text(&place, "payout_destination"),
            });
            let payout =
                self.insist(&self.worker, "/api/v1/payouts", &format!("payout-{turn}"), Some(wanted)).await;
            let path = format!("/api/v1/payouts/{}", text(&payout, "payout"));
            self.until(&self.worker, &path, |payout| text(payout, "status") == *end).await;
        }
    }

    /// Asks until it is done, always under the same key: nobody knows what became of what was not answered.
    async fn insist(&self, by: &Member, path: &str, key: &str, body: Option<Value>) -> Value {
        let began = Instant::now();
        loop {
            let call = self.http.call("POST", path).by(by).key(&format!("{}-{key}", self.number));
            let call = if let Some(body) = &body { call.json(body) } else { call };
            let said = match call.try_send().await {
                Ok(reply) if reply.status.is_success() => return reply.body,
                Ok(reply) => reply.raw,
                Err(error) => error.to_string(),
            };
            assert!(began.elapsed() < PATIENCE, "{path}: {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until(&self, by: &Member, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let said = match self.http.call("GET", path).by(by).try_send().await {
                Ok(reply) if reply.status.is_success() && fits(&reply.body) => return reply.body,
                Ok(reply) => reply.raw,
                Err(error) => error.to_string(),
            };
            assert!(began.elapsed() < PATIENCE, "{path}: {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

/// Waits until every read model has seen everything, no step is open and no effect waits.
async fn settle(client: &Client, token: &str) {
    let mut quiet = 0;
    while quiet < 20 {
        let report = client.call("GET", "/ops/projections").token(token).send().await;
        let runners = report.body["runners"].as_array().unwrap();
        let waiting = |runner: &Value| runner["state"] == "waiting" && runner["lag_commits"] == 0;
        let idle = |pump: &str| report.body[pump]["listed"] == 0;
        let settled = runners.iter().all(waiting) && idle("steps") && idle("effects");
        quiet = if settled { quiet + 1 } else { 0 };
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// All that came was paid out but for our share, and so say the ledger, the aggregates and the provider.
fn agree(mut books: Books) {
    assert_eq!(books.differences(), [] as [String; 0]);
    let ours = i128::from(PRICE - NET) * STORIES as i128;
    for account in LedgerAccount::ALL {
        let expected = match account {
            LedgerAccount::Clearing | LedgerAccount::Fees => ours,
            LedgerAccount::Receivable
            | LedgerAccount::Escrow
            | LedgerAccount::InTransit
            | LedgerAccount::Wallets
            | LedgerAccount::Holds
            | LedgerAccount::Payable => 0,
        };
        assert_eq!(books.entered(*account), expected, "{account:?}");
    }
    let counts = books.aggregates.counts();
    let expected =
        [("escrow", 2 * STORIES), ("payment", 2 * STORIES), ("payout", PAYOUTS), ("wallet", STORIES)];
    assert_eq!(counts, expected.into(), "all of them were compared");
    // Whoever is left out is missed, so those who were compared were really looked at.
    let payments = std::mem::take(&mut books.aggregates.payments);
    assert!(!books.differences().is_empty());
    books.aggregates.payments = payments;
    let payouts = std::mem::take(&mut books.aggregates.payouts);
    assert!(!books.differences().is_empty());
    books.aggregates.payouts = payouts;
    books.aggregates.escrows.pop_last();
    assert!(!books.differences().is_empty());
}
