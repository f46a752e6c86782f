//! The work and its money: three milestones funded, done and approved, each in a way of its own.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Client, DemoError, Reply,
    cast::{Person, amount},
    narrator::Narrator,
    story::{clock, unexpected},
};

/// No client sees when the provider was told to charge a card; it is told at once.
const UNTIL_THE_BANK_HEARS: Duration = Duration::from_millis(300);
/// How often that may take longer.
const TELLINGS_MAX: u32 = 5;

/// A signed contract of three milestones.
pub struct Work<'a> {
    /// Anybody; moves the test clock.
    pub anybody: &'a Client,
    /// Who pays.
    pub ama: &'a Person,
    /// Who works.
    pub esi: &'a Person,
    /// The contract.
    pub contract: String,
}

/// Tells the three.
///
/// # Errors
/// The first answer that was not the one the story needs.
pub async fn tell(work: &Work<'_>, narrator: &mut Narrator) -> Result<(), DemoError> {
    let card = at_the_second_attempt(work, narrator).await?;
    changes_are_requested(work, narrator).await?;
    a_confirmation_comes_too_late(work, &card, narrator).await?;
    nobody_answers(work, narrator).await?;
    the_last_one(work, &card, narrator).await
}

/// Returns the card that pays.
async fn at_the_second_attempt(work: &Work<'_>, narrator: &mut Narrator) -> Result<String, DemoError> {
    narrator.chapter("The first milestone is paid for, at the second attempt");
    let declined = work.adds_a_card("pm_card_declined", "The card that is used up").await?;
    let card = work.adds_a_card("pm_card", "The good card").await?;
    narrator.step("Ama adds two cards: the numbers stay with the provider", &card);
    let fund = work.at(1, "fund");
    work.esi.is_refused(&fund, json!({}), "not_the_client").await?;
    narrator.step("Esi cannot fund her own work", "403 not_the_client");
    let payment = work.wants_to_pay(1).await?;
    narrator.step("Ama wants to fund \"Calendar\", 2000.00 GHS", &payment);
    work.pays(&payment, &declined).await?;
    let failure = |reply: &Reply| {
        let attempt = &reply.body["attempts"][0];
        (attempt["state"] == "failed").then(|| attempt["failure"].as_str().unwrap_or_default().to_owned())
    };
    let code = work.payment(&payment, "the first card is declined", failure).await?;
    narrator.step("The provider declines the first card", &code);
    work.pays(&payment, &card).await?;
    work.payment(&payment, "the second card pays", status("confirmed")).await?;
    narrator.step("She tries the second one, and the provider confirms", "confirmed");
    let escrow = work.escrow(1, "funded").await?;
    narrator.step("The money is in escrow; work can begin", &format!("{} held", amount(&escrow["held"])));
    Ok(card)
}

async fn changes_are_requested(work: &Work<'_>, narrator: &mut Narrator) -> Result<(), DemoError> {
    work.esi.does(&work.at(1, "submit"), json!({ "note": "Have a look." })).await?;
    narrator.step("Esi hands in the calendar", "submitted");
    let approve = work.at(1, "approve");
    work.esi.is_refused(&approve, json!({}), "not_the_client").await?;
    narrator.step("Esi cannot approve her own work", "403 not_the_client");
    let changes = json!({ "note": "Weeks begin on Monday here." });
    work.ama.does(&work.at(1, "request-changes"), changes).await?;
    narrator.step("Ama wants something changed: \"Weeks begin on Monday here.\"", "changes_requested");
    work.esi.does(&work.at(1, "submit"), json!({ "note": "Now they do." })).await?;
    narrator.step("Esi hands it in again", "submitted");
    work.ama.does(&approve, json!({})).await?;
    let escrow = work.escrow(1, "released").await?;
    narrator.step("Ama approves; escrow lets go of the money", &format!("{} held", amount(&escrow["held"])));
    let pending = |reply: &Reply| {
        let balance = &reply.body["balances"][0];
        (balance["pending"]["amount"] == "180000").then(|| amount(&balance["pending"]))
    };
    let earned = work.esi.sees("Esi has earned something", "/api/v1/wallet", pending).await?;
    narrator
        .step("Esi has earned it, less ten percent; it is held for five days", &format!("{earned} pending"));
    Ok(())
}

async fn a_confirmation_comes_too_late(
    work: &Work<'_>,
    card: &str,
    narrator: &mut Narrator,
) -> Result<(), DemoError> {
    narrator.chapter("A confirmation comes too late");
    let slow = work.adds_a_card("pm_late_confirmation", "The card of a slow bank").await?;
    let mut refunded = None;
    for _ in 0..TELLINGS_MAX {
        refunded = paid_too_late(work, &slow).await?;
        if refunded.is_some() {
            break;
        }
    }
    let refunded = refunded.ok_or_else(|| unexpected("the bank hears of a payment before it expires"))?;
    narrator.step("Ama pays for \"Payment\" with the card of a slow bank", "processing");
    narrator.step("A quarter of an hour passes: the payment expires", "expired");
    narrator.step("Ten minutes later the bank pays all the same: it goes back", &refunded);
    let payment = work.wants_to_pay(2).await?;
    work.pays(&payment, card).await?;
    work.escrow(2, "funded").await?;
    narrator.step("Ama pays with the good card instead", "funded");
    Ok(())
}

