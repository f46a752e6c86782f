//! Money on Kafka, through the whole product: paid, refunded, paid out, told by webhooks that are believed or refused, and read
//! models that are lost in the middle of it.

use crate::harness::kafka::run_on_kafka;

#[test]
#[ignore = "needs the stack"]
fn what_is_promised_of_money_holds_with_the_log_on_kafka() {
    let all = run_on_kafka(&["lost_read_store::", "webhooks::", "payments::", "payouts::", "ledger::"]);
    assert!(all >= 20, "{all}");
}
