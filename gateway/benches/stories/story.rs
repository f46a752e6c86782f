//! One story: a job, a bid, a contract, a milestone paid for, worked on, approved, and paid out, all of it over HTTP.

use std::net::SocketAddr;

use events::{
    Category, StreamId,
    ids::{AccountId, ContractId, PaymentId, PayoutId, WalletId},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::heard::Heard;
use crate::load::{Connection, people, post};

/// What the milestone costs, and what of it the worker gets. Minor units.
const PRICE: &str = "50000";
const NET: &str = "45000";
const CURRENCY: &str = "GHS";
/// Commands that people give in a story.
pub(super) const ASKED: u64 = 11;

/// Somebody who is logged in.
pub(super) struct Person {
    account: AccountId,
    token: String,
    connection: Connection,
}

/// Two people who tell one story after the other.
pub(super) struct Pair {
    client: Person,
    worker: Person,
    /// The client's card, and the worker's bank.
    card: String,
    bank: String,
    /// Stories that they have told.
    told: usize,
}

impl Person {
    pub(super) async fn register(address: SocketAddr, role: &str) -> Self {
        let email = format!("{}@example.com", Uuid::now_v7().simple());
        let account = people::register(address, &email, role).await.parse().unwrap();
        let token = people::log_in(address, &email).await.unwrap();
        Self { account, token, connection: Connection::open(address).await }
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    async fn ask(&mut self, path: &str, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = post(&format!("/api/v1/{path}"), &self.token, Some(Uuid::now_v7()), &body);
        serde_json::from_slice(self.connection.ask(&request).await).unwrap()
    }
}

impl Pair {
    pub(super) async fn register(address: SocketAddr) -> Self {
        let mut client = Person::register(address, "client").await;
        let mut worker = Person::register(address, "worker").await;
        let token = |of: &str| format!("{of}-{}", Uuid::now_v7().simple());
        let card = json!({ "token": token("pm_card"), "label": "A card" });
        let card = text(&client.ask("payment-methods", card).await, "payment_method");
        let bank = json!({ "token": token("ba_account"), "currency": CURRENCY, "label": "A bank" });
        let bank = text(&worker.ask("payout-destinations", bank).await, "payout_destination");
        Self { client, worker, card, bank, told: 0 }
    }

    /// Tells one.
    pub(super) async fn tell(&mut self, heard: &Heard) {
        self.told += 1;
        let contract = self.hire(heard).await;
        self.pay(&contract, heard).await;
        self.work(&contract, heard).await;
        self.be_paid(heard).await;
    }

    /// A contract that both have signed.
    async fn hire(&mut self, heard: &Heard) -> String {
        let terms = json!({
            "title": "Paint the fence", "description": "White, two coats", "category": "painting",
            "skills": ["brushes"], "budget": { "min": money("25000"), "max": money("100000") },
        });
        let job = text(&self.client.ask("jobs", terms).await, "job");
        self.client.ask(&format!("jobs/{job}/publish"), Value::Null).await;
        let bid = json!({
            "amount": money(PRICE), "cover_letter": "I have brushes.",
            "milestones": [{ "title": "all of it", "amount": money(PRICE) }],
        });
        let bid = text(&self.worker.ask(&format!("jobs/{job}/bids"), bid).await, "bid");
        let accepted = self.client.ask(&format!("jobs/{job}/bids/{bid}/accept"), Value::Null).await;
        let contract = text(&accepted, "contract");
        heard.until(of(&contract), "ContractProposed", 1).await;
        self.client.ask(&format!("contracts/{contract}/sign"), Value::Null).await;
        self.worker.ask(&format!("contracts/{contract}/sign"), Value::Null).await;
        contract
    }

    async fn pay(&mut self, contract: &str, heard: &Heard) {
        let path = format!("contracts/{contract}/milestones/1/fund");
        let payment = text(&self.client.ask(&path, Value::Null).await, "payment");
        let stream = StreamId::new(Category::Payment, payment.parse::<PaymentId>().unwrap());
        heard.until(stream, "PaymentCreated", 1).await;
        let attempt = json!({ "payment_method": self.card });
        self.client.ask(&format!("payments/{payment}/attempts"), attempt).await;
        heard.until(of(contract), "MilestoneFunded", 1).await;
    }

    async fn work(&mut self, contract: &str, heard: &Heard) {
        let milestone = format!("contracts/{contract}/milestones/1");
        self.worker.ask(&format!("{milestone}/submit"), json!({ "note": "Have a look." })).await;
        self.client.ask(&format!("{milestone}/approve"), Value::Null).await;
        heard.until(self.wallet(), "HoldReleased", self.told).await;
        heard.until(of(contract), "ContractCompleted", 1).await;
    }

    async fn be_paid(&mut self, heard: &Heard) {
        let payout = json!({ "amount": money(NET), "payout_destination": self.bank });
        let payout = text(&self.worker.ask("payouts", payout).await, "payout");
        let stream = StreamId::new(Category::Payout, payout.parse::<PayoutId>().unwrap());
        heard.until(stream, "PayoutPaid", 1).await;
        heard.until(self.wallet(), "WalletDebited", self.told).await;
    }

    fn wallet(&self) -> StreamId {
        let wallet = WalletId::of(self.worker.account, CURRENCY.parse().unwrap());
        StreamId::new(Category::Wallet, wallet)
    }
}

fn of(contract: &str) -> StreamId {
    StreamId::new(Category::Contract, contract.parse::<ContractId>().unwrap())
}

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_else(|| panic!("no {field} in {answer}")).to_owned()
}

fn money(amount: &str) -> Value {
    json!({ "amount": amount, "currency": CURRENCY })
}
