//! Money becomes available, leaves, comes back from the bank, and leaves again.

use serde_json::json;

use super::{
    Client, DemoError, Reply,
    cast::{Person, amount, cedis},
    narrator::Narrator,
    story::clock,
    work::status,
};

/// Tells it. `esi` has earned 6300.00 GHS, some of it just now.
///
/// # Errors
/// The first answer that was not the one the story needs.
pub async fn tell(anybody: &Client, esi: &Person, narrator: &mut Narrator) -> Result<(), DemoError> {
    narrator.chapter("Money leaves, comes back, and leaves again");
    clock(anybody, "5d").await?;
    let all = has_available(esi, 630_000).await?;
    narrator.step("Five days later all that Esi has earned is hers to spend", &format!("{all} available"));
    let token = format!("ba_returned_once-{}", esi.account);
    let bank = json!({ "token": token, "currency": "GHS", "label": "The bank round the corner" });
    let bank = esi.does("/api/v1/payout-destinations", bank).await?.text("/payout_destination").to_owned();
    narrator.step("Esi names the account of her bank", &bank);
    let payout = |minor| json!({ "amount": cedis(minor), "payout_destination": bank });
    esi.is_refused("/api/v1/payouts", payout(630_001), "insufficient_funds").await?;
    narrator.step("She asks for more than she has", "409 insufficient_funds");
    let first = is_paid(anybody, esi, payout(300_000), narrator, "She asks for 3000.00 GHS").await?;
    let left = has_available(esi, 330_000).await?;
    narrator.step("An hour later the batch goes, and the provider pays", &format!("{left} left"));
    clock(anybody, "3d").await?;
    let path = format!("/api/v1/payouts/{first}");
    let returned =
        |reply: &Reply| (reply.text("/status") == "reversed").then(|| reply.text("/failure").to_owned());
    let code = esi.sees("the bank returns the money", &path, returned).await?;
    narrator.step("Three days later the bank returns it", &code);
    let all = has_available(esi, 630_000).await?;
    narrator.step("It is back in Esi's wallet", &format!("{all} available"));
    is_paid(anybody, esi, payout(300_000), narrator, "She asks again").await?;
    let left = has_available(esi, 330_000).await?;
    narrator.step("This time it stays paid", &format!("{left} left"));
    Ok(())
}

/// A payout that is asked for and paid with the next batch; its id.
async fn is_paid(
    anybody: &Client,
    esi: &Person,
    wanted: serde_json::Value,
    narrator: &mut Narrator,
    what: &str,
) -> Result<String, DemoError> {
    let payout = esi.does("/api/v1/payouts", wanted).await?.text("/payout").to_owned();
    let path = format!("/api/v1/payouts/{payout}");
    esi.sees("the payout waits for its batch", &path, status("queued")).await?;
    narrator.step(what, &payout);
    clock(anybody, "1h").await?;
    esi.sees("the payout is paid", &path, status("paid")).await?;
    Ok(payout)
}

/// As soon as it is exactly so much, and nothing is on its way to a bank.
async fn has_available(esi: &Person, minor: i64) -> Result<String, DemoError> {
    let look = |reply: &Reply| {
        let balance = &reply.body["balances"][0];
        let fits = balance["available"] == cedis(minor) && balance["in_payout"] == cedis(0);
        fits.then(|| amount(&balance["available"]))
    };
    let what = format!("{minor} minor units are available");
    esi.sees(&what, "/api/v1/wallet", look).await
}