/// What went back; nothing when the payment expired before the provider had heard of it, since then it never does.
async fn paid_too_late(work: &Work<'_>, slow: &str) -> Result<Option<String>, DemoError> {
    let late = work.wants_to_pay(2).await?;
    work.pays(&late, slow).await?;
    tokio::time::sleep(UNTIL_THE_BANK_HEARS).await;
    clock(work.anybody, "16m").await?;
    work.payment(&late, "the payment expires", status("expired")).await?;
    clock(work.anybody, "10m").await?;
    let outcome = |reply: &Reply| {
        let (attempt, refund) = (&reply.body["attempts"][0], &reply.body["refunds"][0]);
        let reason = refund["reason"].as_str().unwrap_or_default();
        if refund["state"] == "paid" {
            return Some(Some(format!("{}, {reason}", amount(&refund["amount"]))));
        }
        (attempt["state"] == "failed").then_some(None)
    };
    work.payment(&late, "the late money goes back", outcome).await
}

async fn nobody_answers(work: &Work<'_>, narrator: &mut Narrator) -> Result<(), DemoError> {
    narrator.chapter("Nobody answers");
    work.esi.does(&work.at(2, "submit"), json!({ "note": "Deposits work." })).await?;
    let review = |reply: &Reply| {
        let of_review = |item: &&Value| {
            item["kind"] == "review" && item["contract"] == work.contract.as_str() && item["milestone"] == 2
        };
        reply
            .items()
            .iter()
            .find(of_review)
            .map(|item| item["due_at"].as_str().unwrap_or_default().to_owned())
    };
    let due_at = work.ama.sees("a review awaits Ama", "/api/v1/deadlines?kind=review", review).await?;
    narrator.step("Esi hands in \"Payment\"; it awaits Ama", &format!("until {due_at}"));
    clock(work.anybody, "14d").await?;
    work.escrow(2, "released").await?;
    narrator.step("Fourteen days pass without a word: it counts as approved", "released");
    Ok(())
}

async fn the_last_one(work: &Work<'_>, card: &str, narrator: &mut Narrator) -> Result<(), DemoError> {
    narrator.chapter("The last milestone");
    let payment = work.wants_to_pay(3).await?;
    work.pays(&payment, card).await?;
    work.escrow(3, "funded").await?;
    narrator.step("Ama funds \"Launch\"", "funded");
    work.esi.does(&work.at(3, "submit"), json!({ "note": "It is live." })).await?;
    work.ama.does(&work.at(3, "approve"), json!({})).await?;
    work.escrow(3, "released").await?;
    narrator.step("Esi hands it in, Ama approves", "released");
    let path = format!("/api/v1/contracts/{}", work.contract);
    work.ama.sees("the contract is completed", &path, status("completed")).await?;
    narrator.step("Every milestone is paid: the contract is completed", "completed");
    Ok(())
}

impl Work<'_> {
    fn at(&self, milestone: u32, act: &str) -> String {
        format!("/api/v1/contracts/{}/milestones/{milestone}/{act}", self.contract)
    }

    /// Its id. Everybody has a card of their own: what stands behind the dash is nothing to the provider.
    async fn adds_a_card(&self, token: &str, label: &str) -> Result<String, DemoError> {
        let card = json!({ "token": format!("{token}-{}", self.contract), "label": label });
        Ok(self.ama.does("/api/v1/payment-methods", card).await?.text("/payment_method").to_owned())
    }

    /// A payment for a milestone, as soon as it can be attempted.
    async fn wants_to_pay(&self, milestone: u32) -> Result<String, DemoError> {
        let asked = self.ama.does(&self.at(milestone, "fund"), json!({})).await?;
        let payment = asked.text("/payment").to_owned();
        self.payment(&payment, "there is a payment", status("created")).await?;
        Ok(payment)
    }

    async fn pays(&self, payment: &str, card: &str) -> Result<(), DemoError> {
        let with = json!({ "payment_method": card });
        let started = self.ama.does(&format!("/api/v1/payments/{payment}/attempts"), with).await?;
        if started.body["attempt"].is_u64() { Ok(()) } else { Err(unexpected("an attempt has a number")) }
    }

    async fn payment<T>(
        &self,
        payment: &str,
        what: &str,
        look: impl Fn(&Reply) -> Option<T>,
    ) -> Result<T, DemoError> {
        self.ama.sees(what, &format!("/api/v1/payments/{payment}"), look).await
    }

    /// The escrow of a milestone, as soon as it has this status, and the contract knows.
    async fn escrow(&self, milestone: u32, status: &str) -> Result<Value, DemoError> {
        let (contract, index) = (format!("/api/v1/contracts/{}", self.contract), milestone as usize - 1);
        let known = |reply: &Reply| (reply.body["milestones"][index]["status"] == status).then_some(());
        self.ama.sees(&format!("milestone {milestone} is {status}"), &contract, known).await?;
        let of_status = |reply: &Reply| {
            let fits = |escrow: &&Value| escrow["milestone"] == milestone && escrow["status"] == status;
            reply.items().iter().find(fits).cloned()
        };
        let what = format!("the escrow of milestone {milestone} is {status}");
        self.ama.sees(&what, &format!("{contract}/escrows"), of_status).await
    }
}

/// It has this status.
pub fn status(wanted: &'static str) -> impl Fn(&Reply) -> Option<()> {
    move |reply| (reply.text("/status") == wanted).then_some(())
}
