//! The closing: every balance, that it all sums to zero, and that the provider's books agree.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Client, DemoError, Reply,
    cast::{Person, amount, sees},
    narrator::Narrator,
    story::unexpected,
};

const TRANSFERS: &str = "/api/v1/admin/ledger/transfers";
const RECONCILIATION: &str = "/api/v1/admin/reconciliation";
const TRIAL_BALANCE: &str = "/api/v1/admin/ledger/trial-balance";

/// Tells it. `operator` may look at the ledger.
///
/// # Errors
/// The first answer that was not the one the story needs.
pub async fn tell(operator: &Client, esi: &Person, narrator: &mut Narrator) -> Result<(), DemoError> {
    narrator.chapter("Where all the money is");
    let statement = esi.api.get("/api/v1/wallet/transactions?limit=100", None).await?;
    let statement = statement.expect(StatusCode::OK, "Esi's statement")?;
    narrator.step("Esi reads her statement", &format!("{} entries", statement.items().len()));
    for entry in statement.items().iter().rev() {
        let (kind, after) = (entry["kind"].as_str().unwrap_or_default(), amount(&entry["available"]));
        narrator.note(&format!("{kind:<9} {:>13}   {after:>13} available", amount(&entry["amount"])));
    }
    nothing_on_its_way(operator, narrator).await?;
    sums_to_zero(operator, narrator).await?;
    agrees_with_the_provider(operator, narrator).await
}

/// On every server, as soon as it has heard of all that happened.
async fn nothing_on_its_way(operator: &Client, narrator: &mut Narrator) -> Result<(), DemoError> {
    let none = |reply: &Reply| (reply.status == StatusCode::OK && reply.items().is_empty()).then_some(());
    sees(operator, "no transfer is open", TRANSFERS, none).await?;
    narrator.step("Nothing is on its way", "no open transfer");
    Ok(())
}

async fn sums_to_zero(operator: &Client, narrator: &mut Narrator) -> Result<(), DemoError> {
    let trial = operator.get(TRIAL_BALANCE, None).await?.expect(StatusCode::OK, "the trial balance")?;
    let currencies = trial.body["currencies"].as_array().map_or(&[][..], Vec::as_slice);
    for currency in currencies {
        let code = currency["currency"].as_str().unwrap_or_default();
        if currency["difference"]["amount"] != "0" {
            return Err(unexpected(&format!("the trial balance of {code} is zero")));
        }
        narrator.step(
            &format!("The trial balance of {code}: debits less credits"),
            &amount(&currency["difference"]),
        );
        for account in currency["accounts"].as_array().into_iter().flatten() {
            narrator.note(&line_of(account));
        }
    }
    if currencies.is_empty() || trial.body["balanced"] != true {
        return Err(unexpected("there is a trial balance, and it is zero"));
    }
    Ok(())
}

/// The ledger, what the aggregates say themselves, and the provider's own books.
async fn agrees_with_the_provider(operator: &Client, narrator: &mut Narrator) -> Result<(), DemoError> {
    let asked = operator.post(RECONCILIATION, json!({})).await?;
    let asked = asked.expect(StatusCode::CREATED, "an operator has the books compared")?;
    let path = format!("{RECONCILIATION}/{}", asked.text("/reconciliation"));
    let done = |reply: &Reply| {
        let over = reply.status == StatusCode::OK && reply.text("/status") != "open";
        over.then(|| reply.clone())
    };
    let run = sees(operator, "all books are compared", &path, done).await?;
    let result = &run.body["result"];
    if run.text("/status") != "agreed" {
        return Err(unexpected(&format!("the provider's books agree: {}", result["differences"])));
    }
    let provider = result["provider"].as_str().unwrap_or_default();
    let told = format!("{} differences", result["differences_total"]);
    narrator.step(&format!("Ledger, aggregates and the books of \"{provider}\" are compared"), &told);
    Ok(())
}

fn line_of(account: &Value) -> String {
    let name = account["account"].as_str().unwrap_or_default();
    let [debit, credit, balance] = ["debit", "credit", "balance"].map(|side| amount(&account[side]));
    format!("{name:<11} {debit:>15} debited {credit:>15} credited {balance:>15}")
}
