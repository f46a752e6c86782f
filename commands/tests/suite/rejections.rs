//! Rejections are told by their codes: stable, one meaning each.

use std::collections::BTreeMap;

use commands::{
    Rejection, RejectionKind, account::AccountRejection, contract::ContractRejection,
    escrow::EscrowRejection, job::JobRejection, login::LoginRejection, payment::PaymentRejection,
    payment_method::PaymentMethodRejection, payout::PayoutRejection,
    payout_destination::PayoutDestinationRejection, process::ProcessRejection, receipt::ReceiptRejection,
    session::SessionRejection, test_clock::TestClockRejection, wallet::WalletRejection,
};

fn all() -> Vec<(&'static str, &'static str, RejectionKind, String)> {
    fn of<R: Rejection>(
        aggregate: &'static str,
        rejections: &[R],
    ) -> Vec<(&'static str, &'static str, RejectionKind, String)> {
        let line = |rejection: &R| (aggregate, rejection.code(), rejection.kind(), rejection.to_string());
        rejections.iter().map(line).collect()
    }
    [
        of("account", AccountRejection::ALL),
        of("contract", ContractRejection::ALL),
        of("escrow", EscrowRejection::ALL),
        of("job", JobRejection::ALL),
        of("login", LoginRejection::ALL),
        of("payment", PaymentRejection::ALL),
        of("payment_method", PaymentMethodRejection::ALL),
        of("payout", PayoutRejection::ALL),
        of("payout_destination", PayoutDestinationRejection::ALL),
        of("process", ProcessRejection::ALL),
        of("receipt", ReceiptRejection::ALL),
        of("session", SessionRejection::ALL),
        of("test_clock", TestClockRejection::ALL),
        of("wallet", WalletRejection::ALL),
    ]
    .concat()
}

#[test]
fn a_code_is_snake_case_and_said_once_by_an_aggregate() {
    let mut seen = BTreeMap::new();
    for (aggregate, code, _, sentence) in all() {
        assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
        assert!(!sentence.is_empty() && !sentence.ends_with('.'), "{sentence}");
        let before = seen.insert((aggregate, code), sentence);
        assert!(before.is_none(), "{aggregate} says {code} twice");
    }
}

#[test]
fn a_code_is_of_the_same_kind_whoever_says_it() {
    let mut kinds = BTreeMap::new();
    for (aggregate, code, kind, _) in all() {
        let known = kinds.entry(code).or_insert(kind);
        assert_eq!(*known, kind, "{code} of {aggregate}");
    }
}
