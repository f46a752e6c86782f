//! What the rules of the marketplace may refuse: the rejections of every aggregate, for the documentation.

use commands::{
    Rejection, RejectionKind, account::AccountRejection, contract::ContractRejection, job::JobRejection,
    login::LoginRejection, payment::PaymentRejection, payment_method::PaymentMethodRejection,
    payout::PayoutRejection, payout_destination::PayoutDestinationRejection, receipt::ReceiptRejection,
    reconciliation::ReconciliationRejection, session::SessionRejection, test_clock::TestClockRejection,
};
use http::StatusCode;

/// One rejection, as clients meet it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectionLine {
    /// What clients compare.
    pub code: &'static str,
    /// The status it comes with.
    pub status: StatusCode,
    /// When it comes.
    pub meaning: String,
}

/// The status with which a kind of rejection is answered.
pub fn status_of(kind: RejectionKind) -> StatusCode {
    match kind {
        RejectionKind::NotFound => StatusCode::NOT_FOUND,
        RejectionKind::Forbidden => StatusCode::FORBIDDEN,
        RejectionKind::State => StatusCode::CONFLICT,
        RejectionKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// Every rejection there is, by what it is about.
pub fn tables() -> Vec<(&'static str, Vec<RejectionLine>)> {
    vec![
        ("Of accounts", lines(AccountRejection::ALL)),
        ("Of e-mail addresses", lines(LoginRejection::ALL)),
        ("Of sessions", lines(SessionRejection::ALL)),
        ("Of jobs and bids", lines(JobRejection::ALL)),
        ("Of contracts", lines(ContractRejection::ALL)),
        ("Of payments", lines(PaymentRejection::ALL)),
        ("Of payment methods", lines(PaymentMethodRejection::ALL)),
        ("Of payouts", lines(PayoutRejection::ALL)),
        ("Of payout destinations", lines(PayoutDestinationRejection::ALL)),
        ("Of webhooks", lines(ReceiptRejection::ALL)),
        ("Of comparisons of the books", lines(ReconciliationRejection::ALL)),
        ("Of the test clock", lines(TestClockRejection::ALL)),
    ]
}

fn lines<R: Rejection>(all: &[R]) -> Vec<RejectionLine> {
    let line = |rejection: &R| RejectionLine {
        code: rejection.code(),
        status: status_of(rejection.kind()),
        meaning: rejection.to_string(),
    };
    all.iter().map(line).collect()
}
