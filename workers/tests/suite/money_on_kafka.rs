//! Money on Kafka: every story of money, and every doubt about an effect, with the log in a real cluster.

use crate::support::kafka::run_on_kafka;

#[test]
#[ignore = "needs the stack"]
fn every_story_of_money_and_every_doubt_about_an_effect_ends_the_same_on_kafka() {
    assert!(run_on_kafka(&["money_stories::"]) >= 9);
    assert!(run_on_kafka(&["effects_in_doubt::"]) >= 8);
}
