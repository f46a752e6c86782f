//! Money at work in a deal: cards, payments, work that is paid.

use commands::{
    Actor, Request,
    account::{Account, AccountCommand},
};
use events::{
    ids::{AccountId, CommandId},
    vocabulary::identity::Role,
};
use http::StatusCode;
use serde_json::{Value, json};
use workers::payments::{PaymentProvider, Reference};

use super::{Guild, Member, Reply, deal::Deal, ghs};

impl Guild {
    /// A means of paying; its id.
    pub(crate) async fn card(&self, member: &Member, token: &str) -> String {
        let card = json!({ "token": token, "label": "A card" });
        let added = self.post("/api/v1/payment-methods").by(member).json(&card).send().await;
        added.expect(StatusCode::CREATED).text("/payment_method")
    }

    /// A place where somebody is paid in cedi; its id.
    pub(crate) async fn bank(&self, member: &Member, token: &str) -> String {
        let bank = json!({ "token": token, "currency": "GHS", "label": "A bank" });
        let added = self.post("/api/v1/payout-destinations").by(member).json(&bank).send().await;
        added.expect(StatusCode::CREATED).text("/payout_destination")
    }

    /// Moves domain time, and the sandbox's with it.
    pub(crate) async fn advance(&self, by: &str) {
        let moved = self.post("/ops/test-clock").json(&json!({ "advance": by })).send().await;
        moved.expect(StatusCode::OK);
    }

    /// An administrator: there is no route that makes one.
    pub(crate) async fn admin(&self, name: &str) -> Member {
        let member = self.member(name, &["client"]).await;
        let app = &self.server.app;
        let id: AccountId = member.account.parse().unwrap();
        let request = Request::<Account> {
            id,
            command: AccountCommand::AssignRole { role: Role::Admin },
            command_id: CommandId::fresh(),
            command_hash: app.keys.command_hash("test", b""),
            actor: Actor::System,
            expected: None,
            correlation_id: "test".into(),
            causation_id: None,
            traceparent: None,
        };
        app.executor.execute(request).await.unwrap();
        member
    }

    /// A token to look at the ledger with.
    pub(crate) fn operator(&self) -> String {
        self.server.app.tokens.for_service("watchman", Role::Operator, 3600).unwrap()
    }

    /// Asks an operator's question until the answer is as it should be.
    pub(crate) async fn until_operator(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let token = self.operator();
        for _ in 0..4000 {
            let reply = self.get(path).token(&token).send().await;
            if reply.status == StatusCode::OK && fits(&reply.body) {
                return reply.body;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{path} never became what it should be");
    }

    /// Waits until nothing is on its way, everything sums to zero, and these accounts have so much in cedi.
    pub(crate) async fn at_rest(&self, expected: &[(&str, &str)]) {
        let fits = |trial: &Value| {
            let accounts = trial["currencies"][0]["accounts"].as_array().cloned().unwrap_or_default();
            let has = |(name, minor): &(&str, &str)| {
                let line = accounts.iter().find(|line| line["account"] == *name);
                line.is_some_and(|line| line["balance"]["amount"] == *minor)
            };
            trial["balanced"] == true && expected.iter().all(has)
        };
        self.until_operator("/api/v1/admin/ledger/trial-balance", fits).await;
        self.until_operator("/api/v1/admin/ledger/transfers", |open| open["items"] == json!([])).await;
    }
}

impl Deal {
    /// A payment for a milestone, as soon as it can be attempted; its id.
    pub(crate) async fn wants_to_pay(&self, milestone: u32) -> String {
        let path = format!("/milestones/{milestone}/fund");
        let asked = self.post(&path).by(&self.client).key(&fresh()).send().await;
        let payment = asked.expect(StatusCode::OK).text("/payment");
        self.payment(&payment, |payment| payment["status"] == "created").await;
        payment
    }

    /// What the client sees of a payment, as soon as it is as it should be.
    pub(crate) async fn payment(&self, payment: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.guild.until(&self.client, &format!("/api/v1/payments/{payment}"), fits).await
    }

    pub(crate) async fn attempt(&self, payment: &str, card: &str) -> Reply {
        let with = json!({ "payment_method": card });
        let call = self.guild.post(&format!("/api/v1/payments/{payment}/attempts"));
        call.by(&self.client).key(&fresh()).json(&with).send().await
    }

    /// Waits until the provider has heard of a payment's attempt: what expires before that is never sent.
    pub(crate) async fn is_with_the_provider(&self, payment: &str, attempt: u32) {
        let provider = self.guild.server.app.provider.as_ref().unwrap();
        let reference = Reference::Attempt { payment: payment.parse().unwrap(), attempt };
        for _ in 0..4000 {
            if provider.look_up(reference).await.unwrap().is_some() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("the provider never heard of {reference}");
    }

    /// A milestone, until its money is in escrow.
    pub(crate) async fn pays(&self, milestone: u32) {
        let payment = self.wants_to_pay(milestone).await;
        let card = self.guild.card(&self.client, "pm_card").await;
        self.attempt(&payment, &card).await.expect(StatusCode::OK);
        self.milestone_is(milestone, "funded").await;
    }

    pub(crate) async fn submits(&self, milestone: u32) {
        let words = json!({ "note": "It is done." });
        let path = format!("/milestones/{milestone}/submit");
        self.post(&path).by(&self.worker).json(&words).send().await.expect(StatusCode::OK);
    }

    /// A funded milestone, until its money is in the worker's wallet.
    pub(crate) async fn earns(&self, milestone: u32) {
        self.submits(milestone).await;
        let path = format!("/milestones/{milestone}/approve");
        self.post(&path).by(&self.client).key(&fresh()).send().await.expect(StatusCode::OK);
        self.milestone_is(milestone, "released").await;
    }

    pub(crate) async fn milestone_is(&self, milestone: u32, status: &str) {
        let index = milestone as usize - 1;
        self.until("", |contract| contract["milestones"][index]["status"] == status).await;
    }

    /// The escrow of a milestone, as soon as it has this status; its id.
    pub(crate) async fn escrow(&self, milestone: u32, status: &str) -> String {
        let fits = |escrow: &&Value| escrow["milestone"] == milestone && escrow["status"] == status;
        let of_status = |escrows: &Value| escrows["items"].as_array()?.iter().find(fits).cloned();
        let escrows = self.until("/escrows", |escrows| of_status(escrows).is_some()).await;
        of_status(&escrows).unwrap()["escrow"].as_str().unwrap().to_owned()
    }

    /// The worker's wallet, as soon as so much of it can be spent.
    pub(crate) async fn has_available(&self, minor: &str) -> Value {
        let fits = |wallet: &Value| wallet["balances"][0]["available"] == ghs(minor);
        self.guild.until(&self.worker, "/api/v1/wallet", fits).await
    }

    /// A payout that the worker asks for.
    pub(crate) async fn asks_for(&self, minor: &str, bank: &str) -> Reply {
        let wanted = json!({ "amount": ghs(minor), "payout_destination": bank });
        self.guild.post("/api/v1/payouts").by(&self.worker).key(&fresh()).json(&wanted).send().await
    }

    /// What the worker sees of a payout, as soon as it has this status.
    pub(crate) async fn payout_is(&self, payout: &str, status: &str) -> Value {
        let path = format!("/api/v1/payouts/{payout}");
        self.guild.until(&self.worker, &path, |payout| payout["status"] == status).await
    }
}

/// A key that was never used.
pub(crate) fn fresh() -> String {
    CommandId::fresh().to_string()
}
