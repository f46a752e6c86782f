//! A client and a worker who agreed on something.

use http::StatusCode;
use serde_json::Value;

use super::{Call, Guild, Member};

/// A job that was awarded, and its contract: two milestones, 1000.00 and 500.00 GHS.
pub(crate) struct Deal {
    pub(crate) guild: Guild,
    pub(crate) client: Member,
    pub(crate) worker: Member,
    pub(crate) job: String,
    pub(crate) contract: String,
}

impl Deal {
    /// Awarded, and proposed to both.
    pub(crate) async fn proposed() -> Self {
        Self::proposed_at(Guild::start().await).await
    }

    pub(crate) async fn proposed_at(guild: Guild) -> Self {
        let client = guild.member("ama", &["client"]).await;
        let worker = guild.member("kofi", &["worker"]).await;
        let job = guild.published(&client).await;
        let bid = guild.bid(&worker, &job).await;
        let accepted = guild.post(&format!("/api/v1/jobs/{job}/bids/{bid}/accept")).by(&client).send().await;
        let contract = accepted.expect(StatusCode::OK).text("/contract");
        let deal = Self { guild, client, worker, job, contract };
        deal.until("", |contract| contract["status"] == "proposed").await;
        deal
    }

    /// Signed by both.
    pub(crate) async fn signed() -> Self {
        Self::signed_at(Guild::start().await).await
    }

    pub(crate) async fn signed_at(guild: Guild) -> Self {
        let deal = Self::proposed_at(guild).await;
        for party in [&deal.client, &deal.worker] {
            deal.post("/sign").by(party).send().await.expect(StatusCode::OK);
        }
        deal
    }

    /// Something to do with the contract.
    pub(crate) fn post(&self, rest: &str) -> Call<'_> {
        self.guild.post(&format!("/api/v1/contracts/{}{rest}", self.contract))
    }

    /// What the client sees of the contract, as soon as it is as it should be.
    pub(crate) async fn until(&self, rest: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.guild.until(&self.client, &format!("/api/v1/contracts/{}{rest}", self.contract), fits).await
    }
}
